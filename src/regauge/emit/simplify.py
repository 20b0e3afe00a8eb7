"""Small rewrites of expressions to what a person would write: same value, fewer characters."""

from __future__ import annotations

import ast

_REDUCTIONS = {"mean", "sum", "max", "min", "var", "std", "prod", "any", "all", "amax", "amin", "squeeze"}
_DEFAULTS: dict[str, object] = {"keepdims": False, "where": None, "dtype": None, "ddof": 0}
# Arguments at their default by function: keywords, and positional ones behind the array.
_KEYWORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "jnp.argmax": {"keepdims": ("False",)},
    "jnp.argmin": {"keepdims": ("False",)},
    "jnp.cumsum": {"dtype": ("None",)},
    "jnp.cumprod": {"dtype": ("None",)},
    "jnp.argsort": {"descending": ("False",)},
    "jax.nn.logsumexp": {"keepdims": ("False",)},
    "jnp.nan_to_num": {"nan": ("0.0",), "posinf": ("None",), "neginf": ("None",)},
    "jnp.pad": {"constant_values": ("0", "0.0")},
    "jax.scipy.linalg.solve_triangular": {"unit_diagonal": ("False",), "lower": ("False",)},
    "ops.masked_attention": {"scale": ("None",)},
}
_TO_END = 2**63 - 1  # the end of a slice without one, as torch has it
_POSITIONS: dict[str, str] = {"jax.nn.elu": "1.0", "jax.nn.celu": "1.0", "jnp.diag": "0"}
# jnp functions of an array that are also its methods: x.mean(axis=1) reads better than jnp.mean(x, axis=1)
_METHODS = {
    "repeat",
    "reshape",
    "transpose",
    "swapaxes",
    "mean",
    "sum",
    "max",
    "min",
    "var",
    "std",
    "prod",
    "any",
    "all",
    "squeeze",
}


def simplify(expression: ast.expr) -> ast.expr:
    """The expression with all rewrites applied, innermost first."""
    result = _Simplifier().visit(expression)
    return ast.fix_missing_locations(result)


def _attribute_call(node: ast.AST, name: str) -> ast.Call | None:
    """`node` as a method call `something.name(...)`, or None."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
        return node
    return None


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("jnp", "jax", "lax", "nnx", "np", "ops")


class _Simplifier(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        node.args = [part for argument in node.args for part in unpacked(argument)]
        if not isinstance(node.func, ast.Attribute):
            return node
        if _is_fourier(node.func):
            node.keywords = [k for k in node.keywords if not _is_default_of_fourier(k)]
        _drop_defaults(node)
        if _writes_part(node.func):
            node.args = [_number_of(argument) for argument in node.args]
        node = _as_method(_filled(node))
        func = node.func
        if not isinstance(func, ast.Attribute):
            return node
        if func.attr in _REDUCTIONS:
            node.keywords = [k for k in node.keywords if not _is_default(k)]
            for keyword in node.keywords:
                keyword.value = _single_axis(keyword)
        if not _is_module(func.value):
            if func.attr in ("reshape", "transpose") and len(node.args) == 1 and isinstance(node.args[0], ast.Tuple):
                node.args = list(node.args[0].elts)
            if func.attr == "reshape":
                node.args = infer_one_size(node.args)
            return _cancel(node, func)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if node.attr == "T" and isinstance(node.value, ast.Attribute) and node.value.attr == "T":
            return node.value.value
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add) and isinstance(node.left, ast.Tuple) and isinstance(node.right, ast.Tuple):
            return ast.Tuple([*node.left.elts, *node.right.elts], ast.Load())
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        node.slice = _index(node.slice)
        if isinstance(node.value, ast.Subscript) and _is_ellipsis(node.value.slice):  # self.table[...][rows]
            node.value = node.value.value
        return _merge_new_axes(node)


def unpacked(argument: ast.expr) -> list[ast.expr]:
    """`f(*(a, b))` as `f(a, b)`."""
    if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Tuple | ast.List):
        return argument.value.elts
    return [argument]


def _drop_defaults(node: ast.Call) -> None:
    name = ast.unparse(node.func)
    defaults = _KEYWORDS.get(name, {})
    node.keywords = [k for k in node.keywords if ast.unparse(k.value) not in defaults.get(k.arg or "", ())]
    if len(node.args) == 2 and _POSITIONS.get(name) == ast.unparse(node.args[1]):
        del node.args[1]
    if name == "jax.nn.logsumexp":
        for keyword in node.keywords:
            keyword.value = _single_axis(keyword)


def _is_fourier(func: ast.Attribute) -> bool:
    return isinstance(func.value, ast.Attribute) and ast.unparse(func.value) == "jnp.fft"


def _is_default_of_fourier(keyword: ast.keyword) -> bool:
    return ast.unparse(keyword.value) == ("-1" if keyword.arg == "axis" else "None")


def _writes_part(func: ast.Attribute) -> bool:
    """Whether this is `x.at[...].set`."""
    place = func.value.value if isinstance(func.value, ast.Subscript) else None
    return func.attr == "set" and isinstance(place, ast.Attribute) and place.attr == "at"


def _number_of(argument: ast.expr) -> ast.expr:
    """`jnp.array(0.0, dtype=jnp.float32)` as `0.0`, where the array that it goes into has that dtype."""
    if not (isinstance(argument, ast.Call) and ast.unparse(argument.func) == "jnp.array" and len(argument.args) == 1):
        return argument
    value = argument.args[0]
    number = value.operand if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub) else value
    plain = isinstance(number, ast.Constant) or ast.unparse(number) in ("jnp.inf", "jnp.nan")
    return value if plain else argument


def _as_method(node: ast.Call) -> ast.Call:
    func = node.func
    if not (isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "jnp"):
        return node
    if func.attr not in _METHODS or not node.args or isinstance(node.args[0], ast.Starred | ast.Constant | ast.List):
        return node
    return ast.Call(ast.Attribute(node.args[0], func.attr, ast.Load()), node.args[1:], node.keywords)


def _is_default(keyword: ast.keyword) -> bool:
    if keyword.arg not in _DEFAULTS and keyword.arg != "axis":
        return False
    default = None if keyword.arg == "axis" else _DEFAULTS[str(keyword.arg)]
    return isinstance(keyword.value, ast.Constant) and keyword.value.value is default


def _single_axis(keyword: ast.keyword) -> ast.expr:
    value = keyword.value
    if keyword.arg == "axis" and isinstance(value, ast.Tuple) and len(value.elts) == 1:
        return value.elts[0]
    return value


def infer_one_size(sizes: list[ast.expr]) -> list[ast.expr]:
    """`reshape(batch, 16, 64)` as `reshape(-1, 16, 64)`: the one size that is not a number can be inferred."""
    if len(sizes) == 1 or any(isinstance(size, ast.Starred | ast.Attribute) for size in sizes):
        return sizes  # a whole shape may stand there
    unknown = [i for i, size in enumerate(sizes) if not isinstance(size, ast.Constant)]
    if len(unknown) != 1 or any(isinstance(s, ast.Constant) and s.value == 0 for s in sizes):
        return sizes
    return [ast.UnaryOp(ast.USub(), ast.Constant(1)) if i == unknown[0] else size for i, size in enumerate(sizes)]


def _filled(node: ast.Call) -> ast.Call:
    """`jnp.full_like(jnp.zeros(shape, dtype), value)` as `jnp.full(shape, value, dtype)`; zeros like x: like x.

    `jnp.full((), True, bool)` as `jnp.array(True)`.
    """
    name = ast.unparse(node.func)
    if name == "jnp.full" and ", ".join(map(ast.unparse, node.args)) in ("(), True, bool", "(), False, bool"):
        return ast.Call(ast.parse("jnp.array", mode="eval").body, node.args[1:2], [])
    if name != "jnp.full_like" or node.keywords or len(node.args) < 2:
        return node
    like, value, *dtype = node.args
    if not isinstance(like, ast.Call) or like.keywords:
        return node
    made = ast.unparse(like.func)
    if made in ("jnp.zeros", "jnp.ones") and len(like.args) == 2:
        return ast.Call(ast.parse("jnp.full", mode="eval").body, [like.args[0], value, *(dtype or like.args[1:])], [])
    if made in ("jnp.zeros_like", "jnp.ones_like") and len(like.args) == 1:
        node.args[0] = like.args[0]
    return node


def _keeps_axes(name: str, axes: list[ast.expr]) -> bool:
    """Whether `x.transpose(0, 1)` or `x.swapaxes(1, 1)` is `x`."""
    numbers = [axis.value if isinstance(axis, ast.Constant) else None for axis in axes]
    if name == "swapaxes":
        return len(numbers) == 2 and numbers[0] is not None and numbers[0] == numbers[1]
    return name == "transpose" and bool(numbers) and numbers == list(range(len(numbers)))


def _one_hot_as(hot: ast.expr, dtype: list[ast.expr]) -> ast.expr | None:
    """`jax.nn.one_hot(i, 4, dtype=int).astype(jnp.float32)` with the dtype that is wanted; None for all else."""
    if not isinstance(hot, ast.Call) or ast.unparse(hot.func) != "jax.nn.one_hot" or len(dtype) != 1:
        return None
    if [(k.arg, ast.unparse(k.value)) for k in hot.keywords] != [("dtype", "int")]:
        return None
    hot.keywords[0].value = dtype[0]
    return hot


def _cancel(node: ast.Call, func: ast.Attribute) -> ast.expr:
    if not node.keywords and _keeps_axes(func.attr, node.args):
        return func.value
    hot = _one_hot_as(func.value, node.args) if func.attr == "astype" and not node.keywords else None
    if hot is not None:
        return hot
    inner = _attribute_call(func.value, func.attr)
    if inner is None or not isinstance(inner.func, ast.Attribute) or _is_module(inner.func.value):
        return node
    same = [ast.dump(a) for a in node.args] == [ast.dump(a) for a in inner.args]
    if func.attr == "swapaxes" and same:
        return inner.func.value
    if func.attr == "reshape" or (func.attr == "astype" and same):
        node.func = ast.Attribute(inner.func.value, func.attr, ast.Load())
    return node


def _is_ellipsis(index: ast.expr) -> bool:
    return isinstance(index, ast.Constant) and index.value is Ellipsis


def _index(index: ast.expr) -> ast.expr:
    """`x[(slice(None), i)]` as `x[:, i]`, `x[(i,)]` as `x[i]`."""
    if not isinstance(index, ast.Tuple):
        return index
    index.elts = [_slice(item) for item in index.elts]
    return index.elts[0] if len(index.elts) == 1 and not isinstance(index.elts[0], ast.Starred) else index


def _slice(item: ast.expr) -> ast.expr:
    if not (isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.func.id == "slice"):
        return item
    parts = [None if isinstance(a, ast.Constant) and a.value is None else a for a in item.args]
    if item.keywords or not 1 <= len(parts) <= 3:
        return item
    start, stop, step = [None, *parts, None] if len(parts) == 1 else [*parts, None][:3]
    if step is None or isinstance(step, ast.Constant):  # backwards, 0 is the last one
        start, stop, step = _unless(start, 0), _unless(stop, _TO_END), _unless(step, 1)
    return ast.Slice(start, stop, step)


def _unless(part: ast.expr | None, default: int) -> ast.expr | None:
    return None if isinstance(part, ast.Constant) and part.value == default else part


def _merge_new_axes(node: ast.Subscript) -> ast.Subscript:
    """`x[:, None][..., None]` as `x[:, None, ..., None]`: indices that only insert axes become one."""
    inner = node.value
    if not isinstance(inner, ast.Subscript):
        return node
    outer_parts, inner_parts = _axis_parts(node.slice), _axis_parts(inner.slice)
    if outer_parts is None or inner_parts is None or (inner_parts[1] and outer_parts[0]):
        return node
    front, back = outer_parts
    merged: list[str] = []
    left = list(inner_parts[0])
    for part in front:
        merged.append(part if part == "None" else left.pop(0) if left else ":")
    merged += left
    if any(part == ":" for part in back):
        return node
    back = [*inner_parts[1], *back]
    while merged and not back and merged[-1] == ":":
        merged.pop()
    text = ", ".join([*merged, *(["...", *back] if back else [])])
    return ast.Subscript(inner.value, ast.parse(f"x[{text}]", mode="eval").body.slice, ast.Load())  # type: ignore[attr-defined]


def _axis_parts(index: ast.expr) -> tuple[list[str], list[str]] | None:
    """(before, after) the ellipsis of an index of `:` and None only; None if there is anything else."""
    items = index.elts if isinstance(index, ast.Tuple) else [index]
    texts = [ast.unparse(item) for item in items]
    if any(text not in (":", "None", "...") for text in texts) or texts.count("...") > 1 or "None" not in texts:
        return None
    if "..." not in texts:
        return texts, []
    middle = texts.index("...")
    return texts[:middle], texts[middle + 1 :]

"""From a graph to the text of model.py and ops.py, with the map of the weights."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from flax import nnx as flax_nnx

from regauge.emit.body import Body, BodyWriter, Line
from regauge.emit.expressions import Helpers
from regauge.emit.layers import Layer, Layout, Text
from regauge.emit.members import Holder, Member, Structure
from regauge.emit.names import camel, unique
from regauge.emit.origins import function_at
from regauge.emit.partial import literal
from regauge.emit.scopes import Scope, build_scopes
from regauge.errors import EmitError
from regauge.findings import Finding
from regauge.ir.graph import Graph, Node, Ref, TensorSpec
from regauge.lower.channels_last import channels_last
from regauge.lower.lower import check_specs
from regauge.lower.plan import plan
from regauge.rules.modules import nnx_modules
from regauge.rules.table import RuleTable

_SMALL_CONSTANT = 16  # elements of a literal tensor that is written into the code


@dataclass(frozen=True)
class Placed:
    """Where a weight of the original lives in the emitted module."""

    source: str
    target: str
    layout: Layout


@dataclass(frozen=True)
class Emitted:
    """The result of emission.

    Attributes:
        model: text of model.py, without the loader.
        ops: text of ops.py, or None.
        root: name of the root class.
        placed: every weight that the emitted module holds.
        unused: (weight, reason) for those that it does not need.
        findings: what a person should know.
    """

    model: str
    ops: str | None
    root: str
    placed: tuple[Placed, ...]
    unused: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...] = ()


@dataclass
class _Class:
    name: str
    scope: Scope
    header: str
    init: list[Line]
    body: Body
    uses_rngs: bool


@dataclass
class _Module:
    """State of one emission."""

    graph: Graph
    structure: Structure
    plan: Any
    casts: Mapping[str, str]
    constants: Mapping[str, ast.expr]
    helpers: Helpers = field(default_factory=Helpers)
    classes: dict[Any, _Class] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    library: dict[str, type] = field(default_factory=dict)


def emit_module(
    graph: Graph,
    table: RuleTable,
    constants: Mapping[str, np.ndarray],
    title: str,
    helpers: Helpers | None = None,
) -> Emitted:
    """The NNX source of a captured model.

    Args:
        graph: the captured graph (dialect aten).
        table: the rules.
        constants: values of the graph's constant tensors by name.
        title: first line of the file's docstring.
        helpers: receives the functions for ops.py, when other files of the folder need some too.

    Raises:
        UnsupportedOps: operators without a rule, all at once.
        SpecMismatch: a rule that does not give the captured shape or dtype.
    """
    plan(graph, table)  # gaps are reported on the graph that was captured, before it is rewritten
    graph = channels_last(graph)
    chosen = plan(graph, table)
    casts = check_specs(graph, chosen)
    structure = Structure(graph, build_scopes(graph), reserved=dir(flax_nnx.Module))
    small = {
        w.value: ast.parse(array_text(constants[w.name]), mode="eval").body
        for w in graph.weights
        if w.role == "constant" and w.value and w.name in constants and constants[w.name].size <= _SMALL_CONSTANT
    }
    module = _Module(graph, structure, chosen, casts, small, helpers if helpers is not None else Helpers())
    root = _emit_class(module, structure.root, {})
    placed = _place(structure, structure.root, "", {w.value for w in graph.weights if w.value in small})
    text = _file_text(module, root.name, title)
    used = {p.source for p in placed}
    unused = tuple(
        (w.name, _unused_reason(w.name, w.value in small))
        for w in graph.weights
        if w.name not in used and w.tied_to is None
    )
    ops = ops_text(module.helpers)
    return Emitted(text, ops, root.name, tuple(placed), unused, chosen.findings)


def _unused_reason(name: str, is_literal: bool) -> str:
    if is_literal:
        return "a literal of the source, written into the code"
    if name.endswith("num_batches_tracked"):
        return "a counter that nothing reads"
    return "the forward pass does not read it"


def array_text(value: np.ndarray) -> str:
    """A literal array with its dtype."""
    dtype = {"int64": "int", "bool": "bool"}.get(str(value.dtype), f"jnp.{value.dtype}")
    text = repr(value.tolist()).replace("inf", "jnp.inf").replace("nan", "jnp.nan")
    return f"jnp.array({text}, dtype={dtype})"


# classes ---------------------------------------------------------------------------------------------------------


def _key(module: _Module, scope: Scope) -> Any:
    """Two calls with the same key are the same code: names of values and weights are replaced by their order."""
    numbers: dict[str, str] = {}

    def local(name: str) -> str:
        spec = module.structure.context.weights.get(name)
        if spec is not None and name not in scope.inputs:
            if name in module.constants:
                return ast.unparse(module.constants[name])
            return "w:" + spec.name.removeprefix(scope.path + ".") + str(spec.spec) + spec.role + str(spec.trainable)
        return numbers.setdefault(name, f"v{len(numbers)}")

    def operand(item: Any) -> Any:
        if isinstance(item, Ref):
            return local(item.name)
        if isinstance(item, tuple):
            return tuple(operand(part) for part in item)
        return (type(item).__name__, str(item))

    parts: list[Any] = [scope.step.type, tuple(local(n) for n in scope.inputs)]
    for item in scope.items:
        if isinstance(item, Node):
            arguments = tuple((k, operand(v)) for k, v in item.arguments)
            outputs = tuple((local(v.name), str(v.spec)) for v in item.outputs)
            parts.append((item.op, arguments, outputs))
        else:
            layer = module.structure.layers.get(item)
            inner = (
                (layer.constructor, repr(layer.arguments), repr(layer.keywords))
                if layer is not None
                else _key(module, item)
            )
            relative = item.path.removeprefix(scope.path + ".")
            parts.append((relative, inner, tuple(map(local, item.inputs)), tuple(map(local, item.outputs))))
    parts.append(tuple(local(n) for n in scope.outputs))
    return tuple(parts)


def _emit_class(module: _Module, scope: Scope, hints: Mapping[str, str]) -> _Class:
    key = _key(module, scope)
    if key in module.classes:
        return module.classes[key]
    simple = scope.step.type.rsplit(".", 1)[-1].split("[")[0]
    name = unique(camel(simple), module.names)
    module.names.add(name)
    writer = BodyWriter(scope, module.structure, module.plan, module.casts, module.constants, module.helpers, hints)
    body = writer.write(_returned(module.graph, scope))
    holder = module.structure.holders[scope]
    children = {
        path: _emit_class(module, member.scope, writer.child_hints.get(member.scope, {}))
        for path, member in holder.members.items()
        if member.kind == "class"
    }
    init = _init_lines(module, holder, children)
    rngs = any("rngs" in line.text for line in init)
    made = _Class(name, scope, _class_comment(scope), init, _roll_loops(body), rngs)
    module.classes[key] = made
    return made


def _returned(graph: Graph, scope: Scope) -> Callable[[Callable[[Ref], ast.expr]], ast.expr]:
    if scope.path == "":
        return lambda use: tree_expression(graph.out_tree, use)

    def returned(use: Callable[[Ref], ast.expr]) -> ast.expr:
        values = [use(Ref(name)) for name in scope.outputs]
        return values[0] if len(values) == 1 else ast.Tuple(values, ast.Load())

    return returned


def tree_expression(tree: Any, use: Callable[[Ref], ast.expr]) -> ast.expr:
    """The expression that builds a pytree from its skeleton (`regauge.run.protocol`)."""
    if "leaf" in tree:
        return use(Ref(tree["leaf"]))
    if "none" in tree:
        return ast.Constant(None)
    if "value" in tree:
        return literal(tree["value"])
    if "dict" in tree:
        keys: list[ast.expr | None] = [ast.Constant(k) for k in tree["dict"]]
        return ast.Dict(keys, [tree_expression(v, use) for v in tree["dict"].values()])
    items = [tree_expression(v, use) for v in tree.get("tuple", tree.get("list"))]
    return ast.Tuple(items, ast.Load()) if "tuple" in tree else ast.List(items, ast.Load())


def _class_comment(scope: Scope) -> str:
    for node in scope.nodes():
        own = [s for s in node.origin.modules if not s.type.startswith("torch.nn.")]
        depth = next((i for i, s in enumerate(own) if s.call == scope.step.call), None)
        forwards = [f for f in node.origin.frames if f.function == "forward"]
        if depth is not None and depth < len(forwards):
            function = function_at(forwards[depth])
            if function is not None and function.class_line:
                return f"{forwards[depth].file.rsplit('/', 1)[-1]}:{function.class_line}"
    return ""


# __init__ ----------------------------------------------------------------------------------------------------------


def _init_lines(module: _Module, holder: Holder, children: Mapping[str, _Class]) -> list[Line]:
    lines: list[Line] = []
    lists: dict[str, list[tuple[int, str]]] = {}
    for path, member in holder.members.items():
        text = _construct(module, member, children.get(path))
        if member.index is None:
            lines.append(Line(f"self.{member.attribute} = {text}"))
        else:
            lists.setdefault(member.attribute, []).append((member.index, text))
            if len(lists[member.attribute]) == 1:
                lines.append(Line(f"self.{member.attribute} = ?"))
    lines = [
        replace(line, text=line.text.replace("?", _list_text(lists[line.text[5:-4]])))
        if line.text.endswith("= ?")
        else line
        for line in lines
    ]
    for name, attribute in holder.weights.items():
        spec = next(w for w in module.graph.weights if w.name == name)
        lines.append(Line(f"self.{attribute} = {_variable(module, spec.spec, spec.role, spec.trainable, name)}"))
    for attribute, rate in holder.dropouts.values():
        lines.append(Line(f"self.{attribute} = nnx.Dropout({rate!r}, rngs=rngs)"))
    return lines or [Line("pass")]


def _list_text(items: list[tuple[int, str]]) -> str:
    texts = [text for _, text in sorted(items)]
    if len(texts) > 1 and len(set(texts)) == 1:
        return f"nnx.List([{texts[0]} for _ in range({len(texts)})])"
    return f"nnx.List([{', '.join(texts)}])"


def _construct(module: _Module, member: Member, made: _Class | None) -> str:
    if member.layer is not None:
        return _layer_text(module, member.layer)
    if made is None:
        raise EmitError("a module has no class", where=member.attribute)
    return f"{made.name}(rngs=rngs)"


def _layer_text(module: _Module, layer: Layer) -> str:
    if not layer.constructor.startswith("nnx."):
        module.library[layer.constructor] = getattr(nnx_modules, layer.constructor)
    parts = [_value_text(v) for v in layer.arguments]
    parts += [f"{k}={_value_text(v)}" for k, v in layer.keywords.items()]
    if layer.rngs:
        parts.append("rngs=rngs")
    return f"{layer.constructor}({', '.join(parts)})"


def _value_text(value: Any) -> str:
    return value.text if isinstance(value, Text) else ast.unparse(literal(value))


def _variable(module: _Module, spec: TensorSpec, role: str, trainable: bool, name: str) -> str:
    dtype = {"int64": "int", "bool": "bool"}.get(spec.dtype, f"jnp.{spec.dtype}")
    shape = ", ".join(str(d) for d in spec.shape) + ("," if len(spec.shape) == 1 else "")
    zeros = f"jnp.zeros(({shape}), {dtype})"
    if role == "parameter":
        return f"nnx.Param({zeros})"
    if any(name == weight for weight, _ in module.graph.mutations):
        return f"nnx.BatchStat({zeros})"
    module.library["Buffer"] = nnx_modules.Buffer
    return f"Buffer({zeros})"


# loops ---------------------------------------------------------------------------------------------------------------

_CALL = re.compile(r"^(?P<target>\w+) = self\.(?P<list>\w+)\[(?P<index>\d+)\]\((?P<arguments>[^()]*)\)$")


def _roll_loops(body: Body) -> Body:
    """`x = self.blocks[0](x)`, `x = self.blocks[1](x)`, ... as `for block in self.blocks: x = block(x)`."""
    lines: list[Line] = []
    position = 0
    while position < len(body.lines):
        run = _run_length(body.lines, position)
        if run < 2:
            lines.append(body.lines[position])
            position += 1
            continue
        match = _CALL.match(body.lines[position].text)
        if match is None:
            break
        name = match["list"].rstrip("s") or "layer"
        name = name if name not in (match["target"], match["list"]) else f"{name}_module"
        first = body.lines[position]
        lines.append(Line(f"for {name} in self.{match['list']}:", "", first.origin))
        same_shape = all(line.comment == first.comment for line in body.lines[position : position + run])
        comment = first.comment if same_shape else ""
        lines.append(Line(f"    {match['target']} = {name}({match['arguments']})", comment))
        position += run
    return Body(body.parameters, lines)


def _run_length(lines: list[Line], start: int) -> int:
    first = _CALL.match(lines[start].text)
    if first is None or first["index"] != "0" or first["target"] not in re.findall(r"\w+", first["arguments"]):
        return 0
    count = 0
    for line in lines[start:]:
        match = _CALL.match(line.text)
        same = match is not None and all(match[k] == first[k] for k in ("target", "list", "arguments"))
        if not same or match is None or int(match["index"]) != count:
            break
        count += 1
    rest = "\n".join(line.text for line in lines[start + count :])
    return 0 if f"self.{first['list']}[" in rest else count


# weights -------------------------------------------------------------------------------------------------------------


def _place(structure: Structure, scope: Scope, prefix: str, literals: set[str]) -> list[Placed]:
    holder = structure.holders[scope]
    placed = [
        Placed(name, prefix + attribute, ())
        for name, attribute in holder.weights.items()
        if not any(w.name == name and w.value in literals for w in structure.graph.weights)
    ]
    for path, member in holder.members.items():
        target = f"{prefix}{member.target}."
        if member.layer is not None:
            placed += [
                Placed(f"{path}.{leaf}", target + attribute, layout)
                for leaf, (attribute, layout) in member.layer.weights.items()
            ]
        else:
            placed += _place(structure, member.scope, target, literals)
    return placed


# files ---------------------------------------------------------------------------------------------------------------


_LOADER = '''
def load(directory=Path(__file__).parent):
    """The model with the weights of weights.safetensors, whose names are paths in the module."""
    model = {root}(rngs=nnx.Rngs(0))
    weights = load_file(Path(directory) / "weights.safetensors")
    state = nnx.state(model, nnx.Not(nnx.RngState))
    for path, variable in nnx.to_flat_state(state):
        variable[...] = weights[".".join(map(str, path))]
    nnx.update(model, state)
    return model
'''.strip()


def _file_text(module: _Module, root: str, title: str) -> str:
    classes = [_class_text(made, module) for made in module.classes.values()]
    library = [textwrap.dedent(inspect.getsource(cls)) for cls in module.library.values()]
    body = "\n\n\n".join([*(text.rstrip() for text in library), *classes, _LOADER.format(root=root)])
    return f'"""{title}"""\n\n{import_lines(body)}\n\n\n{body}\n'


_IMPORTS = (
    ("math", "import math"),
    ("Path", "from pathlib import Path"),
    ("", ""),
    ("jax", "import jax"),
    ("jnp", "import jax.numpy as jnp"),
    ("optax", "import optax"),
    ("nnx", "from flax import nnx"),
    ("lax", "from jax import lax"),
    ("load_file", "from safetensors.flax import load_file"),
    ("", ""),
    ("ops", "import ops"),
)


def import_lines(body: str) -> str:
    """The imports that a body of code needs."""
    lines = [line for name, line in _IMPORTS if not name or re.search(rf"(?<!\.)\b{name}\b(?=[.(])", body)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _class_text(made: _Class, module: _Module) -> str:
    comment = f"  # {made.header}" if made.header else ""
    lines = [f"class {made.name}(nnx.Module):{comment}", "    def __init__(self, *, rngs: nnx.Rngs):"]
    lines += [f"        {line.text}" for line in made.init]
    lines += ["", f"    def __call__({', '.join(['self', *made.body.parameters])}):"]
    for line in made.body.lines:
        lines.append(f"        {line.text}" + (f"  # {line.comment}" if line.comment else ""))
    return "\n".join(lines)


def ops_text(helpers: Helpers) -> str | None:
    """The text of ops.py: the helpers and what they call, each once, without decorators."""
    if not helpers.functions:
        return None
    texts: dict[str, str] = {}
    pending = list(helpers.functions.values())
    constants: dict[str, str] = {}
    while pending:
        fn = pending.pop(0)
        if fn.__name__ in texts:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
        source = textwrap.dedent(inspect.getsource(fn)).splitlines()
        texts[fn.__name__] = "\n".join(source[tree.lineno - 1 :])
        for name in {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}:
            found = fn.__globals__.get(name)
            if inspect.isfunction(found) and found.__module__.startswith("regauge.rules"):
                pending.append(found)
            elif isinstance(found, int | float | str | tuple | dict | frozenset) and not name.startswith("__"):
                constants[name] = f"{name} = {found!r}"
    body = "\n\n\n".join(texts.values())
    values = "\n".join(constants.values())
    imports = [
        line
        for pattern, line in (
            (r"\bmath\.", "import math"),
            (r"\bCallable\b", "from collections.abc import Callable"),
            (r"\bSequence\b", "from collections.abc import Sequence"),
            (r"\bAny\b", "from typing import Any"),
            (r"\bjax\.", "import jax"),
            (r"\bjnp\.", "import jax.numpy as jnp"),
            (r"\bnp\.", "import numpy as np"),
            (r"\bnnx\.", "from flax import nnx"),
            (r"\bArray\b", "from jax import Array"),
            (r"\blax\.", "from jax import lax"),
            (r"\bDTypeLike\b", "from jax.typing import DTypeLike"),
        )
        if re.search(pattern, body)
    ]
    header = '"""Helpers of model.py: operators that JAX has no single function for."""\n\n'
    header += "from __future__ import annotations\n\n"
    return header + "\n".join(imports) + "\n\n" + (values + "\n\n\n" if values else "\n") + body + "\n"

"""Expressions: every name of a framework in them is a use, and each has a kind (see `kinds`)."""

from __future__ import annotations

import ast

from regauge.decide.audit import kinds
from regauge.decide.audit.arguments import with_argument
from regauge.decide.audit.kinds import MASK, MAYBE, PLAIN, TENSOR, UNKNOWN, is_tensor
from regauge.decide.audit.names import bound_names, dotted
from regauge.decide.audit.recorder import ClassFacts, Recorder
from regauge.decide.audit.tables.lookup import tensor_functions, tensor_methods

_JAX_ARRAYS = ("jax.numpy.", "jax.lax.", "jax.nn.", "jax.random.")
_ARRAY_METHODS = frozenset({"at", "astype", "block_until_ready"})
# Layers whose result is a tuple.
_TUPLES = ("LSTM", "GRU", "RNN", "MultiheadAttention")
_HOST = ("time.time", "time.perf_counter", "time.sleep", "os.system", "os.getenv", "subprocess.run", "subprocess.Popen")


class Expressions:
    """Reads the expressions of one scope; `env` says what its names hold now."""

    def __init__(self, recorder: Recorder, index: int, facts: ClassFacts | None, hidden: frozenset[str]) -> None:
        self.recorder = recorder
        self.file = recorder.file
        self.index = index
        self.scope = recorder.scope(index)
        self.facts = facts
        self.hidden: frozenset[str] = hidden
        self.env: dict[str, int] = {}
        self.objects: dict[str, str] = {}  # local name -> the class or function of this file that made it

    def kind(self, node: ast.expr) -> int:
        """What an expression is; records every use in it."""
        handler = getattr(self, f"_{type(node).__name__}", None)
        if handler is not None:
            return handler(node)
        self._children(node)
        return UNKNOWN

    def _children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.kind(child)
            elif isinstance(child, ast.keyword):
                self.kind(child.value)

    def _use(self, name: str, node: ast.expr) -> None:
        self.recorder.use(name, getattr(node, "end_lineno", None) or node.lineno, self.index)

    # Names ----------------------------------------------------------------------------------------------------------

    def _Name(self, node: ast.Name) -> int:
        if node.id in self.env:
            return self.env[node.id]
        path = self.file.path(node, self.hidden)
        if "." in path:
            self._use(path, node)
        return UNKNOWN

    def _Constant(self, node: ast.Constant) -> int:
        return PLAIN

    def _Attribute(self, node: ast.Attribute) -> int:
        path = self.file.path(node, self.hidden)
        if path:
            self._use(path, node)
            return PLAIN
        base = self.kind(node.value)
        if not self.file.has_torch:
            return self._jax_attribute(node, base)
        own = isinstance(node.value, ast.Name) and node.value.id == "self"
        if own and self.facts is not None and node.attr in self.facts.tensors:
            return TENSOR
        if node.attr == "requires_grad" and base != PLAIN:
            self._use("torch.Tensor.requires_grad", node)
            return PLAIN
        if node.attr == "data" and self._may_hold(node.value, base):
            self._use("torch.Tensor.data", node)
            self.recorder.hazard("data", node, self.index)
            return TENSOR
        if node.attr == "grad" and self._may_hold(node.value, base):
            stored = not isinstance(node.ctx, ast.Load)
            self._use("torch.Tensor.grad.setter" if stored else "torch.Tensor.grad", node)
            return TENSOR
        if base >= MAYBE:
            if node.attr in kinds.PLAIN_PROPERTIES:
                return PLAIN
            if node.attr in kinds.TENSOR_PROPERTIES:
                return base
            return UNKNOWN
        return UNKNOWN

    def _may_hold(self, node: ast.expr, base: int) -> bool:
        """Whether an object is a tensor for sure, or named as parameters are."""
        if is_tensor(base):
            return True
        last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        return base != PLAIN and last in ("p", "param", "parameter", "weight", "bias")

    def _jax_attribute(self, node: ast.Attribute, base: int) -> int:
        if node.attr == "at" or (node.attr in _ARRAY_METHODS and is_tensor(base)) or node.attr == "block_until_ready":
            self._use(f"jax.Array.{node.attr}", node)
            return base
        if base >= MAYBE:
            return PLAIN if node.attr in kinds.PLAIN_PROPERTIES else base
        return UNKNOWN

    # Operators ------------------------------------------------------------------------------------------------------

    def _BinOp(self, node: ast.BinOp) -> int:
        left, right = self.kind(node.left), self.kind(node.right)
        if TENSOR in (left, right) or MASK in (left, right):
            return (
                MASK if MASK in (left, right) and isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor) else TENSOR
            )
        return max(left, right) if MAYBE in (left, right) or left == right else UNKNOWN

    def _UnaryOp(self, node: ast.UnaryOp) -> int:
        if isinstance(node.op, ast.Not):
            self.truth(node.operand)
            return PLAIN
        return self.kind(node.operand)

    def _Compare(self, node: ast.Compare) -> int:
        found = [self.kind(node.left), *(self.kind(value) for value in node.comparators)]
        if any(isinstance(op, ast.Is | ast.IsNot | ast.In | ast.NotIn) for op in node.ops):
            return PLAIN
        if any(is_tensor(kind) for kind in found):
            return MASK
        return MAYBE if MAYBE in found else PLAIN

    def _BoolOp(self, node: ast.BoolOp) -> int:
        for value in node.values[:-1]:
            self.truth(value)
        return self.kind(node.values[-1])

    def _IfExp(self, node: ast.IfExp) -> int:
        self.truth(node.test)
        return kinds.join(self.kind(node.body), self.kind(node.orelse))

    def truth(self, node: ast.expr) -> None:
        """An expression whose truth decides something: a tensor there is a hazard."""
        if isinstance(node, ast.BoolOp):
            guarded = any(guard in ast.unparse(node) for guard in kinds.GUARDS)
            before = len(self.recorder.result.hazards)
            for value in node.values:
                self.truth(value)
            if guarded:
                del self.recorder.result.hazards[before:]
            return
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.truth(node.operand)
            return
        before = len(self.recorder.result.hazards)
        if is_tensor(self.kind(node)) and len(self.recorder.result.hazards) == before:
            self.recorder.hazard("branch", node, self.index)

    def _Subscript(self, node: ast.Subscript) -> int:
        base = self.kind(node.value)
        indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        masked = MASK in [self.kind(index) for index in indices]
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            return UNKNOWN  # a mapping
        if base < MAYBE:
            return UNKNOWN if base == PLAIN else base
        if masked and isinstance(node.ctx, ast.Load):
            self.recorder.hazard("shape", node, self.index)
            return TENSOR
        return base

    def _Slice(self, node: ast.Slice) -> int:
        self._children(node)
        return PLAIN

    def _tuple(self, node: ast.Tuple | ast.List) -> int:
        found = [self.kind(item) for item in node.elts]
        return found[0] if found and isinstance(node.ctx, ast.Store) else UNKNOWN

    _Tuple = _List = _tuple

    def _JoinedStr(self, node: ast.JoinedStr) -> int:
        self._children(node)
        return PLAIN

    def _FormattedValue(self, node: ast.FormattedValue) -> int:
        self.kind(node.value)
        return PLAIN

    def _NamedExpr(self, node: ast.NamedExpr) -> int:
        kind = self.kind(node.value)
        self.env[node.target.id] = kind
        return kind

    def _Lambda(self, node: ast.Lambda) -> int:
        outer, hidden = self.env, self.hidden
        self.env, self.hidden = {**outer, **{a.arg: UNKNOWN for a in node.args.args}}, hidden | bound_names(node)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.kind(default)
        before = len(self.recorder.result.hazards)
        self.kind(node.body)
        del self.recorder.result.hazards[before:]  # whether it ever runs is not known
        self.env, self.hidden = outer, hidden
        return UNKNOWN

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> int:
        outer = dict(self.env)
        for part in node.generators:
            kind = self.kind(part.iter)
            for name in ast.walk(part.target):
                if isinstance(name, ast.Name):
                    self.env[name.id] = kind if is_tensor(kind) else MAYBE if kind == MAYBE else UNKNOWN
            for condition in part.ifs:
                self.truth(condition)
        for value in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.kind(value)
        self.env = outer
        return UNKNOWN

    _ListComp = _SetComp = _GeneratorExp = _DictComp = _comprehension

    # Calls ----------------------------------------------------------------------------------------------------------

    def _Call(self, node: ast.Call) -> int:
        path = self.file.path(node.func, self.hidden)
        if path:
            self._use(with_argument(path, node), node.func)
            return self._api_call(path, node)
        if isinstance(node.func, ast.Attribute):
            return self._method(node, node.func)
        if isinstance(node.func, ast.Name):
            return self._function_call(node, node.func.id)
        self.kind(node.func)
        self._arguments(node)
        return UNKNOWN

    def _arguments(self, node: ast.Call) -> list[int]:
        found = [self.kind(argument) for argument in node.args]
        for keyword in node.keywords:
            self.kind(keyword.value)
        return found

    def _api_call(self, path: str, node: ast.Call) -> int:
        self._arguments(node)
        if path in kinds.VALUE_FUNCTIONS:
            self.recorder.hazard("value", node, self.index)
        elif path in kinds.SHAPE_FUNCTIONS or (path == "torch.where" and len(node.args) == 1 and not node.keywords):
            self.recorder.hazard("shape", node, self.index)
        if path in kinds.PLAIN_FUNCTIONS:
            return PLAIN
        if path in kinds.MASK_FUNCTIONS:
            return MASK
        if path in tensor_functions() or path == "torch.from_numpy" or path.startswith(_JAX_ARRAYS):
            return TENSOR
        return UNKNOWN

    def _function_call(self, node: ast.Call, name: str) -> int:
        found = self._arguments(node)
        self.scope.calls.add(name)
        certain = any(is_tensor(kind) for kind in found)
        if name in ("float", "int", "bool", "complex") and certain:
            self.recorder.hazard("value", node, self.index)
            return PLAIN
        if name == "range" and certain:
            self.recorder.hazard("branch", node, self.index)
        if name == "print" and certain:
            self.recorder.hazard("print", node, self.index)
        if name == "open":
            self.recorder.hazard("host", node, self.index)
        if name in ("max", "min", "abs", "sum", "round") and certain:
            return TENSOR
        if name in ("len", "isinstance", "hasattr", "range", "int", "float", "bool", "str", "type", "callable"):
            return PLAIN
        if name[:1].isupper():
            return UNKNOWN  # an object of a class, whatever it is made from
        return (
            MAYBE if certain and name not in ("print", "list", "tuple", "dict", "set", "zip", "enumerate") else UNKNOWN
        )

    def _method(self, node: ast.Call, function: ast.Attribute) -> int:
        own = isinstance(function.value, ast.Name) and function.value.id == "self"
        owner = "self" if own else self._object(function.value)
        if owner:
            self.scope.calls.add(f"{owner}.{function.attr}")
        base = self.kind(function.value)
        found = self._arguments(node)
        self._host(node, function, found)
        if not self.file.has_torch:
            return self._jax_attribute(function, base)
        if own and self.facts is not None and function.attr in self.facts.layers:
            return self._layer(self.facts.layers[function.attr])
        defined = own and self.facts is not None and function.attr in self.facts.methods
        if not defined and self._module_method(node, function, base, own):
            return UNKNOWN
        if not own and not self._is_import(function.value) and self._is_tensor_method(node, function, base):
            return self._tensor_method(node, function.attr, base)
        return MAYBE if own and any(is_tensor(kind) for kind in found) else UNKNOWN

    def _object(self, node: ast.expr) -> str:
        """The class of this file that an object is of, or that is named itself; ``super`` for what is called so."""
        if isinstance(node, ast.Name):
            return self.objects.get(node.id, node.id if node.id[:1].isupper() else "")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return node.func.id
        own = isinstance(node, ast.Attribute) and dotted(node.value) == "self" and self.facts is not None
        return self.facts.objects.get(node.attr, "") if own else ""  # type: ignore[attr-defined,union-attr]

    def _is_import(self, node: ast.expr) -> bool:
        """Whether this is a module: ``math.isfinite`` is no method of a tensor."""
        head = dotted(node).partition(".")[0]
        return bool(head) and head in self.file.imports.names and head not in self.hidden and head not in self.env

    def _layer(self, path: str) -> int:
        if not path.startswith("torch.nn."):
            return MAYBE
        return MAYBE if path.rpartition(".")[2].startswith(_TUPLES) else TENSOR

    def _is_tensor_method(self, node: ast.Call, function: ast.Attribute, base: int) -> bool:
        name = function.attr
        if name not in tensor_methods() or base == PLAIN:
            return False
        if base >= MAYBE:
            return True
        if name in ("cpu", "numpy", "cuda") and not node.args:
            return True
        if any(keyword.arg in ("dim", "keepdim") for keyword in node.keywords):  # NumPy says axis and keepdims
            return True
        if name == "item" and not node.args:
            return not self.file.has_numpy or "loss" in ast.unparse(function.value).lower()
        return name in kinds.OWN or name not in kinds.SHARED

    def _tensor_method(self, node: ast.Call, name: str, base: int) -> int:
        self._use(f"torch.Tensor.{name}", node.func)
        if name in kinds.VALUE_METHODS:
            self.recorder.hazard("value", node, self.index)
        elif name == "numpy":
            self.recorder.hazard("numpy", node, self.index)
        elif name in kinds.SHAPE_METHODS:
            self.recorder.hazard("shape", node, self.index)
        elif name in kinds.MEMORY_METHODS:
            self.recorder.hazard("memory", node, self.index)
        elif name == "register_hook":
            self.recorder.hazard("hook", node, self.index)
        if name in kinds.PLAIN_METHODS or (name == "type" and not node.args):
            return PLAIN
        if name in kinds.MASK_METHODS:
            return MASK if base != MAYBE or name not in ("any", "all") else TENSOR
        return TENSOR

    def _module_method(self, node: ast.Call, function: ast.Attribute, base: int, own: bool) -> bool:
        """Methods of modules, optimizers and schedulers, by names that nothing else has, or by what they belong to."""
        name, last = function.attr, dotted(function.value).rpartition(".")[2].lower()
        target = ""
        if name in kinds.MODULE_METHODS or name in kinds.HOOKS:
            target = f"torch.nn.Module.{name}"
            if name in kinds.CALL_HOOKS:
                self.recorder.hazard("hook", node, self.index)
        elif name == "zero_grad" or (name == "step" and ("optim" in last or last == "opt")):
            target = f"torch.optim.Optimizer.{name}"
        elif name == "step" and "sched" in last:
            target = "torch.optim.lr_scheduler.LRScheduler.step"
        elif name == "unscale_" or (last == "scaler" and name in ("scale", "step", "update")):
            target = f"torch.amp.GradScaler.{name}"
        elif name in ("train", "eval", "to", "cuda", "half", "float", "apply") and base < PLAIN:
            named = any(word in last for word in ("model", "module", "net")) and "." not in name
            if named or (own and name in ("train", "eval", "apply") and self.facts is not None):
                target = f"torch.nn.Module.{name}"
        if target:
            self._use(target, function)
        return bool(target)

    def _host(self, node: ast.Call, function: ast.Attribute, found: list[int]) -> None:
        text = dotted(function)
        head, _, rest = text.partition(".")
        base = self.file.imports.names.get(head)
        if not rest or base is None or head in self.hidden:
            return
        path = f"{base}.{rest}"
        if path in _HOST:
            self.recorder.hazard("host", node, self.index)
        elif path.startswith(("random.", "numpy.random.")) and base.partition(".")[0] in ("random", "numpy"):
            self.recorder.hazard("random", node, self.index)
        elif path.startswith(("numpy.", "scipy.")) and any(is_tensor(kind) for kind in found):
            self.recorder.hazard("numpy", node, self.index)

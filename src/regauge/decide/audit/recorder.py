"""What the reader of one file knows and writes down: names resolved, uses and hazards recorded."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import lru_cache

from regauge.decide.audit.kinds import words
from regauge.decide.audit.names import Imports, dotted
from regauge.decide.audit.scan import Scan, Scope
from regauge.decide.audit.tables.lookup import API_ROOTS, FRAMEWORK_OF, table_of

_API = API_ROOTS["pytorch"] | API_ROOTS["jax"]
# Modules: where one is handed on, what is taken from it counts where it is used.
_MODULES = words(
    "torch.nn torch.nn.functional torch.optim torch.linalg torch.fft torch.special torch.utils torch.utils.data "
    "torch.optim.lr_scheduler torch.hub torch.backends torch._dynamo torch._inductor torch.testing torch.onnx "
    "jax.numpy jax.nn jax.lax jax.random jax.scipy jax.tree_util jax.tree flax.linen flax.nnx flax.core flax.training"
)
# Where torch keeps what it shows under a shorter name.
_INNER = (
    (re.compile(r"^(torch|jax)\.\1\b"), r"\1"),
    (re.compile(r"^jax\.config\.config\b"), "jax.config"),
    (re.compile(r"^torch\.nn\.modules\.[a-z_]+\.([A-Z]\w*)"), r"torch.nn.\1"),
    (re.compile(r"^torch\.nn\.parameter\.([A-Z]\w*)"), r"torch.nn.\1"),
    (re.compile(r"^torch\.optim\.(?!lr_scheduler|swa_utils)[a-z_]+\.([A-Z]\w*)"), r"torch.optim.\1"),
    (re.compile(r"^torch\.utils\.data\.(?:dataloader|dataset|sampler)\.([A-Z]\w*)"), r"torch.utils.data.\1"),
    (re.compile(r"^torch\.(?:functional|tensor|_tensor)\.(\w+)"), r"torch.\1"),
    (re.compile(r"^torch\._foreach_\w+"), "torch._foreach"),
    (re.compile(r"^flax\.linen\.[a-z_]+\.([A-Z]\w*)"), r"flax.linen.\1"),
    (re.compile(r"^flax\.linen\.(?:activation|attention|linear|module|pooling)\.(\w+)"), r"flax.linen.\1"),
    (re.compile(r"^flax\.nnx\.nn\.[a-z_]+\."), "flax.nnx."),
    (re.compile(r"^jax\._src\.(?:numpy|lax)\.\w+\."), "jax.numpy."),
    (re.compile(r"^jax\._src\.(flatten_util|tree_util|random|core|typing|scipy|nn\.initializers)\.(?!_)"), r"jax.\1."),
    (re.compile(r"^jax\._src\.api\.(?!_)"), "jax."),
    (re.compile(r"^jax\._src\.nn\.functions\.(?!_)"), "jax.nn."),
    (re.compile(r"^optax\._src\.\w+\."), "optax."),
)


@lru_cache(maxsize=20_000)
def canonical(name: str) -> str:
    """The public name of what is imported from where it is defined."""
    for pattern, replacement in _INNER:
        name = pattern.sub(replacement, name)
    return name


@dataclass(frozen=True)
class File:
    """What the readers of one file share.

    Attributes:
        roots: top-level modules whose uses are recorded.
        libraries: import names of libraries; their uses are counted under that name alone.
        has_torch: whether torch is imported: methods of tensors are looked for only then.
        has_numpy: whether NumPy is too: then an unknown object with ``.view()`` may be an array.
    """

    imports: Imports
    roots: frozenset[str]
    libraries: frozenset[str]
    has_torch: bool
    has_numpy: bool

    def path(self, node: ast.expr, hidden: frozenset[str]) -> str:
        """The dotted path that a chain of names stands for, if its root is of interest; else empty."""
        text = dotted(node)
        head, dot, rest = text.partition(".")
        if not head or head in hidden:
            return ""
        base = self.imports.names.get(head)
        if base is None:
            return self._starred(head, dot + rest)
        path = canonical(f"{base}{dot}{rest}")
        return path if path.partition(".")[0] in self.roots else ""

    def _starred(self, head: str, rest: str) -> str:
        """A name that ``from torch.nn import *`` may have brought: only if the table has it."""
        for module in self.imports.stars:
            framework = FRAMEWORK_OF.get(module.partition(".")[0])
            table = table_of(framework) if framework else None
            if table and f"{module}.{head}" in table.entries:
                return f"{module}.{head}{rest}"
        return ""


@dataclass
class ClassFacts:
    """Attributes of a class that its methods share: which hold tensors, layers, or modules of a framework.

    Attributes:
        tensors: parameters and buffers.
        layers: attribute -> path of the class that it is made of.
        objects: attribute -> name of the class or function of the same file that it is made of.
        methods: names of the methods that the class defines itself.
    """

    tensors: set[str] = field(default_factory=set)
    layers: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    methods: set[str] = field(default_factory=set)

    @property
    def is_module(self) -> bool:
        """Whether the class holds parts of torch.nn: then what its methods are given are most likely tensors."""
        return bool(self.tensors) or any(path.startswith("torch.nn.") for path in self.layers.values())

    @staticmethod
    def of(node: ast.ClassDef, file: File) -> ClassFacts:
        facts = ClassFacts()
        facts.methods = {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)}
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Call):
                path = file.path(inner.value.func, frozenset())
                for target in inner.targets:
                    if not isinstance(target, ast.Attribute) or dotted(target.value) != "self":
                        continue
                    if isinstance(inner.value.func, ast.Name) and not path:
                        facts.objects[target.attr] = inner.value.func.id
                    if path:
                        facts.layers[target.attr] = path
                        if path in ("torch.nn.Parameter", "torch.nn.Buffer"):
                            facts.tensors.add(target.attr)
            elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
                first = inner.args[0] if inner.args else None
                if inner.func.attr in ("register_buffer", "register_parameter") and isinstance(first, ast.Constant):
                    facts.tensors.add(str(first.value))
        return facts


class Recorder:
    """Writes uses and hazards of one file into its `Scan`."""

    def __init__(self, file: File, result: Scan) -> None:
        self.file = file
        self.result = result
        self._index: dict[str, int] = {}

    def scope(self, index: int) -> Scope:
        return self.result.scopes[index]

    def use(self, name: str, line: int, scope: int) -> None:
        """One use; of a library only its import name is kept, of a foreign framework two parts."""
        root = name.partition(".")[0]
        if name in _MODULES:
            return
        if root not in _API:
            if root in self.file.libraries:
                name = root
            else:
                name = ".".join(name.split(".")[:2])
        index = self._index.setdefault(name, len(self._index))
        if index == len(self.result.names):
            self.result.names.append(name)
        self.result.uses += (index, line, scope)

    def hazard(self, kind: str, node: ast.AST, scope: int) -> None:
        text = " ".join(ast.unparse(node).split())
        self.result.hazards.append(
            (kind, getattr(node, "lineno", 1), scope, text if len(text) <= 72 else text[:69] + "...")
        )

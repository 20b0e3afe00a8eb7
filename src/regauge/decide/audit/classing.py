"""Classes of uses: what the table says of a name, and what the place of the use makes of it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from regauge.decide.audit.arguments import plain
from regauge.decide.audit.modules import Modules
from regauge.decide.audit.scan import Class, Scan, Scope, is_test
from regauge.decide.audit.tables.entries import Entry
from regauge.decide.audit.tables.lookup import table_of
from regauge.language import N_

Context = Literal["model", "function", "initialisation", "script", "data", "optimizer", "gradient", "test"]

# A function with uses of these is a program around models, or works on the objects of a library: it is not a function
# of tensors that could be converted.
_PROGRAM = frozenset(
    {"optimizer", "scheduler", "training", "data", "checkpoint", "distributed", "export", "hook", "tool", "library"}
)
_TENSORS = frozenset({"operation", "loss", "model", "type"})
_INITIALISERS = frozenset(
    {"_init_weights", "init_weights", "reset_parameters", "_reset_parameters", "initialize_weights"}
)
_ENTRY_POINTS = ("forward", "__call__")
_CONSTRUCTORS = ("__init__", "__post_init__", "setup", "build")
# The loop that generates, and what the generation mixin of transformers lets a model override: no case converts these.
_GENERATION = frozenset({"generate", "_sample", "_beam_search", "_expand_multimodal_outputs", "_reorder_cache"})
_FOR_GENERATION = "_for_generation"

_OUTSIDE = N_("it stands outside of models and functions of tensors, which are what regauge converts")
_UNKNOWN = N_("regauge has no record of this name: look whether JAX has one")
_UNKNOWN_TORCH = N_("regauge has no record of this name: look whether PyTorch has one")
_OWN_OPTIMIZER = N_("an optimizer of one's own becomes an optax.GradientTransformation")


@lru_cache(maxsize=50_000)
def entry_of(name: str, framework: str) -> Entry:
    """The entry of an API name; a name that no table has counts as manual and is marked."""
    table = table_of(framework)
    found = table.find(name) if table else None
    if found is not None:
        return found
    return Entry("unknown", "manual", "", _UNKNOWN if framework == "pytorch" else _UNKNOWN_TORCH, recorded=False)


def placed(entry: Entry, context: Context, name: str, registry: bool = False) -> Entry:
    """The entry in its context: automatic is only what stands in a model or in a function of tensors.

    Args:
        registry: the use stands outside of functions in a file of models: layers there are made into models later.
    """
    if context == "optimizer" and name == "torch.optim.Optimizer":
        return replace(entry, degree="manual", why=_OWN_OPTIMIZER)
    if context == "model" and entry.area == "distributed" and name != plain(name):
        return entry_of(plain(name), "pytorch")  # what the host calls has no place in a compiled model
    if entry.degree != "automatic" or context in ("model", "function"):
        return entry
    if context != "test" and (entry.anywhere or (entry.area == "model" and context == "script" and registry)):
        return entry
    return replace(entry, degree="equivalent", counterpart=entry.counterpart or "jax.numpy", why=_OUTSIDE)


class Contexts:
    """The context of every scope of a file, and which scopes are traced when its models are."""

    def __init__(self, scan: Scan, modules: Modules, framework: str, libraries: Container[str] = ()) -> None:
        self.scan = scan
        self.modules = modules
        self.framework = framework
        self.libraries = libraries
        self.categories = [modules.category(f"{scan.module}.{item.name}") for item in scan.classes]
        self.traced = self._reached(self._forwards())
        self.generating = self._reached(self._generators()) - self.traced
        self.records = [modules.is_record(f"{scan.module}.{item.name}") for item in scan.classes]
        areas = self._areas()
        self.contexts = [self._context(index, areas) for index in range(len(scan.scopes))]

    def is_registry(self, scope: int) -> bool:
        """Whether a scope is the top level of a file that defines models, where tables of layers stand."""
        return self.scan.scopes[scope].name == "" and "module" in self.categories

    def in_module(self, scope: int) -> bool:
        owner = self.scan.scopes[scope].owner
        return owner >= 0 and self.categories[owner] == "module"

    def _areas(self) -> list[set[str]]:
        found: list[set[str]] = [set() for _ in self.scan.scopes]
        for index in range(len(self.scan.uses) // 3):
            name, _, scope = self.scan.use(index)
            library = name.partition(".")[0] in self.libraries
            found[scope].add("library" if library else entry_of(name, self.framework).area)
        return found

    def _context(self, index: int, areas: list[set[str]]) -> Context:
        scope = self.scan.scopes[index]
        if is_test(self.scan.path):
            return "test"
        if index in self.traced:
            return "model"
        if index in self.generating:
            return "script"
        method = scope.name.rpartition(".")[2]
        program = bool(areas[index] & _PROGRAM) or method == "main"
        if scope.owner < 0:
            program = program or "optimizer" in self.categories  # what its step calls changes lists of tensors in place
            return "function" if scope.name and not program and areas[index] & _TENSORS else "script"
        category = self.categories[scope.owner]
        own = scope.name == self.scan.classes[scope.owner].name
        if own and self.records[scope.owner] and "module" in self.categories:
            return "model"  # what a model of this file returns, wherever it is made
        if category != "module":
            return "script" if category == "other" else category
        if method in _INITIALISERS or method.startswith("init_"):
            return "initialisation"
        if method in _CONSTRUCTORS or own:
            return "model"
        return "script" if program or self._returns_object(scope) else "function"

    def _returns_object(self, scope: Scope) -> bool:
        """Whether a method of a model says that it returns an object of the tree: a function of tensors returns
        tensors, or a record of them."""
        homes = [home for name in scope.returns if (home := self.modules.class_of(name))]
        return any(self.modules.category(home) == "other" and not self.modules.is_record(home) for home in homes)

    def _forwards(self) -> list[int]:
        """Scopes where a model of this file is called."""
        return [
            index
            for index, scope in enumerate(self.scan.scopes)
            if self.in_module(index) and scope.name.rpartition(".")[2] in _ENTRY_POINTS
        ]

    def _generators(self) -> list[int]:
        """Methods of models that run a generation loop or prepare it."""
        found = []
        for index, scope in enumerate(self.scan.scopes):
            method = scope.name.rpartition(".")[2]
            if self.in_module(index) and (method in _GENERATION or method.endswith(_FOR_GENERATION)):
                found.append(index)
        return found

    def _reached(self, waiting: list[int]) -> set[int]:
        """These scopes and what they call in this file."""
        by_name: Mapping[str, int] = {scope.name: index for index, scope in enumerate(self.scan.scopes)}
        reached: set[int] = set()
        while waiting:
            index = waiting.pop()
            if index in reached:
                continue
            reached.add(index)
            scope = self.scan.scopes[index]
            for call in scope.calls:
                target = by_name.get(self._called(call, scope, by_name))
                if target is not None and self._follows(target):
                    waiting.append(target)
        return reached

    def _called(self, call: str, scope: Scope, by_name: Mapping[str, int]) -> str:
        """The qualified name of what is called: methods are looked for along the bases, the making of an object is
        its ``__init__``."""
        head, _, method = call.partition(".")
        if not method:
            return f"{call}.__init__" if f"{call}.__init__" in by_name else call
        owner = self.scan.classes[scope.owner] if scope.owner >= 0 else None
        if head == "super":
            waiting = self._bases(owner) if owner is not None else []
        else:
            waiting = [owner.name if head == "self" and owner is not None else head]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop(0)
            if f"{name}.{method}" in by_name:
                return f"{name}.{method}"
            seen.add(name)
            found = next((item for item in self.scan.classes if item.name == name), None)
            waiting += [base for base in self._bases(found) if base not in seen]
        return call

    def _bases(self, item: Class | None) -> list[str]:
        """Bases of a class that stand in this file."""
        start = f"{self.scan.module}."
        return [base.removeprefix(start) for base in (item.bases if item else ()) if base.startswith(start)]

    def _follows(self, target: int) -> bool:
        """Whether a call leads on: not into optimizers, data sets, tests and derivatives of one's own, and not into
        how modules are made, which nothing traces."""
        scope = self.scan.scopes[target]
        if scope.owner < 0:
            return True
        made = scope.name.endswith(".__init__")
        return self.categories[scope.owner] == "other" or (self.categories[scope.owner] == "module" and not made)

"""The tree as Python sees it: which file a dotted name means, which class a name is, what classes come from."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from regauge.decide.audit.kinds import words
from regauge.decide.audit.scan import Class, Scan

Category = Literal["module", "data", "optimizer", "gradient", "test", "other"]

_DEPTH = 24  # of a chain of bases or re-exports; a longer one is a circle
# Classes of libraries that are modules of torch, by their names.
_LIBRARY_MODULE = re.compile(r"(Module|Model|Net|Layer|Block|Head|Norm\w*|Conv\w*|Attention|Linear|Extractor|Encoder)$")

_RECORDS = ("ModelOutput", "NamedTuple")


@dataclass(frozen=True)
class Place:
    """Where a file stands: its dotted name, and the package that its relative imports start from."""

    module: str
    package: str


def places(paths: Sequence[str], root_name: str) -> dict[str, Place]:
    """Dotted names of files, from the topmost directory that is a package.

    Args:
        root_name: the name of the tree itself, which counts if it is a package.
    """
    packages = {str(PurePosixPath(path).parent) for path in paths if PurePosixPath(path).name == "__init__.py"}
    found = {}
    for path in paths:
        pure = PurePosixPath(path)
        parts = [] if pure.stem == "__init__" else [pure.stem]
        directory = pure.parent
        while str(directory) in packages and str(directory) != ".":
            parts.insert(0, directory.name)
            directory = directory.parent
        if str(directory) == "." and "." in packages:
            parts.insert(0, root_name)
        module = ".".join(parts)
        package = module if pure.stem == "__init__" else module.rpartition(".")[0]
        found[path] = Place(module, package)
    return found


def package_name(root: Path) -> str:
    """The dotted name of a directory, with the packages that it lies in: ``regauge.capture``."""
    parts = [root.name]
    while (root.parent / "__init__.py").is_file() and root.parent != root:
        root = root.parent
        parts.insert(0, root.name)
    return ".".join(parts)


def own_roots(found: Mapping[str, Place]) -> frozenset[str]:
    """Top-level names that the tree itself provides."""
    return frozenset(place.module.partition(".")[0] for place in found.values() if place.module)


@dataclass
class Modules:
    """Lookups over all scans of a tree."""

    scans: Sequence[Scan]
    by_module: dict[str, Scan] = field(default_factory=dict)
    by_path: dict[str, Scan] = field(default_factory=dict)
    classes: dict[str, tuple[Scan, Class]] = field(default_factory=dict)
    _homes: dict[str, str] = field(default_factory=dict)
    _categories: dict[str, Category] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for scan in self.scans:
            self.by_path[scan.path] = scan
            if scan.module:
                self.by_module.setdefault(scan.module, scan)
            for item in scan.classes:
                self.classes.setdefault(f"{scan.module}.{item.name}", (scan, item))

    def file_of(self, name: str, near: Scan) -> Scan | None:
        """The file that an import of `name` in `near` leads to, re-exports followed; None outside of the tree."""
        directory, slash, _ = near.path.rpartition("/")
        if "." not in near.module:  # a script: what stands beside it comes first
            beside = self.by_path.get(f"{directory}{slash}{name.partition('.')[0]}.py")
            if beside is not None and beside is not near:
                return beside
        found = self._file(name.lstrip("."), _DEPTH)
        return None if found is near else found

    def _file(self, name: str, depth: int) -> Scan | None:
        if name in self.by_module:
            return self.by_module[name]
        module, dot, last = name.rpartition(".")
        if not dot or depth == 0:
            return None
        home = self.by_module.get(module)
        if home is None:
            return self._file(module, depth - 1)
        if home.path.endswith("__init__.py") and not any(item.name == last for item in home.classes):
            onward = next((other for other in home.imports if other.endswith(f".{last}") and other != name), None)
            if onward is not None:
                return self._file(onward, depth - 1) or home
        return home

    def class_of(self, name: str) -> str:
        """The qualified name under which a class of the tree is defined; empty if it is none of it."""
        name = name.lstrip(".")
        if name not in self._homes:
            self._homes[name] = self._search(name)
        return self._homes[name]

    def _search(self, name: str) -> str:
        """Follows re-exports, breadth first; every name once, so that packages that import each other end."""
        waiting, seen = deque([name]), {name}
        while waiting:
            current = waiting.popleft()
            if current in self.classes:
                return current
            module, _, last = current.rpartition(".")
            home = self.by_module.get(module)
            for other in home.imports if home is not None else ():
                target = other if other.endswith(f".{last}") else f"{other}.{last}" if other in self.by_module else ""
                if target and target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return ""

    def category(self, name: str, depth: int = _DEPTH) -> Category:
        """What a class of the tree is, by where its chain of bases leads."""
        if name in self._categories:
            return self._categories[name]
        if depth == 0 or name not in self.classes:
            return "other"
        self._categories[name] = "other"  # ends circles
        for base in self.classes[name][1].bases:
            inner = self.class_of(base)
            found = self.category(inner, depth - 1) if inner else outer_category(base)
            if found != "other":
                self._categories[name] = "other" if found == "module" and self._accumulates(name) else found
                break
        return self._categories[name]

    def _accumulates(self, name: str) -> bool:
        """Whether a class is a metric: what ``update`` gathers and ``compute`` returns is no model that converts."""
        scan, item = self.classes[name]
        methods = {scope.name for scope in scan.scopes}
        return {f"{item.name}.update", f"{item.name}.compute"} <= methods

    def is_record(self, name: str, depth: int = _DEPTH) -> bool:
        """Whether a class of the tree only names what a model returns: a NamedTuple, or an output of transformers."""
        if depth == 0 or name not in self.classes:
            return False
        return any(
            base.rpartition(".")[2] in _RECORDS or self.is_record(self.class_of(base), depth - 1)
            for base in self.classes[name][1].bases
        )


def outer_category(base: str) -> Category:
    """What a class is that derives from a class outside of the tree."""
    root, _, _ = base.partition(".")
    last = base.rpartition(".")[2]
    if base.startswith("torch.utils.data"):
        return "data"
    if base.startswith("torch.optim"):
        return "optimizer"
    if base.startswith("torch.autograd"):
        return "gradient"
    if base.startswith(("torch.nn.", "torch.jit.ScriptModule", "torch.distributed.pipelining")):
        return "module" if last[:1].isupper() or last.startswith("_") else "other"
    if base.startswith("unittest.") or last == "TestCase":
        return "test"
    # A relative import from above the tree leads to code of the same project.
    if (root in _TORCH_LIBRARIES or not root) and _LIBRARY_MODULE.search(last):
        return "module"
    return "other"


_TORCH_LIBRARIES = words(
    "torchvision torchaudio timm transformers lightning pytorch_lightning diffusers torch_geometric kornia monai peft "
    "segmentation_models_pytorch fairseq stable_baselines3 torchrl gpytorch sentence_transformers"
)

"""The libraries around PyTorch, JAX, Keras and TensorFlow, and what stands in for each on the other side.

The data stand in `data/libraries.yaml` (what a library is for, written by hand), `data/versions.yaml` (what the package
registry said of it: version, licence, address) and `data/counterparts.yaml`. `docs/stacks.md` describes the fields.

    table = load()
    table.by_import("haiku").name                      # 'dm-haiku'
    table.counterpart("timm", to="jax").degree         # 'partial'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from regauge.decide.facts import Source
from regauge.decide.sources import source_json
from regauge.decide.text import Text

Framework = Literal["pytorch", "jax", "keras", "tensorflow", "any"]
Status = Literal["active", "maintenance", "archived"]
Degree = Literal["same", "equivalent", "partial", "none"]
Side = Literal["jax", "pytorch"]
Kind = Literal["vision", "language", "speech", "control", "science", "generative", "recommendation", "other"]
Role = Literal[
    "framework",
    "layers",
    "data",
    "models",
    "training",
    "tuning",
    "optimizers",
    "metrics",
    "checkpoints",
    "tracking",
    "deployment",
    "distributed",
    "finetuning",
    "quantization",
    "kernels",
    "rl",
    "graphs",
    "probabilistic",
    "scientific",
    "interpretability",
    "profiling",
    "interop",
    "configuration",
    "testing",
]
FRAMEWORKS: tuple[str, ...] = get_args(Framework)
KINDS: tuple[str, ...] = get_args(Kind)
ROLES: tuple[str, ...] = get_args(Role)

_SAME = Text(
    "It works with both frameworks: nothing changes but the arrays that are handed to it.",
    "两个框架都能用：除了传入的数组，无需改动。",
)
_OWN = Text("It belongs to this framework already: nothing changes.", "它本就属于该框架：无需改动。")


@dataclass(frozen=True)
class Library:
    """One library, as it was on the day `read`.

    Attributes:
        name: the name on PyPI, or the project's own where it is not there.
        import_names: what a program imports; dotted where only a part of a package is meant, empty where another
            entry has the name.
        framework: whose arrays it works on; ``any`` if it does not care.
        role: what it does in a project: one of `ROLES`.
        kinds: the kinds of project that it serves: entries of `KINDS`.
        package: the distribution to install; empty if it is not on PyPI.
        version, version_date: the newest seen, and its month (``2026-10``); empty where not known.
        license: as its metadata name it; empty where they do not.
        status: ``maintenance`` where its authors say so or no release was seen for two years, ``archived`` where
            development has ended.
        statement: what it is for.
        read: the day on which version and licence were read (``2026-11-25``).
    """

    name: str
    import_names: tuple[str, ...]
    framework: Framework
    role: Role
    kinds: tuple[Kind, ...]
    package: str
    version: str
    version_date: str
    url: str
    license: str
    source: tuple[Source, ...]
    status: Status
    statement: Text
    read: str

    def to_json(self) -> dict[str, Any]:
        """Plain data; the statement in English and Chinese."""
        return {
            "name": self.name,
            "package": self.package,
            "import_names": list(self.import_names),
            "framework": self.framework,
            "role": self.role,
            "kinds": list(self.kinds),
            "version": self.version,
            "version_date": self.version_date,
            "url": self.url,
            "license": self.license,
            "status": self.status,
            "statement": self.statement.to_json(),
            "source": [source_json(source) for source in self.source],
            "read": self.read,
        }


@dataclass(frozen=True)
class Counterpart:
    """What takes a library's place when a project changes to `framework_to`.

    Attributes:
        library: its name.
        framework_to: where the project goes.
        counterparts: names of libraries, the best first; empty if none is known.
        degree: ``same`` (works with both), ``equivalent`` (does the same by another API), ``partial`` (does a part of
            it), ``none``.
        why: what must change, or what is missing.
    """

    library: str
    framework_to: Side
    counterparts: tuple[str, ...]
    degree: Degree
    why: Text
    source: tuple[Source, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the reason in English and Chinese."""
        return {
            "library": self.library,
            "framework_to": self.framework_to,
            "counterparts": list(self.counterparts),
            "degree": self.degree,
            "why": self.why.to_json(),
            "source": [source_json(source) for source in self.source],
        }


@dataclass(frozen=True)
class Libraries:
    """The whole table; `by_name` in the order of the file."""

    by_name: Mapping[str, Library]
    imports: Mapping[str, str]
    stand_ins: Mapping[tuple[str, Side], Counterpart]

    def by_import(self, import_name: str) -> Library | None:
        """The library that ``import a.b.c`` loads: the longest known dotted prefix; None if it is not in the table."""
        parts = import_name.split(".")
        prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
        found = next((self.imports[prefix] for prefix in prefixes if prefix in self.imports), None)
        return None if found is None else self.by_name[found]

    def counterpart(self, name: str, to: Side) -> Counterpart | None:
        """What takes the place of a library, given by import name or by name; None if it is not in the table.

        A library that serves any framework, or that of `to` already, is its own counterpart.
        """
        library = self.by_import(name) or self.by_name.get(name)
        if library is None:
            return None
        written = self.stand_ins.get((library.name, to))
        if written is not None:
            return written
        if library.framework in ("any", to):
            why = _OWN if library.framework == to else _SAME
            return Counterpart(library.name, to, (library.name,), "same", why, library.source)
        return None


@lru_cache(maxsize=1)
def load() -> Libraries:
    """The table, read and validated once per process.

    Raises:
        BadLibraries: an entry of the data files breaks a rule (a defect of regauge).
    """
    from regauge.decide.tables import read_counterparts, read_libraries

    by_name = read_libraries()
    imports = {name: library.name for library in by_name.values() for name in library.import_names}
    return Libraries(by_name, imports, read_counterparts(by_name))

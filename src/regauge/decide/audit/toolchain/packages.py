"""Which package takes the place of which, as requirement specifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from regauge.decide.audit.result import Target
from regauge.decide.libraries import Library, Side, load
from regauge.language import N_

# What regauge is tested with (`pyproject.toml`); other packages get the newest version that the library table saw.
TESTED = {"jax": ">=0.10", "flax": ">=0.12.8", "optax": ">=0.2.8", "torch": ">=2.11"}
# The oldest Python that the new side's packages take (their metadata, 2026-11).
OLDEST_PYTHON = {"jax": (3, 11), "torch": (3, 10)}
SPECIFIER = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?P<extra>\[[^\]]*\])?"
    r"(?P<version>\s*(?:===|==|~=|!=|<=|>=|<|>|\^|=)[^;#\s'\"]*(?:\s*,\s*(?:==|~=|!=|<=|>=|<|>)[^;#\s'\"]*)*)?"
    r"(?P<marker>\s*;[^#'\"]*|\s*@\s*\S+)?$"
)
# Names of conda and of containers for the same packages.
_ALSO = {"pytorch": "torch", "pytorch-gpu": "torch", "pytorch-cpu": "torch", "pytorch-cuda": "pytorch-cuda"}
_GPU_BUILDS = frozenset({"pytorch-cuda", "cudatoolkit", "pytorch-mutex"})

NEW_SIDE = N_("the packages of the other side, in the versions that regauge is tested with")
COUNTERPART = N_("its counterpart in the table of libraries")
NO_COUNTERPART = N_("the table of libraries has no counterpart for it")
BUILD_ONLY = N_("it chooses a build of PyTorch")


@dataclass
class Replacer:
    """Replaces specifiers of one file; a package that stands there already is not written twice."""

    target: Target
    cuda: bool = False
    present: set[str] = field(default_factory=set)

    @property
    def side(self) -> Side:
        return "jax" if self.target == "jax" else "pytorch"

    def see(self, specifier: str) -> None:
        """Note a package that stays, so that no replacement writes it again."""
        match = SPECIFIER.match(specifier.strip())
        if match and self._library(match["name"]) is None:
            self.present.add(_plain(match["name"]))

    def replace(self, specifier: str) -> tuple[list[str], str] | None:
        """New specifiers (perhaps none) and the reason; None if the package stays."""
        match = SPECIFIER.match(specifier.strip())
        if match is None:
            return None
        name = _plain(match["name"])
        if self.target == "jax" and name in _GPU_BUILDS:
            return [], BUILD_ONLY
        library = self._library(name)
        if library is None:
            return None
        names: tuple[str, ...]
        cuda = self.cuda or "cu1" in (match["version"] or "") or "cuda" in (match["extra"] or "")
        if library.name in ("torch", "jax"):
            names, why = (("jax", "flax", "optax") if self.target == "jax" else ("torch",)), NEW_SIDE
        else:
            other = load().counterpart(library.name, to=self.side)
            if other is None:
                return None
            names = other.counterparts
            if not names:
                return [], NO_COUNTERPART
            why = COUNTERPART
        new = [self._specifier(each, cuda) for each in names]
        return [each for each in new if each], why

    def _library(self, name: str) -> Library | None:
        """The library of a distribution that goes: built on the framework that is left, with something in its place."""
        name = _ALSO.get(_plain(name), _plain(name))
        leaving = "pytorch" if self.target == "jax" else "jax"
        found = next((x for x in load().by_name.values() if name in (_plain(x.package), _plain(x.name))), None)
        if name == "jaxlib" and self.target == "torch":
            found = load().by_name["jax"]
        if found is None or found.framework != leaving:
            return None
        other = load().counterpart(found.name, to=self.side)
        return None if other is not None and other.degree == "same" else found

    def _specifier(self, name: str, cuda: bool) -> str:
        library = load().by_name.get(name)
        package = (library.package or library.name) if library else name
        if _plain(package) in self.present:
            return ""
        self.present.add(_plain(package))
        version = TESTED.get(package) or (f">={library.version}" if library and library.version else "")
        extra = "[cuda12]" if cuda and package == "jax" else ""
        return f"{package}{extra}{version}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

"""Reading of the data files: every row is validated by a schema, and rows agree with each other.

A broken row is a defect of regauge, found by its tests; the message names file and row so that it is mended fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from regauge.decide.facts import Source
from regauge.decide.libraries import KINDS, Counterpart, Degree, Framework, Library, Role, Side, Status
from regauge.decide.sources import SourceKind, source_json
from regauge.decide.text import Text
from regauge.errors import RegaugeError

DATA = Path(__file__).parent / "data"
Row = TypeVar("Row")


class BadLibraries(RegaugeError):
    """A data file of regauge breaks a rule."""

    default_code = "N300"


class Strict(BaseModel):
    """Base of all rows: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceRow(Strict):
    ref: str = Field(min_length=1)
    kind: SourceKind

    def source(self) -> Source:
        return Source(self.ref, self.kind)


class TextRow(Strict):
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)

    def text(self) -> Text:
        return Text(self.en, self.zh)


class LibraryRow(Strict):
    name: str
    imports: tuple[str, ...] = Field(default=(), alias="import")
    framework: Framework
    role: Role
    kinds: tuple[str, ...] = Field(min_length=1)
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
    status: Status = "active"
    package: str | None = None  # the name itself where nothing is said; "" if it is not on PyPI
    url: str = ""
    license: str = ""
    source: tuple[SourceRow, ...] = ()


class VersionRow(Strict):
    version: str
    date: str = Field(pattern=r"^(\d{4}-\d{2})?$")
    license: str
    url: str


class Versions(Strict):
    read: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    packages: dict[str, VersionRow]


class CounterpartRow(Strict):
    library: str
    to: Side
    counterparts: tuple[str, ...] = ()
    degree: Degree
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
    source: tuple[SourceRow, ...] = ()


def read_rows(file: str, row: type[Row]) -> Row:
    """The content of a data file as the type `row`.

    Raises:
        BadLibraries: it does not fit the schema.
    """
    path = DATA / file
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return TypeAdapter(row).validate_python(yaml.load(path.read_bytes(), Loader=loader))
    except (ValidationError, yaml.YAMLError) as error:
        raise BadLibraries("a data file breaks its schema", where=file, details=str(error).splitlines()) from error


def read_libraries() -> dict[str, Library]:
    """All libraries by name, in the order of the file."""
    versions = read_rows("versions.yaml", Versions)
    found: dict[str, Library] = {}
    imports: dict[str, str] = {}
    for row in read_rows("libraries.yaml", tuple[LibraryRow, ...]):
        if row.name in found:
            raise _broken("libraries.yaml", row.name, "two entries have this name")
        for name in row.imports:
            if name in imports:
                raise _broken("libraries.yaml", row.name, f"the import {name} is also that of {imports[name]}")
            imports[name] = row.name
        found[row.name] = _library(row, versions)
    return found


def _library(row: LibraryRow, versions: Versions) -> Library:
    unknown = set(row.kinds) - {*KINDS, "all"}
    if unknown:
        raise _broken("libraries.yaml", row.name, f"unknown kinds: {', '.join(sorted(unknown))}")
    package = row.name if row.package is None else row.package
    version = versions.packages.get(package)
    if package and version is None:
        raise _broken("libraries.yaml", row.name, f"versions.yaml has no entry for {package}")
    sources = [source.source() for source in row.source]
    if version is not None:
        sources.insert(0, Source(f"pypi: {package} {version.version} metadata", "registry"))
    if not sources:
        raise _broken("libraries.yaml", row.name, "there is no source")
    return Library(
        name=row.name,
        import_names=row.imports,
        framework=row.framework,
        role=row.role,
        kinds=tuple(kind for kind in KINDS if kind in row.kinds or "all" in row.kinds),  # type: ignore[misc]
        package=package,
        version=version.version if version else "",
        version_date=version.date if version else "",
        url=row.url or (version.url if version else "") or f"https://pypi.org/project/{package}/",
        license=row.license or (version.license if version else ""),
        source=tuple(sources),
        status=row.status,
        statement=Text(row.en, row.zh),
        read=versions.read,
    )


def read_counterparts(libraries: Mapping[str, Library]) -> dict[tuple[str, Side], Counterpart]:
    """All written counterparts by library and direction."""
    found: dict[tuple[str, Side], Counterpart] = {}
    for row in read_rows("counterparts.yaml", tuple[CounterpartRow, ...]):
        key = (row.library, row.to)
        name = f"{row.library} to {row.to}"
        if key in found:
            raise _broken("counterparts.yaml", name, "two entries say this")
        unknown = {row.library, *row.counterparts} - set(libraries)
        if unknown:
            raise _broken("counterparts.yaml", name, f"not in libraries.yaml: {', '.join(sorted(unknown))}")
        if bool(row.counterparts) == (row.degree == "none"):
            raise _broken("counterparts.yaml", name, f"the degree {row.degree} does not go with the counterparts")
        foreign = [each for each in row.counterparts if libraries[each].framework not in (row.to, "any", "keras")]
        if foreign and row.degree != "same":
            raise _broken("counterparts.yaml", name, f"of another framework: {', '.join(foreign)}")
        # What a library is for is read in its own metadata, so its sources carry the statement too.
        sources = [source.source() for source in row.source]
        sources += [source for each in row.counterparts or (row.library,) for source in libraries[each].source]
        text = Text(row.en, row.zh)
        found[key] = Counterpart(row.library, row.to, row.counterparts, row.degree, text, tuple(dict.fromkeys(sources)))
    return found


def _broken(file: str, row: str, what: str) -> BadLibraries:
    return BadLibraries("a data file of regauge contradicts itself", where=f"{file}: {row}", received=what)


def as_plain(value: Any) -> Any:
    """JSON form of results: dataclasses by their `to_json`, tuples as lists, mappings as they are."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, Source):
        return source_json(value)
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    return [as_plain(item) for item in value] if isinstance(value, list | tuple) else value

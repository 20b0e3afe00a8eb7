"""Where the sources of facts can be read: the address that a source's reference leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator

# owner/name@commit, with a path behind a colon or a remark in brackets
REPOSITORY = re.compile(r"(?:github\.com/)?(?P<name>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{7,40})(?::(?P<path>\S+)|.*)")
# "PyPI metadata, 2026-11: a, b" is about projects; "pypi: torch 2.15.0 metadata" about one release
PROJECTS = re.compile(r"PyPI metadata, \d{4}-\d{2}: (?P<names>.+)")
RELEASE = re.compile(r"pypi: (?P<name>[\w.-]+) (?P<version>\d[\w.]*) \w+")
HISTORY = re.compile(r"pypi: pip index versions (?P<name>[\w.-]+)")
# "torch 2.13.0+cpu package:torch/__init__.py": the file travels in the release
PACKAGE = re.compile(r"(?P<name>[\w.-]+) (?P<version>\d[\w.]*)(?:\+\w+)? package: ?.+")


def links_of(reference: str) -> tuple[str, ...]:
    """The addresses of a reference, the first one first; none for what was observed, which has no address."""
    return tuple(_links(reference))


def _links(reference: str) -> Iterator[str]:
    if reference.startswith(("https://", "http://")):
        yield reference
    elif found := REPOSITORY.fullmatch(reference):
        kind, rest = ("blob", f"/{found['path']}") if found["path"] else ("commits", "")
        yield f"https://github.com/{found['name']}/{kind}/{found['commit']}{rest}"
    elif found := PROJECTS.fullmatch(reference):
        yield from (f"https://pypi.org/project/{name.strip()}/" for name in found["names"].split(","))
    elif found := HISTORY.fullmatch(reference):
        yield f"https://pypi.org/project/{found['name']}/#history"
    elif found := RELEASE.fullmatch(reference) or PACKAGE.fullmatch(reference):
        yield f"https://pypi.org/project/{found['name']}/{found['version']}/"

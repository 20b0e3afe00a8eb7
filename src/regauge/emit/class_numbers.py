"""Numbers behind class names without gaps: `Attention`, `Attention2`, `Attention3`.

A class gets its name when it is first needed. Where classes become one afterwards, some names are free again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from regauge.emit.files import EmittedClass
from regauge.emit.names import camel, unique


def base_name(kind: str) -> str:
    """The name of an original class, ``package.module.Class[int]``, as a name of ours without a number."""
    return camel(kind.rsplit(".", 1)[-1].split("[")[0])


def renumbered(classes: Sequence[EmittedClass], bases: Collection[str], taken: Collection[str]) -> list[EmittedClass]:
    """The same classes in the same order, with the lowest numbers that there are.

    Args:
        classes: all of a file; constructors may call any of them.
        bases: the names without numbers, of all classes that were emitted.
        taken: names that no class may have.
    """
    used = {*taken}
    names: dict[str, str] = {}
    for name in sorted((made.name for made in classes), key=lambda name: _number(name, bases)):
        base = _base(name, bases)
        names[name] = unique(base, used)
        used.add(names[name])
    if all(old == new for old, new in names.items()):
        return list(classes)
    called = re.compile(rf"\b({'|'.join(map(re.escape, names))})(?=\()")

    def rewritten(made: EmittedClass) -> EmittedClass:
        init = [replace(line, text=called.sub(lambda m: names[m[1]], line.text)) for line in made.init]
        return replace(made, name=names[made.name], init=init)

    return [rewritten(made) for made in classes]


def _base(name: str, bases: Collection[str]) -> str:
    """The name without the number that `unique` gave it; the class of the original may end with a digit itself."""
    fitting = [base for base in bases if name.startswith(base) and (name[len(base) :].lstrip("_") or "1").isdigit()]
    return max(fitting, key=len, default=name)


def _number(name: str, bases: Collection[str]) -> int:
    return int(name.removeprefix(_base(name, bases)).lstrip("_") or 1)

"""A class whose calls take different numbers of arrays, all for one list of the original: it takes `*features`.

    class DenseLayer(nnx.Module):
        def __call__(self, *features):
            x = jnp.concatenate(features, axis=3)

Each call is passed the arrays of the list one by one, so that nothing changes where it is called.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from regauge.emit.files import EmittedClass

_SPECIAL = re.compile(r"[=*]")  # in parameters with defaults, or passed by keyword


def gathered(classes: Sequence[EmittedClass]) -> list[EmittedClass]:
    """The classes; those of one original class take its list as one parameter if their calls take different numbers."""
    groups: dict[tuple[str, str], list[EmittedClass]] = {}
    for made in classes:
        groups.setdefault((made.type, made.place), []).append(made)
    changed = {made.name: made for group in groups.values() for made in _gathered(group)}
    return [changed.get(made.name, made) for made in classes]


def _gathered(group: Sequence[EmittedClass]) -> list[EmittedClass]:
    """The classes of one original class in the common form; none where there is none."""
    counts = {len(made.body.parameters) for made in group}
    names = {made.gathers for made in group if made.gathers}  # of a list of one array nobody knows that it is a list
    if len(counts) < 2 or len(names) != 1:
        return []
    if any(_SPECIAL.search(parameter) for made in group for parameter in made.body.parameters):
        return []
    (name,) = names
    for before in range(min(counts)):
        found = [_with_one_list(made, before, name) for made in group]
        if None not in found:
            return [made for made in found if made is not None]
    return []


def _with_one_list(made: EmittedClass, before: int, name: str) -> EmittedClass | None:
    """The class with its parameters behind the first ones as `*name`, if it reads them in one tuple or call alone."""
    own, arrays = made.body.parameters[:before], made.body.parameters[before:]
    whole = f"({', '.join(arrays)}{',' if len(arrays) == 1 else ''})"
    places = [number for number, line in enumerate(made.body.lines) if whole in line.text]
    if len(places) != 1 or name in own:
        return None
    (place,) = places
    line = made.body.lines[place]
    rest = line.text.replace(whole, "", 1)
    stored = [target.strip() for target in rest.partition(" = ")[0].split(",")] if " = " in rest else []
    left = {*arrays} - {*stored}
    if rest.startswith(" ") or any(_count(array, rest.partition(" = ")[2] or rest) for array in arrays):
        return None
    if any(_count(n, text.text) for n in {*arrays, name} for text in made.body.lines[:place]):
        return None
    if any(_count(array, text.text) for array in left for text in made.body.lines[place + 1 :]):
        return None
    lines = [*made.body.lines]
    # a tuple, or all arguments of a call
    given = f"(*{name})" if re.search(r"[\w)\]]$", line.text.partition(whole)[0]) else name
    lines[place] = replace(line, text=line.text.replace(whole, given))
    shapes = {parameter: shape for parameter, shape in made.shapes.items() if parameter in own}
    return replace(made, body=replace(made.body, parameters=[*own, f"*{name}"], lines=lines, comment=""), shapes=shapes)


def _count(name: str, text: str) -> int:
    """How often a text names a variable."""
    return len(re.findall(rf"(?<![\w.]){re.escape(name)}(?!\w)", text))

"""Names for what the steps of a loop assign and carry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from regauge.emit.merging import Template, Unlike, Variable
from regauge.emit.names import identifier, unique
from regauge.emit.value_ids import Values

Span = tuple[int, int]
UNREAD = "_"


@dataclass
class Behind:
    """What the statements behind a loop read and assign, with the places of the statements.

    Attributes:
        final: the variables whose last value is read.
        delayed: those whose value before the last is read, which each step passes on.
        kept: those of which the values of all steps are read.
        outer: names that are read with values from before the loop.
        assigned: names that are assigned.
        wanted: variables that must have a name, with which a loop behind goes on.
        local: the names that functions have for themselves in the statements that read a variable.
    """

    final: dict[int, int] = field(default_factory=dict)
    delayed: dict[int, int] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)
    assigned: list[tuple[str, int]] = field(default_factory=list)
    wanted: dict[int, str] = field(default_factory=dict)
    local: dict[int, set[str]] = field(default_factory=dict)


def name_variables(
    template: Template, end: int, behind: Behind, values: Values, blocked: set[str], taken: set[str]
) -> dict[str, str]:
    """A name for every variable (`v0`), for what it held in the step before (`c0`) and the step before that (`d0`).

    Two have one name where they are never needed at once.

    Args:
        template: one step.
        end: the time at which it ends.
        behind: what follows.
        values: of the whole body.
        blocked: names that stand for something else all the time.
        taken: all names of the body; the new ones are added.

    Raises:
        Unlike: a variable cannot have the name that it must have.
    """
    spans = _spans(template, end, behind)
    groups = _groups(spans, template)
    inside = {key if key in spans else f"v{key[1:]}" for key in template.inside}
    names: dict[str, str] = {}
    carried_first = sorted(spans, key=lambda key: (min(begin for begin, _ in spans[key]), key))
    for key in carried_first:
        if key in names:
            continue
        group = groups[key]
        refused = blocked | {name for one in group for name in _refused_behind(one, behind)}
        refused |= template.local if inside & {*group} else set()
        refused |= {name for other, name in names.items() if any(_overlap(spans[one], spans[other]) for one in group)}
        fixed = {behind.wanted[int(one[1:])] for one in group if one[0] == "v" and int(one[1:]) in behind.wanted}
        if len(fixed) > 1 or fixed & refused:
            raise Unlike
        wanted = [*fixed] or [n for one in group for n in _wanted(one, template.variables[int(one[1:])], values)]
        free = next((name for name in wanted if name not in refused or name == UNREAD), None)
        found = unique(identifier(wanted[0]), refused | taken) if free is None else free
        taken |= {found} - {UNREAD}
        names |= dict.fromkeys(group, found)
    for number in range(len(template.variables)):
        names.setdefault(f"c{number}", names[f"v{number}"])
    return names


def _groups(spans: Mapping[str, list[Span]], template: Template) -> dict[str, list[str]]:
    """The names that are one, for each.

    Raises:
        Unlike: two of them are needed at once.
    """
    groups = {key: [key] for key in spans}
    tied: dict[tuple[str, str], int] = {}
    for pair in template.tied:
        one, other = (key if key in groups else f"v{key[1:]}" for key in pair)
        tied[one, other] = template.variables[int(other[1:])].made
        if groups[one] is not groups[other]:
            groups[one] += groups[other]
            for key in groups[one]:
                groups[key] = groups[one]
    for one, group in groups.items():
        for other in group:
            # the compound statement reads the one until it has the other
            entered = tied.get((one, other))
            until = [(a, min(b, entered - 1) if entered is not None and b <= entered + 1 else b) for a, b in spans[one]]
            apart = one != other and (other, one) not in tied
            if apart and _overlap([(a, b) for a, b in until if a <= b], spans[other]):
                raise Unlike
    return groups


def _spans(template: Template, end: int, behind: Behind) -> dict[str, list[Span]]:
    """From when to when each name is needed; what is carried from the beginning of a step on or to its end."""
    spans: dict[str, list[Span]] = {}
    for number, variable in enumerate(template.variables):
        own = [(variable.made, max(variable.made, variable.read or 0))]
        if variable.carried is not None or number in behind.final:
            own.append((variable.made, end))
        if variable.passed_on is not None:
            spans[f"c{number}"] = spans[f"d{number}"] = [(-1, end)]
        elif variable.is_late:
            spans[f"c{number}"] = [(-1, variable.carried or end), (end, end)]
        elif variable.carried is not None:
            own.append((-1, variable.carried))
        spans[f"v{number}"] = own
    return spans


def _overlap(one: Sequence[Span], other: Sequence[Span]) -> bool:
    return any(max(a, c) <= min(b, d) for a, b in one for c, d in other)


def _refused_behind(key: str, behind: Behind) -> set[str]:
    """The names that stand for something else before the last value of a variable is read, or where it is read."""
    reads: Mapping[int, int] = {"v": behind.final, "d": behind.delayed}.get(key[0], {})
    number = int(key[1:])
    assigned = {name for name, place in behind.assigned if place < reads.get(number, -1)}
    return assigned | behind.local.get(number, set())


def _wanted(key: str, variable: Variable, values: Values) -> list[str]:
    starts = {"c": variable.start, "d": variable.passed_on}
    start = starts.get(key[0])
    if isinstance(start, int) and start in values.made:
        return [values.made[start][1]]
    counted = Counter(base_name(name) for name in variable.names if base_name(name) != UNREAD)
    return [name for name, _ in counted.most_common()] or [UNREAD]


def base_name(name: str) -> str:
    """`out` for `out_2`, but `sum_` for `sum_2`."""
    return identifier(re.sub(r"_\d+$", "", name))


def plural(name: str) -> str:
    """What the values of a variable in all steps are called."""
    name = name.rstrip("_")
    return f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"

"""Sets of parameters as the shortest readable rule on `path` and `name`: what a person would write in their place."""

from __future__ import annotations

from collections.abc import Collection, Iterable

_FEW = 6  # a longer list of module prefixes reads no better than the names themselves


def rule_text(selected: Collection[str], others: Collection[str]) -> str:
    """An expression that holds for the selected parameters and for none of the others.

    Args:
        selected: paths of parameters, ``blocks.0.norm.scale``; one or more.
        others: every other parameter that the expression is evaluated for.

    Returns:
        An expression in `path`, a tuple of the parts of the parameter's path, and `name`, these joined by dots.
    """
    names = sorted(selected)
    if len(names) == 1:
        return f"name == {_quoted(names[0])}"
    last = sorted({_last(name) for name in names})
    if not any(_last(name) in last for name in others):
        return f"path[-1] == {_quoted(last[0])}" if len(last) == 1 else f"path[-1] in {_tuple(last)}"
    prefixes = _modules(set(names), [*names, *others])
    if prefixes and len(prefixes) <= _FEW:
        dotted = [f"{prefix}." for prefix in prefixes]
        return f"name.startswith({_quoted(dotted[0]) if len(dotted) == 1 else _tuple(dotted)})"
    return f"name in {{{', '.join(map(_quoted, names))}}}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _modules(selected: set[str], names: Iterable[str]) -> list[str]:
    """The topmost modules all of whose parameters are selected; empty if they are not all of the selected."""
    under: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        for depth in range(1, len(parts)):
            under.setdefault(".".join(parts[:depth]), []).append(name)
    whole = [module for module, inside in under.items() if selected.issuperset(inside)]
    top = [module for module in whole if module.rpartition(".")[0] not in whole]
    covered = {name for module in top for name in under[module]}
    return sorted(top) if covered == selected else []


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tuple(items: Iterable[str]) -> str:
    return f"({', '.join(map(_quoted, items))})"

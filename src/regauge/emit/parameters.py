"""The parameters of a call as they are written: `x`, `mask=None`, and behind `*` those that are passed by keyword."""

from __future__ import annotations

from collections.abc import Sequence


def joined_parameters(first: Sequence[str], second: Sequence[str]) -> list[str] | None:
    """Arguments that only one call takes are optional, if they stand behind the others or are passed by keyword."""
    if list(first) == list(second):
        return list(first)
    (ours, our_keywords), (theirs, their_keywords) = by_place(first), by_place(second)
    short, long = sorted((ours, theirs), key=len)
    if long[: len(short)] != short or (short != long and any("=" in name or "*" in name for name in long)):
        return None
    required = {*our_keywords} & {*their_keywords}
    keywords = dict.fromkeys(name.removesuffix("=None") for name in (*our_keywords, *their_keywords))
    if any("=" in name or "*" in name for name in keywords):
        return None
    positional = [*short, *(f"{name}=None" for name in long[len(short) :])]
    named = [name if name in required else f"{name}=None" for name in keywords]
    return [*positional, "*", *named] if named else positional


def by_place(parameters: Sequence[str]) -> tuple[list[str], list[str]]:
    """The parameters that are passed by position, and those that are passed by keyword."""
    place = parameters.index("*") if "*" in parameters else len(parameters)
    return list(parameters[:place]), list(parameters[place + 1 :])


def plain(parameters: Sequence[str]) -> frozenset[str]:
    """The names of the parameters."""
    return frozenset(name.removesuffix("=None") for name in parameters if name != "*")


def absent(parameters: Sequence[str]) -> frozenset[str]:
    """The parameters that are None where they are not passed."""
    return frozenset(name.removesuffix("=None") for name in parameters if name.endswith("=None"))

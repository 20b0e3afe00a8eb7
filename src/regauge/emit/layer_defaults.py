"""Options of layers that one class gives and another leaves at their default."""

from __future__ import annotations

import ast
from collections.abc import Collection

from regauge.emit.templates import LEFT_OUT, column

# What is written where one class gives an option of a layer and the other leaves it at its default.
_CONVOLUTION = {
    "strides": "1",
    "padding": "'SAME'",
    "kernel_dilation": "1",
    "feature_group_count": "1",
    "use_bias": "True",
}
_TORCH_CONVOLUTION = {"stride": "1", "padding": "0", "dilation": "1", "groups": "1", "bias": "True"}
_DEFAULTS = {
    "nnx.Linear": {"use_bias": "True"},
    "nnx.Conv": _CONVOLUTION,
    "nn.Linear": {"bias": "True"},
    **{f"nn.Conv{n}d": _TORCH_CONVOLUTION for n in (1, 2, 3)},
}


def with_defaults(
    mine: ast.Call, other: ast.Call, layer: str, ours_count: int, theirs_count: int
) -> tuple[list[ast.keyword], list[ast.keyword]] | None:
    """The keywords of two calls, the same for both: what one leaves out is written where its default is known.

    Args:
        mine: a call of some classes.
        other: the call of others in its place.
        layer: what both make, or what that extends.
        ours_count: how many classes the first is of.
        theirs_count: how many the second is of.

    Returns:
        The keywords of each; None where one leaves out what has no known default.
    """
    ours, theirs = {k.arg: k for k in mine.keywords}, {k.arg: k for k in other.keywords}
    if list(ours) == list(theirs):
        return mine.keywords, other.keywords
    known = _DEFAULTS.get(layer, {})
    order = list(theirs)
    for position, name in enumerate(ours):
        if name not in order:
            before = list(ours)[position - 1] if position else None
            later = list(known)[list(known).index(name) + 1 :] if name in known else []
            place = next((n for n, other in enumerate(order) if other in later), len(order))
            order.insert(order.index(before) + 1 if before in order else place, name)
    if any(name not in known for name in ours.keys() ^ theirs.keys()):
        return None

    def completed(given: dict[str | None, ast.keyword], members: int) -> list[ast.keyword]:
        return [given.get(name) or ast.keyword(name, column([known[str(name)]] * members)) for name in order]

    return completed(ours, ours_count), completed(theirs, theirs_count)


def with_absent(
    mine: ast.Call, other: ast.Call, known: Collection[str], ours_count: int, theirs_count: int
) -> tuple[list[ast.keyword], list[ast.keyword]] | None:
    """The keywords of two calls of one class of the file, where either leaves out arguments that are None without.

    Args:
        mine, other, ours_count, theirs_count: as for `with_defaults`.
        known: the arguments that may be left out.
    """
    ours, theirs = {k.arg: k for k in mine.keywords}, {k.arg: k for k in other.keywords}
    order = list(ours if len(ours) > len(theirs) else theirs)
    if ours.keys() | theirs.keys() != set(order) or not ours.keys() ^ theirs.keys() <= set(known):
        return None

    def completed(given: dict[str | None, ast.keyword], members: int) -> list[ast.keyword]:
        return [given.get(name) or ast.keyword(name, column([LEFT_OUT] * members)) for name in order]

    return completed(ours, ours_count), completed(theirs, theirs_count)

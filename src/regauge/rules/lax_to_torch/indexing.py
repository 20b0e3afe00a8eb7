"""Indexing as JAX's NumPy means it; `regauge.lower.lax_indices` finds these forms in gathers, slices and sorts."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.rules.lax_to_torch.gathering import missing
from regauge.rules.lax_to_torch.operands import Operand, array
from regauge.rules.lax_to_torch.scattering import written
from regauge.rules.lax_to_torch.sorting import lexical_order
from regauge.rules.lax_to_torch.unsigned import SIGNED, signed, unsigned
from regauge.rules.table import Limit, RuleTable, called

TABLE = RuleTable("lax_to_torch.indexing")

Number = bool | int | float | complex


@TABLE.rule("lax.getitem")
def getitem(operand: Tensor, index: tuple[Any, ...], squeezed: int | None = None) -> Tensor:
    """x[index]: None is a whole axis, three numbers are a slice, one array in a tuple is an index without axes

    An index outside is an error of torch. An index without axes has one here, which is removed again (`squeezed`):
    torch would read its value as a number, which compiled code cannot.
    """
    parts = []
    for part in index:
        if isinstance(part, tuple):
            parts.append(part[0][None] if len(part) == 1 else slice(*part))
        else:
            parts.append(slice(None) if part is None else part)
    found = operand[tuple(parts)]
    return found if squeezed is None else found.squeeze(squeezed)


@TABLE.rule(
    "lax.embedding",
    limits=[
        Limit(
            "a look-up in a table of weights",
            lambda a: True,
            "approximate",
            "an index outside of the table is an error in torch; JAX counts negative ones from the end, else gives NaN",
        )
    ],
)
def embedding(table: Tensor, indices: Tensor) -> Tensor:
    """jnp.take(table, indices, axis=0)"""
    return F.embedding(indices, table)


@TABLE.rule("lax.take")
@called
def take(operand: Tensor, indices: Tensor, axis: int, fill_value: Number | None = None) -> Tensor:
    """jnp.take(operand, indices, axis): negative indices count from the end; outside of the array it is filled."""
    size = operand.shape[axis]
    valid = (indices >= -size) & (indices < size)
    places = torch.where(indices < 0, indices + size, indices).clamp(0, size - 1)
    found = unsigned(signed(operand).index_select(axis, places.reshape(-1)), operand.dtype)
    found = found.reshape((*operand.shape[:axis], *indices.shape, *operand.shape[axis + 1 :]))
    outside = missing(operand.dtype) if fill_value is None else fill_value
    valid = valid.reshape((*indices.shape, *(1 for _ in operand.shape[axis + 1 :])))
    return torch.where(valid, found, torch.full((), outside, dtype=operand.dtype, device=operand.device))


@TABLE.rule("lax.take_clipped")
def take_clipped(operand: Tensor, indices: Tensor, axis: int) -> Tensor:
    """jnp.take(operand, indices, axis, mode="clip")"""
    if axis == 0:
        return operand[indices.clamp(0, operand.shape[0] - 1)]
    return operand[(*(slice(None) for _ in range(axis)), indices.clamp(0, operand.shape[axis] - 1))]  # type: ignore[index]


@TABLE.rule("lax.take_along")
def take_along(
    operand: Tensor, indices: Tensor, axis: int, checked: bool = True, fill_value: Number | None = None
) -> Tensor:
    """jnp.take_along_axis(operand, indices, axis)"""
    if not checked and operand.dtype not in SIGNED and indices.dtype is torch.int64:
        return operand.gather(axis, indices)
    if not checked and operand.dtype not in SIGNED:
        return operand.gather(axis, indices.long())
    return take_along_axis(operand, indices, axis, fill_value)


@called
def take_along_axis(operand: Tensor, indices: Tensor, axis: int, fill_value: Number | None = None) -> Tensor:
    """Elements along one axis: negative indices count from the end; outside of the array it is filled."""
    size = operand.shape[axis]
    valid = (indices >= -size) & (indices < size)
    places = torch.where(indices < 0, indices + size, indices).clamp(0, size - 1).to(torch.int64)
    found = unsigned(signed(operand).gather(axis, places), operand.dtype)
    outside = missing(operand.dtype) if fill_value is None else fill_value
    return torch.where(valid, found, torch.full((), outside, dtype=operand.dtype, device=operand.device))


@TABLE.rule("lax.argsort")
def argsort(operand: Tensor, dimension: int) -> Tensor:
    """jnp.argsort(operand, dimension)"""
    if operand.dtype.is_complex or operand.dtype in SIGNED:
        return lexical_order((operand,), dimension)
    return operand.argsort(dim=dimension, stable=True)


@TABLE.rule("lax.sort_and_order")
def sort_and_order(operand: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """The elements in order, and where each of them was."""
    if operand.dtype.is_complex or operand.dtype in SIGNED:
        order = lexical_order((operand,), dimension)
        return unsigned(signed(operand).gather(dimension, order), operand.dtype), order
    return operand.sort(dim=dimension, stable=True)


@TABLE.rule("lax.put")
def put(
    operand: Tensor, updates: Operand, index: tuple[Any, ...], how: str, checked: bool = True, unique: bool = False
) -> Tensor:
    """operand.at[index].set(updates), add, mul, max, min: an index outside is dropped where it is checked"""
    places = [axis for axis, part in enumerate(index) if part is not None]
    # torch has no derivative of select_scatter and slice_scatter for complex numbers.
    simple = operand.dtype not in SIGNED and not operand.dtype.is_complex
    fixed = simple and len(places) == 1 and not isinstance(index[places[0]], Tensor)
    if fixed and how == "set" and isinstance(index[places[0]], int):
        return operand.select_scatter(array(updates, operand), places[0], index[places[0]])
    if fixed and how == "set":
        bounds = tuple(index[places[0]] if index[places[0]][2] != 1 else index[places[0]][:2])
        return operand.slice_scatter(updates, places[0], *(bounds if bounds[-1] is not None else bounds[:1]))
    if not places and operand.dtype not in SIGNED and how == "add":
        return operand + updates  # type: ignore[no-any-return]
    if not places:
        return put_at(operand, array(updates, operand), index, how, False, True)
    if not checked and operand.dtype not in SIGNED and how == "add":
        if len(places) == 1 and isinstance(index[places[0]], Tensor) and index[places[0]].ndim == 1:
            return operand.index_add(places[0], index[places[0]], array(updates, operand))
        if places == list(range(len(places))) and all(isinstance(part, Tensor) for part in index[: len(places)]):
            return operand.index_put(index[: len(places)], array(updates, operand), accumulate=True)
    if not checked and unique and operand.dtype not in SIGNED and how == "set":
        if len(places) == 1 and isinstance(index[places[0]], Tensor) and index[places[0]].ndim == 1:
            return operand.index_copy(places[0], index[places[0]].long(), updates)
        if places == list(range(len(places))) and all(isinstance(part, Tensor) for part in index[: len(places)]):
            return operand.index_put(index[: len(places)], array(updates, operand))
    return put_at(operand, array(updates, operand), index, how, checked, unique)


@called
def put_at(
    operand: Tensor, updates: Tensor, index: tuple[Any, ...], how: str, checked: bool = True, unique: bool = False
) -> Tensor:
    """An array with updates at an index; what points outside is dropped."""
    count = operand.numel()
    places = torch.arange(count, device=operand.device).reshape(operand.shape)
    parts: list[Any] = []
    for axis, (size, part) in enumerate(zip(operand.shape, index, strict=True)):
        if isinstance(part, Tensor):
            wide = part.to(torch.int64)
            wide = torch.where(wide < 0, wide + size, wide)
            if checked:  # one more row, whose elements are no place of the array
                places = F.pad(places, (0, 0) * (operand.ndim - 1 - axis) + (0, 1), value=count)
                wide = torch.where((wide >= 0) & (wide < size), wide, size)
            parts.append(wide.reshape(1) if wide.ndim == 0 else wide)
        else:
            parts.append(slice(None) if part is None else slice(*part) if isinstance(part, tuple) else part)
    return written(operand, places[tuple(parts)].reshape(-1), updates.reshape(-1), how, unique)

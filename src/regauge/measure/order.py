"""Balanced random order of the variants within blocks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def williams_rows(n: int) -> list[list[int]]:
    """Rows of a Williams square: every item as often in every place, and as often after every other item.

    n rows for even n, 2 n rows (each also reversed) for odd n. Source: Williams, Aust. J. Sci. Res. A2 (1949) 149.
    """
    zigzag = [(i + 1) // 2 if i % 2 else (n - i // 2) % n for i in range(n)]
    rows = [[(place + shift) % n for place in zigzag] for shift in range(n)]
    return rows if n % 2 == 0 else rows + [row[::-1] for row in rows]


def balanced_orders(items: Sequence[T], blocks: int, seed: int) -> list[list[T]]:
    """The order of the items in each block: the rows of a Williams square in random order, labels dealt at random.

    Whole cycles of rows are exactly balanced; the last, incomplete cycle is a random part of one.
    """
    random_source = random.Random(seed)
    orders: list[list[T]] = []
    while len(orders) < blocks:
        labels = random_source.sample(list(items), len(items))
        rows = williams_rows(len(items))
        random_source.shuffle(rows)
        orders += [[labels[i] for i in row] for row in rows]
    return orders[:blocks]

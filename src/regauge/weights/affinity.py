"""How well two names fit: words in common, positions in common, modules that settled tensors have already tied."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from regauge.weights.names import natural, positions
from regauge.weights.units import Unit

# What each agreement is worth. Only their order matters much: a module that settled tensors have tied outweighs words
# and numbers, because it rests on values where there are values.
WORDS = 1.0
NUMBERS = 0.8
MODULES = 2.0
KIND = 0.3
ROLE = 0.3
MODULE_CONTENT = 0.5  # what else the two modules hold: a bias of a convolution is not that of a normalisation
AXES = 0.3  # one axis that becomes several, or the other way round
ABBREVIATED = 0.6  # "emb" for "embed": a word that begins with the other one
SHORTEST = 3  # letters of a word that may abbreviate another one
TIED = 0.5  # share of the settled tensors under two prefixes that must agree

# words before a number that stand for a group of layers; a stack inside such a group is counted behind it
CONTAINERS = {"stage", "stages", "layer", "layers", "group", "groups", "block", "blocks", "h", "level", "levels",
              "encoder", "decoder", "down", "up"}  # fmt: skip


class Affinity:
    """Scores between all units of two sides, by their places in the two sequences."""

    def __init__(
        self, sources: Sequence[Unit], targets: Sequence[Unit], settled: Sequence[tuple[Unit, Unit]] = ()
    ) -> None:
        self.sources, self.targets = list(sources), list(targets)
        self._contents = (
            _Contents(self.sources, [a for a, _ in settled]),
            _Contents(self.targets, [b for _, b in settled]),
        )
        words = sorted({word for unit in (*sources, *targets) for word in unit.name.words})
        self._place = {word: n for n, word in enumerate(words)}
        self._weights = self._word_weights()
        self._alike = _alike(words)
        self._mine, self._theirs = self._incidence(self.sources), self._incidence(self.targets)
        self._numbers = tuple(
            _Numbers(units, contents.of_unit)
            for units, contents in zip((self.sources, self.targets), self._contents, strict=True)
        )
        self._prefixes = (_Prefixes(self.sources), _Prefixes(self.targets))
        self._tied: sparse.csr_matrix | None = None
        if settled:
            self._learn(settled)

    def _word_weights(self) -> np.ndarray:
        """Rare words say more: log(1 + units / units with the word)."""
        count = Counter(word for unit in (*self.sources, *self.targets) for word in set(unit.name.words))
        total = len(self.sources) + len(self.targets)
        return np.array([math.log(1 + total / count[word]) for word in self._place])

    def _incidence(self, units: Sequence[Unit]) -> sparse.csr_matrix:
        found = np.zeros((len(units), len(self._place)), np.float32)
        for row, unit in enumerate(units):
            for word in unit.name.words:
                found[row, self._place[word]] = 1
        return sparse.csr_matrix(found)

    def words(self, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
        """Weight of the common words over the mean weight of both names, 0 to 1."""
        if not self._place:
            return np.zeros((len(mine), len(theirs)))
        a, b = self._mine[list(mine)], self._theirs[list(theirs)]
        root = sparse.diags(np.sqrt(self._weights))
        common = (a @ root @ self._alike @ root @ b.T).toarray()
        total = (a @ self._weights)[:, None] + (b @ self._weights)[None, :]
        return np.minimum(2 * common / np.maximum(total, 1e-9), 1.0)

    def numbers(self, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
        """1 where both have the same place in families of one size; else the share of equal positions in the path.

        A family is what has the same pattern in modules of the same content: the third convolution of a sequence may
        be its seventh layer.
        """
        a, b = self._numbers[0].of(mine), self._numbers[1].of(theirs)
        content = self.contents(mine, theirs)
        same_family = (a.family[:, None] == b.family[None, :]) & (content == 1)
        in_place = a.rank[:, None] == b.rank[None, :]
        depth = np.maximum(a.depth[:, None], b.depth[None, :])
        equal = ((a.path[:, None, :] == b.path[None, :, :]) & (a.path[:, None, :] >= 0)).sum(-1)
        alike = np.where(depth > 0, equal / np.maximum(depth, 1), 1.0)
        return np.where(same_family, np.where(in_place, 1.0, alike / 4), alike)

    def contents(self, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
        """The share of kinds and sizes that both modules hold, 0 to 1."""
        a, b = ([side.of_unit[n] for n in rows] for side, rows in zip(self._contents, (mine, theirs), strict=True))
        known: dict[tuple[frozenset[tuple[str, int]], frozenset[tuple[str, int]]], float] = {}
        result = np.zeros((len(a), len(b)))
        for row, left in enumerate(a):
            for column, right in enumerate(b):
                if (left, right) not in known:
                    known[left, right] = len(left & right) / max(len(left | right), 1)
                result[row, column] = known[left, right]
        return result

    def _learn(self, settled: Sequence[tuple[Unit, Unit]]) -> None:
        """Note which prefixes the settled pairs tie to which."""
        mine, theirs = _Prefixes.of_pairs(self._prefixes, settled)
        together = (mine.T @ theirs).tocoo()
        a, b = np.asarray(mine.sum(0)).ravel(), np.asarray(theirs.sum(0)).ravel()
        share = together.data / (a[together.row] + b[together.col] - together.data)
        kept = share >= TIED
        self._tied = sparse.csr_matrix((share[kept], (together.row[kept], together.col[kept])), together.shape)

    def modules(self, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
        """Over all beginnings of both paths, the share in which settled pairs agree."""
        if self._tied is None:
            return np.zeros((len(mine), len(theirs)))
        a, b = self._prefixes[0].incidence[list(mine)], self._prefixes[1].incidence[list(theirs)]
        return (a @ self._tied @ b.T).toarray()

    def one_module(self, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
        """Whether settled pairs tie the innermost modules themselves."""
        if self._tied is None:
            return np.zeros((len(mine), len(theirs)), bool)
        places = [[side.place.get(_module(units[n]), -1) for n in rows] for side, units, rows in
                  zip(self._prefixes, (self.sources, self.targets), (mine, theirs), strict=True)]  # fmt: skip
        rows, columns = (np.array(found) for found in places)
        tied = self._tied[np.maximum(rows, 0)][:, np.maximum(columns, 0)].toarray() > 0
        return tied & (rows >= 0)[:, None] & (columns >= 0)[None, :]

    def kinds(self, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
        """1 the same kind, 0 unknown, -1 another one."""
        a = np.array([self.sources[n].name.kind for n in mine])
        b = np.array([self.targets[n].name.kind for n in theirs])
        known = (a != "")[:, None] & (b != "")[None, :]
        return np.where(known, np.where(a[:, None] == b[None, :], 1, -1), 0)

    def speaks(self, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
        """What speaks for a pair, and not only against its rivals: words, numbers that are there, modules."""
        numbered = (self._numbers[0].depth[list(mine)] > 0)[:, None] & (self._numbers[1].depth[list(theirs)] > 0)[
            None, :
        ]
        numbers = np.where(numbered, self.numbers(mine, theirs), 0.0)
        return self.words(mine, theirs) + numbers + self.modules(mine, theirs)

    def names(self, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
        """What the names alone say; -inf where they name another kind of tensor."""
        roles = [np.array([units[n].info.role for n in found]) for units, found in
                 ((self.sources, mine), (self.targets, theirs))]  # fmt: skip
        kinds = self.kinds(mine, theirs)
        score = WORDS * self.words(mine, theirs) + NUMBERS * self.numbers(mine, theirs) + KIND * kinds
        score = score + MODULE_CONTENT * self.contents(mine, theirs)
        score = score - ROLE * (roles[0][:, None] != roles[1][None, :])
        axes = [np.array([min(len(units[n].shape), 2) for n in found]) for units, found in
                ((self.sources, mine), (self.targets, theirs))]  # fmt: skip
        score = score - AXES * (axes[0][:, None] != axes[1][None, :])
        return np.where(kinds < 0, -np.inf, score)


def _alike(words: Sequence[str]) -> sparse.csr_matrix:
    """1 for a word and itself, less for a word and its abbreviation."""
    found = sparse.lil_matrix((len(words), len(words)), dtype=np.float32)
    for n, word in enumerate(words):
        found[n, n] = 1
        if len(word) < SHORTEST:
            continue
        for other in range(n + 1, len(words)):  # sorted: longer words with this beginning follow at once
            if not words[other].startswith(word):
                break
            found[n, other] = found[other, n] = ABBREVIATED
    return found.tocsr()


def _with_layer(unit: Unit, path: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of a path with that of the member of a stack, which stands behind those of other containers."""
    if unit.layer < 0:
        return path
    words = unit.name.module.split(".")
    place = sum(words[at - 1].isalpha() and words[at - 1] in CONTAINERS for _, at in unit.name.numbers if at)
    return (*path[:place], unit.layer, *path[place:])


class _Numbers:
    """Positions as arrays: the path's numbers as places, the size of each unit's family, its place in the family."""

    def __init__(self, units: Sequence[Unit], contents: Sequence[frozenset[tuple[str, int]]]) -> None:
        places = positions(unit.name for unit in units)
        paths = [_with_layer(unit, places[unit.name.raw]) for unit in units]
        longest = max((len(path) for path in paths), default=0)
        self.path = np.full((len(units), max(longest, 1)), -1)
        self.depth = np.array([len(path) for path in paths], int)
        for row, path in enumerate(paths):
            self.path[row, : len(path)] = path
        self.family, self.rank = np.zeros(len(units), int), np.zeros(len(units), int)
        families: dict[tuple[object, ...], list[int]] = {}
        for row, unit in enumerate(units):
            key = (unit.name.pattern, unit.size, unit.piece, unit.layer >= 0, contents[row])
            families.setdefault(key, []).append(row)
        for rows in families.values():
            rows.sort(key=lambda row: (paths[row], natural(units[row].name.raw)))
            self.family[rows], self.rank[rows] = len(rows), range(len(rows))

    def of(self, rows: Sequence[int], width: int = 8) -> _Numbers:
        chosen = object.__new__(_Numbers)
        chosen.depth, chosen.family, chosen.rank = (found[list(rows)] for found in (self.depth, self.family, self.rank))
        chosen.path = np.full((len(rows), width), -1)
        kept = min(width, self.path.shape[1])
        chosen.path[:, :kept] = self.path[list(rows), :kept]
        return chosen


class _Contents:
    """What the module of each unit holds: kinds and sizes, settled ones among them."""

    def __init__(self, units: Sequence[Unit], settled: Sequence[Unit]) -> None:
        modules: dict[str, set[tuple[str, int]]] = {}
        for unit in (*units, *settled):
            if unit.name.kind != "count":
                modules.setdefault(_module(unit), set()).add((unit.name.kind, unit.size))
        self.of_unit = [frozenset(modules.get(_module(unit), ())) for unit in units]


def _module(unit: Unit) -> str:
    return unit.prefixes[-1]


class _Prefixes:
    """Which unit lies under which beginning of a path."""

    def __init__(self, units: Sequence[Unit]) -> None:
        names = sorted({prefix for unit in units for prefix in unit.prefixes})
        self.place = {name: n for n, name in enumerate(names)}
        self.incidence = self.rows([unit.prefixes for unit in units])

    def rows(self, prefixes: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        cells = [(row, self.place[p]) for row, found in enumerate(prefixes) for p in set(found) if p in self.place]
        rows, columns = zip(*cells, strict=True) if cells else ((), ())
        return sparse.csr_matrix((np.ones(len(cells)), (rows, columns)), (len(prefixes), len(self.place)))

    @staticmethod
    def of_pairs(
        sides: tuple[_Prefixes, _Prefixes], settled: Sequence[tuple[Unit, Unit]]
    ) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        return sides[0].rows([a.prefixes for a, _ in settled]), sides[1].rows([b.prefixes for _, b in settled])

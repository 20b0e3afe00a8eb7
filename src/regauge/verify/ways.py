"""The ways that rounding takes the original: in float32 a unit whose sum is nearly zero is open in one copy and shut in
another, and then so are all gradients that pass it.

Which side of a kink a pass falls on is no property of either implementation, so a result is held against the way that
is nearest to it: float64, or the copies of the original that fell to the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from regauge.verify.evaluations import Arrays
from regauge.verify.tolerance import LIMITS, Error, rounding_error

MOST = 8  # ways that are told apart: where there are more, no two copies agree


@dataclass
class Ways:
    """What float64 gives, and what copies of the original give that are too far from it for rounding alone.

    Attributes:
        exact: the tensors of one kind in float64.
        others: of copies that went another way, one for each.
        errors: of the copies that went a way that is known.
        alone: of each way that one copy alone went, the distance to the nearest other.
    """

    exact: Arrays
    others: list[Arrays] = field(default_factory=list)
    errors: list[Error] = field(default_factory=list)
    alone: dict[int, Error] = field(default_factory=dict)

    def add(self, copy: Arrays) -> None:
        """Take one more copy of the original in float32."""
        way, error = self._nearest(copy)
        if error.together > LIMITS.free_pass and not error.notes and len(self.others) < MOST:
            self.others.append({name: copy.get(name, array) for name, array in self.exact.items()})
            self.alone[len(self.others)] = error
        else:
            self.errors.append(error)
            self.alone.pop(way, None)

    def distance(self, result: Arrays) -> Error:
        """How far a result is from the nearest way."""
        return self._nearest(result)[1]

    def own_error(self) -> Error:
        """The original's own: the largest of all copies. That of a copy whose way no other went is its distance."""
        errors = [*self.errors, *self.alone.values()]
        norms = {name: max(e.norms[name] for e in errors) for name in errors[0].norms}
        largest = {name: max(e.largest[name] for e in errors) for name in errors[0].largest}
        notes = {name: note for e in errors for name, note in e.notes.items()}
        return Error(norms, largest, max(e.together for e in errors), notes)

    def _nearest(self, result: Arrays) -> tuple[int, Error]:
        """The number of a way, 0 for that of float64, and the distance to it."""
        errors = [rounding_error(result, way) for way in (self.exact, *self.others)]
        return min(enumerate(errors), key=lambda numbered: numbered[1].together)

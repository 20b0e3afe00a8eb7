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
        parted: the same of each way, however many went it.
    """

    exact: Arrays
    others: list[Arrays] = field(default_factory=list)
    errors: list[Error] = field(default_factory=list)
    alone: dict[int, Error] = field(default_factory=dict)
    parted: list[Error] = field(default_factory=list)

    def add(self, copy: Arrays) -> None:
        """Take one more copy of the original in float32."""
        way, error = self._nearest(copy)
        if error.together > LIMITS.free_pass and not error.notes and len(self.others) < MOST:
            self.others.append({name: copy.get(name, array) for name, array in self.exact.items()})
            self.alone[len(self.others)] = error
            self.parted.append(error)
        else:
            self.errors.append(error)
            self.alone.pop(way, None)

    def judged(self, result: Arrays) -> tuple[Error, Error]:
        """The original's own error, and how far a result is from the nearest way.

        The original's is the largest of all copies, and that of a copy whose way no other went is its distance. Where
        copies part, a result that is as far from every way as a way is from another went one of its own, which
        nothing can tell from a mistake: then the original's error is how far its own ways are apart.
        """
        _, distance = self._nearest(result)
        went_its_own = bool(self.others) and distance.together > LIMITS.free_pass
        errors = [*self.errors, *(self.parted if went_its_own else self.alone.values())]
        norms = {name: max(e.norms[name] for e in errors) for name in errors[0].norms}
        largest = {name: max(e.largest[name] for e in errors) for name in errors[0].largest}
        notes = {name: note for e in errors for name, note in e.notes.items()}
        return Error(norms, largest, max(e.together for e in errors), notes), distance

    def _nearest(self, result: Arrays) -> tuple[int, Error]:
        """The number of a way, 0 for that of float64, and the distance to it."""
        errors = [rounding_error(result, way) for way in (self.exact, *self.others)]
        return min(enumerate(errors), key=lambda numbered: numbered[1].together)

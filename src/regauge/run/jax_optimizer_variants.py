"""Other optimizers than a JAX side's own: the numbers of its update are other ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from regauge.run.jax_equations import evaluated
from regauge.run.jax_rewriting import Rewriting, rewritten
from regauge.run.jax_trees import Leaves

_NEAR = 1e-12  # relative: a number that was computed is not the one that was written to the last place


class OtherNumbers(Rewriting):
    """Puts other numbers in the place of some.

    Args:
        numbers: old and new ones.
    """

    def __init__(self, numbers: Sequence[Sequence[float]]) -> None:
        self._numbers = [(float(old), float(new)) for old, new in numbers]

    def plain(self, equation: Any, values: Sequence[Any]) -> list[Any]:
        given = [self._other(atom, value) for atom, value in zip(equation.invars, values, strict=True)]
        return evaluated(equation, given)

    def _other(self, atom: Any, value: Any) -> Any:
        dtype = jnp.result_type(value)
        if not isinstance(atom, core.Literal) or jnp.ndim(value) or not jnp.issubdtype(dtype, jnp.floating):
            return value
        found = next((new for old, new in self._numbers if abs(float(value) - old) <= _NEAR * abs(old)), None)
        return value if found is None else jnp.asarray(found, dtype)


class EditedTrainer:
    """The steps of a trainer whose optimizer's update has other numbers; gradients are compiled once for all."""

    def __init__(self, own: Any, numbers: Sequence[Sequence[float]]) -> None:
        self._own = own
        self._update = rewritten(own.optimizer.update, OtherNumbers(numbers))

    @staticmethod
    def of(own: Any, edits: Sequence[Mapping[str, Any]]) -> Any:
        """The trainer of some edits; its own where they are none of its optimizer's.

        Raises:
            NotImplementedError: its optimizer is not seen, or an edit is of another kind.
        """
        if not edits:
            return own
        if getattr(own, "optimizer", None) is None or not all("numbers" in edit for edit in edits):
            raise NotImplementedError("an optimizer whose update is not seen")
        return EditedTrainer(own, [pair for edit in edits for pair in edit["numbers"]])

    def start(self, params: Leaves, state: Leaves, seed: int = 0) -> Any:
        return self._own.start(params, state, seed)

    def step(self, carry: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
        params, state, slots, draw = carry
        gradients, new_state, loss = self._own.slopes(params, state, inputs, targets, draw)
        tree = self._own.tree
        updates, slots = self._update(tree.nested(gradients), slots, tree.nested(params))
        return (jax.tree.map(jnp.add, params, tree.flat(updates)), new_state, slots, draw + 1), loss

    def arrays(self, carry: Any) -> tuple[Leaves, Leaves]:
        found: tuple[Leaves, Leaves] = self._own.arrays(carry)
        return found

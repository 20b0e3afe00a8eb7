"""The parameters of a program as the pytree that its optimizer was written for: masks and labels are asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from regauge.run.jax_program import JaxProgram
from regauge.run.jax_trees import Leaves
from regauge.run.steps import slots_of

Nest = Callable[[Mapping[str, Any]], Any]


class OptimizerTree:
    """The first form of the parameters that an optimizer takes.

    They are tried in this order: the person's own pytree (nnx.State, the dict of Linen or Haiku, an Equinox module with
    None for what does not train), for NNX the same without its variables, and a flat dict by dotted names. Without a
    mask every form is the same to an optimizer.

    Args:
        program: the model.
        optimizer: an optax.GradientTransformation.
    """

    def __init__(self, program: JaxProgram, optimizer: Any) -> None:
        self.nested = _form(program, optimizer)
        names = self.nested({name: name for name in program.params})
        self._names = jax.tree.leaves(names)
        self._structure = jax.tree.structure(names)

    def flat(self, tree: Any) -> Leaves:
        """The arrays of a tree of this form by name."""
        return dict(zip(self._names, jax.tree.leaves(tree), strict=True))

    def slots(self, state: Any) -> dict[str, dict[str, np.ndarray]]:
        """The arrays of an optimizer's state by slot and parameter, in float64; those of no parameter as `ONCE`."""
        flat = jax.tree.map(self._by_name, state, is_leaf=self._is_like_params)
        return slots_of(flat, np.asarray, dict.fromkeys(self._names))

    def _by_name(self, node: Any) -> Any:
        """A part of the state that has the form of the parameters as a dict by name; random keys are no numbers."""
        if not self._is_like_params(node):
            return None if jax.dtypes.issubdtype(jax.dtypes.result_type(node), jax.dtypes.extended) else node
        arrays = zip(self._names, jax.tree.leaves(node, is_leaf=_is_masked), strict=True)
        return {name: array for name, array in arrays if not _is_masked(array)}

    def _is_like_params(self, node: Any) -> bool:
        structure: Any = jax.tree.structure(node, is_leaf=_is_masked)
        return bool(structure == self._structure)


def _is_masked(node: Any) -> bool:
    """Whether a mask or a partition leaves this parameter to another optimizer."""
    return isinstance(node, optax.MaskedNode)


def _form(program: JaxProgram, optimizer: Any) -> Nest:
    forms: list[Nest] = [program.tree, lambda arrays: _pure(program.tree(arrays)), dict]
    for form in forms:
        try:
            jax.eval_shape(optimizer.init, form(program.params))
        except Exception:  # a mask that was written for another form
            continue
        return form
    return forms[0]  # which then says what is wrong


def _pure(tree: Any) -> Any:
    return nnx.as_pure(tree) if isinstance(tree, nnx.State) else tree

"""The parameters of a program as the pytree that its optimizer was written for: masks and labels are asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from regauge.run.jax_program import JaxProgram
from regauge.run.jax_trees import Leaves

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
        self._names = jax.tree.leaves(self.nested({name: name for name in program.params}))

    def flat(self, tree: Any) -> Leaves:
        """The arrays of a tree of this form by name."""
        return dict(zip(self._names, jax.tree.leaves(tree), strict=True))


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

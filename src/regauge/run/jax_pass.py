"""One forward pass of a JAX side with its loss and its new state, as a jaxpr with its operations numbered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from regauge.run.dropout_masks import DropoutCall, keep_mask
from regauge.run.jax_calls import Calls, calls_of
from regauge.run.jax_dropout import dropout_control
from regauge.run.jax_folding import folded
from regauge.run.jax_scopes import scopes

if TYPE_CHECKING:
    from regauge.run.jax_evaluate import JaxEvaluator


@dataclass(frozen=True)
class ForwardPass:
    """The pass.

    Attributes:
        closed: jaxpr of ``(params, state, leaves) -> (loss, outputs, new state)``.
        structure: of what it returns.
        params: that it was made with.
        state: that it was made with.
        leaves: inputs and targets.
    """

    closed: Any
    structure: Any
    params: Mapping[str, Any]
    state: Mapping[str, Any]
    leaves: Mapping[str, Any]

    @property
    def names(self) -> list[tuple[str, str]]:
        """By argument of the jaxpr its kind (``weight`` or ``input``) and its name."""
        weights = [("weight", name) for tree in (self.params, self.state) for name in sorted(tree)]
        return weights + [("input", name) for name in sorted(self.leaves)]

    @cached_property
    def calls(self) -> Calls:
        shapes = {name: tuple(array.shape) for name, array in {**self.params, **self.state}.items()}
        weights = [name if kind == "weight" else "" for kind, name in self.names]
        return calls_of(self.closed, weights, shapes)

    def results(self, flat: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Loss, outputs and new state of what the jaxpr gives."""
        loss, outputs, state = jax.tree.unflatten(self.structure, flat)
        return loss, outputs, state


def forward_pass(evaluator: JaxEvaluator, task: Mapping[str, Any]) -> ForwardPass:
    """The pass of a task.

    Args:
        evaluator: of the side.
        task: ``mode``, ``input``, ``dropout``, and the original's ``calls`` of dropout.
    """
    masks = None
    if "calls" in task:
        calls = [DropoutCall.from_json(call) for call in task["calls"]]
        masks = [jnp.asarray(keep_mask(index, call)) for index, call in enumerate(calls)]
    leaves, key = evaluator.leaves(task["input"]), jax.random.key(0)
    params = evaluator.parameters(task)

    def forward(params: Any, state: Any, leaves: Any) -> Any:
        with dropout_control(task["dropout"], masks), scopes(evaluator.program):
            loss, (outputs, following) = evaluator.evaluate(params, state, leaves, task["mode"], key)
        return loss, outputs, following

    closed, shapes = jax.make_jaxpr(forward, return_shape=True)(params, evaluator.state, leaves)
    return ForwardPass(folded(closed), jax.tree.structure(shapes), params, evaluator.state, leaves)

"""What a JAX side draws itself: the factors of dropout, and summaries of outputs over many passes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import jax

from regauge.run.array_files import Arrays
from regauge.run.evaluation import sampled, summaries
from regauge.run.jax_arrays import Static, named_outputs, numpy_all, numpy_of
from regauge.run.jax_dropout import dropout_control
from regauge.run.jax_dropout_conditions import DrawsByCondition

if TYPE_CHECKING:
    from regauge.run.jax_evaluate import JaxEvaluator


def randomness(evaluator: JaxEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """What dropout multiplies by when it draws itself: ``first.i``, ``second.i``, ``again.i`` for call i.

    `second` follows `first` with the streams where `first` left them and another key; `again` repeats `first`. Where
    conditions decide what is dropped (`decided`), passes may drop other things (not `alike`).
    """
    leaves, one, other = evaluator.leaves(task["input"]), jax.random.key(0), jax.random.key(1)
    said = Static()

    def forward(state: Any, leaves: Any, key: Any) -> Any:
        with dropout_control("observe") as log:
            _, following = _call_of(evaluator)(evaluator.params, state, evaluator.trees(leaves)[0], "train", key)
            elementwise = [number for number, each in enumerate(log.elementwise) if each]
            said.value = (list(log.rates), list(log.shapes), elementwise)
        return log.factors, following

    compiled = jax.jit(forward)
    with ExitStack() as stack:
        try:
            compiled.eval_shape(evaluator.state, leaves, one)
        except DrawsByCondition:
            stack.enter_context(jax.disable_jit())  # operator by operator every condition has a value
            said.value = None
        decided = said.value is None
        if not decided and not said.value[0]:
            return {}, {"rates": []}
        first, following = compiled(evaluator.state, leaves, one)
        rates, shapes, elementwise = said.value
        second, _ = compiled(following, leaves, other)
        alike = said.value[0] == rates
        again, _ = compiled(evaluator.state, leaves, one)
    named = {"first": first, "second": second, "again": again}
    arrays = {f"{name}.{i}": numpy_of(factor) for name, found in named.items() for i, factor in enumerate(found)}
    said_of = {"rates": rates, "shapes": shapes, "elementwise": elementwise}
    return arrays, {**said_of, "decided": decided, "alike": alike and said.value[0] == rates}


def samples(evaluator: JaxEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Summaries of the outputs over passes that draw their own random numbers."""
    leaves = evaluator.leaves(task["input"])

    def forward(state: Any, key: Any) -> Any:
        with dropout_control("observe"):
            inputs = evaluator.trees(leaves)[0]
            return named_outputs(_call_of(evaluator)(evaluator.params, state, inputs, task["mode"], key)[0])

    compiled = jax.jit(forward)

    def one(seed: int) -> dict[str, float]:
        outputs = numpy_all(compiled(evaluator.reseeded(seed), jax.random.key(seed)))
        return summaries(evaluator.names.outputs(outputs))

    return sampled(task["passes"], one), {}


def _call_of(evaluator: JaxEvaluator) -> Callable[..., Any]:
    """The program's own call: traced by itself, as `jax_held` does it, it would keep what dropout leaves in the log."""
    return inspect.unwrap(evaluator.program.call)

"""Substitution on a JAX side: its jaxpr with some operations computed in another way, and how far it then is.

The jaxpr is evaluated operation by operation, so that no trial has to be compiled; what holds no operation that is
changed (a function, a scan) runs as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from regauge.run.array_files import Arrays
from regauge.run.jax_alternatives import ALTERNATIVES, ARGUMENTS
from regauge.run.jax_alternatives_weights import changed
from regauge.run.jax_arrays import named_outputs, numpy_all, numpy_of, seen
from regauge.run.jax_calls import Calls
from regauge.run.jax_equations import evaluated
from regauge.run.jax_operation import Operation
from regauge.run.jax_optimizer_variants import EditedTrainer
from regauge.run.jax_pass import ForwardPass, forward_pass
from regauge.run.jax_rewriting import Rewriting
from regauge.run.substitution import Edits, Run, is_forward, moved, run_trials

if TYPE_CHECKING:
    from regauge.run.jax_evaluate import JaxEvaluator


class Substitution(Rewriting):
    """Computes some operations in another way.

    Args:
        calls: of the pass.
        edits: of a trial.
    """

    def __init__(self, calls: Calls, edits: Edits) -> None:
        self.calls = calls
        self._edits: dict[int, list[Mapping[str, Any]]] = {}
        for edit in edits:
            for number in edit.get("calls", ()):
                self._edits.setdefault(number, []).append(edit)

    def numbered(self, equation: Any, values: Sequence[Any], first: int) -> list[Any] | None:
        size = self.size(equation)
        if not any(first <= number < first + size for number in self._edits):
            return evaluated(equation, values)
        if self.calls is None or not self.calls.is_operation(equation):
            return None
        operation = Operation(equation, values, self.calls.entries[first])
        made: Any = None
        for edit in self._edits[first]:
            if edit["kind"] == "replace":
                made = ALTERNATIVES[edit["by"]](operation, **edit.get("options", {}))
                break
            operands = {n: v for n, v in edit["values"].items() if n in operation.call.description.operands}
            settings = {n: v for n, v in edit["values"].items() if n not in operands and n != "bias"}
            operation = operation.with_operands(**operands)
            made = ARGUMENTS[operation.function](operation, settings) if settings else None
        found = operation.made() if made is None else made
        found = list(found) if isinstance(found, list | tuple) else [found]
        if [jnp.shape(value) for value in found] != [variable.aval.shape for variable in equation.outvars]:
            raise NotImplementedError("another shape: what follows is made for this one")
        return found


def substitute(evaluator: JaxEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Trials, as `substitution.run_trials` takes and gives them.

    Args:
        evaluator: of the side.
        task: of a *step* or a *trajectory*.
    """
    if task["of"]["kind"] == "trajectory":
        run: Run = partial(moved, evaluator.trajectory, f"{task['file']}-trial")
        return {}, run_trials(task, run, partial(_other_optimizer, evaluator))
    bench = _Bench(evaluator, task["of"], is_forward(task))
    return {}, run_trials(task, bench.run, bench.edited)


@contextmanager
def _other_optimizer(evaluator: JaxEvaluator, edits: Edits) -> Iterator[None]:
    own = evaluator.side.trainer
    try:
        evaluator.side.trainer = EditedTrainer.of(own, edits)
        yield
    finally:
        evaluator.side.trainer = own


class _Bench:
    """One pass that is run again and again.

    Args:
        evaluator: of the side.
        task: a *step*.
        forward: whether nothing but outputs and the loss are looked at.
    """

    def __init__(self, evaluator: JaxEvaluator, task: Mapping[str, Any], forward: bool) -> None:
        self._evaluator = evaluator
        self._made: ForwardPass = forward_pass(evaluator, task)
        self._task = task
        self._forward = forward
        self._edits: Edits = ()

    @contextmanager
    def edited(self, edits: Edits) -> Iterator[None]:
        self._edits = edits
        try:
            yield
        finally:
            self._edits = ()

    def run(self, task: Mapping[str, Any]) -> Arrays:
        """The arrays of the pass by the original's names, as `JaxEvaluator.step` gives them."""
        evaluator, made = self._evaluator, self._made
        params, state = self._other_weights()
        rewriting = Substitution(made.calls, self._edits)

        def passed(params: Any, leaves: Any) -> Any:
            flat = rewriting.run(made.closed, jax.tree.leaves((params, state, {**made.leaves, **leaves})))
            loss, outputs, following = made.results(flat)
            return loss, (outputs, following)

        floats = {} if self._forward else self._inputs()
        gradients: Any = ({}, {})
        if self._forward:
            loss, (outputs, following) = passed(params, {})
        else:
            slope = jax.value_and_grad(passed, argnums=(0, 1), has_aux=True)
            (loss, (outputs, following)), gradients = slope(params, floats)
        arrays = {**evaluator.names.outputs(numpy_all(named_outputs(outputs))), "loss": numpy_of(loss)}
        if self._forward:
            return arrays
        by_inputs = evaluator.names.inputs(numpy_all(gradients[1]))
        arrays |= {f"input gradients.{name}": gradient for name, gradient in by_inputs.items()}
        arrays |= evaluator.names.weights("gradients.", seen(gradients[0]), trainable=True)
        arrays |= evaluator.buffers(following)
        if self._task.get("after"):
            arrays |= {f"after.{n}": a for n, a in evaluator.outputs_with(params, following, made.leaves).items()}
        return arrays

    def _inputs(self) -> dict[str, Any]:
        """The inputs that have gradients."""
        found = self._made.leaves.items()
        return {n: a for n, a in found if n.startswith("inputs") and jnp.issubdtype(a.dtype, jnp.floating)}

    def _other_weights(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and state with the weights of a trial."""
        params, state = dict(self._made.params), dict(self._made.state)
        arrays, calls = {**params, **state}, self._made.calls
        for edit in self._edits:
            for name, how, options in _weight_changes(edit, calls):
                place = params if name in params else state
                place[name] = changed(name, arrays, calls.layouts.get(name), how, options)
        return params, state


def _weight_changes(edit: Mapping[str, Any], calls: Calls) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Weights that an edit changes: by name, or the biases of calls that are to have none."""
    if edit["kind"] == "weight":
        return [(edit["name"], edit["how"], edit.get("options", {}))]
    if edit["kind"] == "argument" and "bias" in edit["values"]:
        found = [calls.entries[number].arguments.get("bias") for number in edit["calls"]]
        return [(bias["weight"], "zero", {}) for bias in found if bias]
    return []

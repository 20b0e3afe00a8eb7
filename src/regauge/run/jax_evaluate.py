"""A JAX side, evaluated for the check: the counterpart of torch_evaluate.

Job: ``{"job": "evaluate", "out", "folder" or "case", "widen": bool, "names": description of Names or None,
"transplant": file or None, "use_loss": bool, "loss_modes": [mode], "sets": description of InputSets, "tasks": [...]}``.
Arrays carry the original's names and layouts, so that the parent compares like with like.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.capture.jaxpr_casts import low_precision
from regauge.run.array_files import Arrays, load_arrays
from regauge.run.dropout_masks import DropoutCall, MasksDoNotFit, keep_mask
from regauge.run.evaluation import (
    InputSets,
    PartKeeper,
    derivative_results,
    loss_modes,
    run_tasks,
    signs,
    with_silent_units,
    with_transplant,
)
from regauge.run.jax_arrays import Static, named_outputs, numpy_all, numpy_of, seen
from regauge.run.jax_dropout import dropout_control, own_draws
from regauge.run.jax_dropout_conditions import by_value
from regauge.run.jax_own_precision import OwnPrecision, in_own_precision
from regauge.run.jax_precision import wide_names, widen_array
from regauge.run.jax_randomness import randomness, samples
from regauge.run.jax_rounding import in_last_place
from regauge.run.jax_side import JaxSide, Trainer, copies, load_side
from regauge.run.jax_substitution import substitute
from regauge.run.jax_trace import trace
from regauge.run.jax_trees import Leaves, Mode
from regauge.run.naming import Names
from regauge.run.process_memory import reuse_freed
from regauge.run.protocol import flatten_tree
from regauge.run.side_effects import changes
from regauge.run.steps import step_arrays


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the tasks of a job; the reply has the form of torch_evaluate's."""
    reuse_freed()
    side = load_side(job)
    # a folder's source text is widened itself
    with wide_names() if job["widen"] and "case" in job else _nothing():
        return evaluate(side, job)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def evaluate(side: JaxSide, job: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks of a job on a side that is loaded; x64 is on if the job widens."""
    names = Names(job.get("names"), job["widen"])
    evaluator = JaxEvaluator(side, InputSets(job["sets"]), job["widen"], names, loss_modes(job))

    def put() -> None:
        if job.get("transplant"):
            evaluator.transplant(load_arrays(job["transplant"]))

    handlers = {
        "step": evaluator.step,
        "derivative": evaluator.derivative,
        "trajectory": evaluator.trajectory,
        "weights": evaluator.weights,
        "modules": evaluator.modules,
        "randomness": lambda task: randomness(evaluator, task),
        "casts": evaluator.casts,
        "trace": lambda task: trace(evaluator, task),
        "substitute": lambda task: substitute(evaluator, task),
        "effects": evaluator.effects,
        "samples": lambda task: samples(evaluator, task),
        "candidate": evaluator.candidate,
    }
    with own_draws(job.get("own_draws", False)):
        results = with_transplant(job, lambda part: run_tasks(part, handlers), put)
    return {"tasks": results, "modules": evaluator.module_paths(), "versions": side.versions}


class JaxEvaluator:
    """Runs tasks on one model, compiled as it is when it is timed."""

    def __init__(
        self,
        side: JaxSide,
        sets: InputSets,
        widen: bool,
        names: Names,
        loss_modes: Collection[Mode] = ("train", "eval"),
    ) -> None:
        self.side = side
        self.program = side.program
        self.sets = sets
        self.widen = widen
        self.names = names
        self.loss = side.loss if loss_modes else None
        self.loss_modes = loss_modes
        self.params = dict(self.program.params)
        self.state = dict(self.program.state)
        self._given: Mapping[str, np.ndarray] | None = None
        self._compiled: dict[tuple[str, str, str], Callable[..., Any]] = {}

    def transplant(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put the original's weights, by its names, in the places of this side's own."""
        self._given = arrays
        for name, array in self.names.to_side(arrays).items():
            place = self.params if name in self.params else self.state
            place[name] = jnp.asarray(array, place[name].dtype)
        self.program.params, self.program.state = dict(self.params), dict(self.state)  # its own are not needed again

    def step(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """One forward and backward pass, through the side's own `gradients` if it brings a loss and this function."""
        mode, setting = task["mode"], task["dropout"]
        masks = self._masks(task)
        slopes = task.get("gradients", True)
        noise = task.get("noise")
        kept = OwnPrecision.asked(task)

        def make() -> Callable[..., Any]:
            own = self._step_function(mode, setting, slopes)
            return in_own_precision(own, kept) if kept else in_last_place(own, noise, self.widen)

        name = ("step" if slopes else "pass") + (" moved" if self.widen and noise is not None else "")
        function = jax.jit(make()) if kept else self._compile(name, mode, setting, make)
        leaves = self.leaves(task["input"], noise if task.get("noisy_inputs") else None)
        params = self._perturbed(noise) | self._silenced(task)
        key = jax.random.key(task.get("seed", 0))
        given = self.reseeded(task.get("seed", 0))
        loss, outputs, gradients, state, by_inputs, log = function(params, given, leaves, masks, key)
        if setting == "masks" and (calls := task.get("calls")) and len(log.value[0]) != len(calls):
            raise MasksDoNotFit(f"the original drops {len(calls)} times, the converted model {len(log.value[0])} times")
        arrays = {**self.names.outputs(numpy_all(outputs)), "loss": numpy_of(loss)}
        arrays |= {f"input gradients.{n}": g for n, g in self.names.inputs(numpy_all(by_inputs)).items()}
        arrays |= self.names.weights("gradients.", seen(gradients), trainable=True)
        arrays |= self.buffers(state)
        if mode == "train" and task.get("after"):
            arrays |= {f"after.{n}": array for n, array in self.outputs_with(params, state, leaves, noise).items()}
        rates, shapes = log.value
        return arrays, {
            "narrowed": kept.found if kept else {},
            "rates": rates,
            "calls": [DropoutCall(s, 1 - rate).to_json() for s, rate in zip(shapes, rates, strict=True)],
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
        }

    def outputs_with(
        self, params: Leaves, state: Leaves, leaves: Mapping[str, Any], noise: int | None = None
    ) -> Arrays:
        """The outputs in evaluation mode, by the original's names; `noise` numbers a noisy copy."""
        name = "forward" + (" moved" if self.widen and noise is not None else "")
        forward = self._compile(name, "eval", "off", lambda: in_last_place(self._forward, noise, self.widen))
        return self.names.outputs(numpy_all(forward(params, state, leaves)))

    def parameters(self, task: Mapping[str, Any]) -> Leaves:
        """The parameters of a pass, with silent units if it asks for them."""
        return {**self.params, **self._silenced(task)}

    def _silenced(self, task: Mapping[str, Any]) -> Leaves:
        """Those of which about half of the units are zero, along an axis of the original's arrays."""
        if task.get("silent") is None:
            return {}
        zeroed = self.names.to_side(with_silent_units(self._given or numpy_all(self.params), task["silent"]))
        trained = [name for name in self.params if name in zeroed and not self.names.is_fixed(name)]
        return {name: jnp.asarray(zeroed[name], self.params[name].dtype) for name in trained}

    def derivative(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Central differences of the loss along random directions against the gradient.

        The losses come from the compiled pass that the gradients come from: its backward half is cheaper to run in vain
        than a forward pass is to compile.
        """
        mode, key, names = task["mode"], jax.random.key(0), self.names.of_directions
        function = self._compile("step", mode, "off", lambda: self._step_function(mode, "off"))
        passing = function
        if task.get("large"):  # without gradients that nobody reads: they are as large as the model
            passing = self._compile("pass", mode, "off", lambda: self._step_function(mode, "off", False))
        leaves = self.leaves(task["input"])

        def loss(params: Leaves) -> float:
            return float(passing(params, self.state, leaves, [], key)[0])

        def moved(moves: Arrays, step: float) -> float:
            params = {n: a + step * jnp.asarray(moves[n], a.dtype) if n in moves else a for n, a in self.params.items()}
            return loss(params)

        def difference(direction: Arrays, step: float) -> float:
            moves = names.to_side(direction)
            # one after the other: each is as large as the model
            return (moved(moves, step) - moved(moves, -step)) / (2 * step)

        gradient = seen(function(self.params, self.state, leaves, [], key)[2])
        weights = names.weights("", seen(self.params), trainable=True)
        return {}, derivative_results(task, weights, names.weights("", gradient, trainable=True), difference)

    def trajectory(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Optimizer steps, training mode, dropout off: ``start.*``, ``first.*``, ``last.*``, ``state.*``, `losses`."""
        trainer = self.side.trainer
        if trainer is None:
            raise FileNotFoundError("the folder has no train.py with an optimizer, the case has no optimizer")
        factor = task.get("rate_factor", 1.0)
        trainer = trainer if factor == 1 else trainer.scaled(factor)
        batches = [self.trees(self.leaves(name)) for name in task["inputs"]]

        def trained(label: str, carry: Any) -> Arrays:
            return self._trained(label, seen(trainer.arrays(carry)[0]))

        def stepped(carry: Any, batch: Any) -> Any:
            with dropout_control("off"):  # the draws of each step are numbered from 0
                return trainer.step(carry, *batch)

        carry = trainer.start(copies(self._perturbed(task.get("noise"))), copies(self.state))
        keep = PartKeeper(task)
        keep("start", partial(trained, "start", carry))
        losses: list[float] = []
        for step in range(task["steps"]):
            carry, loss = by_value(stepped, carry, batches[step % len(batches)])
            losses.append(float(loss))
            if step == 0:
                keep("first", partial(trained, "first", carry))
            keep.after(step + 1, partial(self._step_of, trainer, carry))
        keep("last", partial(trained, "last", carry))
        return self.buffers(trainer.arrays(carry)[1]), {"losses": losses, "parts": keep.parts, "walk": keep.walked}

    def _step_of(self, trainer: Trainer, carry: Any) -> Arrays:
        """Parameters and slots of the optimizer after a step."""
        named = partial(self.names.weights, trainable=True)
        return step_arrays(seen(trainer.arrays(carry)[0]), trainer.slots(carry), named)

    def _trained(self, label: str, arrays: Arrays) -> Arrays:
        """Parameters of a trajectory; one that the original does not train appears only if this side moved it."""
        start = self.params
        shown = {n: a for n, a in arrays.items() if not self.names.is_fixed(n) or not np.array_equal(a, start[n])}
        return self.names.weights(f"{label}.", shown)

    def weights(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Every weight as it was loaded, under its name in the original."""
        state = {n: array for n, array in self.program.state.items() if n not in self.program.random}
        return self.names.weights("", seen({**self.program.params, **state})), {}

    def modules(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """The first array that each module returns on its first call, by path."""
        inputs, _ = self.trees(self.leaves(task["input"]))
        with dropout_control(task["dropout"], self._masks(task)):
            found = self.program.modules(self.params, self.state, inputs, task["mode"], jax.random.key(0))
        return numpy_all(found), {"order": list(found)}

    def module_paths(self) -> list[str]:
        """Paths of the modules that own weights: every prefix of a weight's name, in order."""
        names = [name for name in (*self.params, *self.state) if name not in self.program.random]
        return list(dict.fromkeys(name.rpartition(".")[0] for name in names))

    def casts(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Where the code narrows although every array that it is given is float64."""
        inputs, _ = self.trees(self.leaves(task["input"]))

        def call(params: Any, state: Any, inputs: Any) -> Any:
            with dropout_control("off"):
                return self.program.call(params, state, inputs, task["mode"], jax.random.key(0))

        return {}, {"casts": low_precision(call, self.params, self.state, inputs)}

    def effects(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """What Python does beside the arrays when the model is traced twice."""
        inputs, targets = self.trees(self.leaves(task["input"]))
        with dropout_control("off"):
            call, owners, functions = self.program.effects(self.params, self.state, inputs, task["mode"])

            def traced() -> None:
                jax.eval_shape(lambda: self.loss(call(), targets) if self.loss else call())

            found = changes(traced, owners, [*functions, self.loss])
        return {}, {"changes": found}

    def candidate(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """The outputs in evaluation mode with weights of the original, put in by a map that may be the right one."""
        params, state = dict(self.params), dict(self.state)
        for name, array in Names({"map": task["map"]}, self.widen).to_side(load_arrays(task["weights"])).items():
            place = params if name in params else state
            place[name] = jnp.asarray(array, place[name].dtype)
        return self.outputs_with(params, state, self.leaves(task["input"])), {}

    def _masks(self, task: Mapping[str, Any]) -> list[Any] | None:
        """Masks of the original's calls; None where this side is the original and draws them as it meets its own."""
        if "calls" not in task:
            return None
        calls = [DropoutCall.from_json(call) for call in task["calls"]]
        return [jnp.asarray(keep_mask(index, call)) for index, call in enumerate(calls)]

    def _compile(
        self, name: str, mode: str, setting: str, make: Callable[[], Callable[..., Any]]
    ) -> Callable[..., Any]:
        key = (name, mode, setting)
        if key not in self._compiled:
            self._compiled[key] = partial(by_value, jax.jit(make()))
        return self._compiled[key]

    def _step_function(self, mode: Mode, setting: str, slopes: bool = True) -> Callable[..., Any]:
        """Loss, outputs, gradients, new state, gradients of the inputs, what dropout was asked for.

        Without slopes it is a forward pass, and the gradients are empty.
        """

        def forward(params: Any, state: Any, leaves: Any, masks: Any, key: Any) -> Any:
            with dropout_control(setting, masks) as log:
                loss, (outputs, new_state) = self.evaluate(params, state, leaves, mode, key)
                said = Static((list(log.rates), list(log.shapes)))
            return loss, named_outputs(outputs), {}, new_state, {}, said

        def step(params: Any, state: Any, leaves: Any, masks: Any, key: Any) -> Any:
            with dropout_control(setting, masks) as log:
                loss, outputs, gradients, new_state = self._gradients(params, state, leaves, mode, key)
                said = Static((list(log.rates), list(log.shapes)))
            with dropout_control(setting, masks):
                floats = {
                    name: leaf
                    for name, leaf in leaves.items()
                    if name.startswith("inputs") and jnp.issubdtype(leaf.dtype, jnp.floating)
                }

                def changed(new: Any) -> Any:
                    return self.evaluate(params, state, {**leaves, **new}, mode, key)[0]

                by_inputs = jax.grad(changed)(floats) if floats else {}
            return loss, named_outputs(outputs), gradients, new_state, by_inputs, said

        return step if slopes else forward

    def _gradients(self, params: Any, state: Any, leaves: Any, mode: Mode, key: Any) -> tuple[Any, Any, Leaves, Leaves]:
        if self.side.gradients is not None and self.loss is not None and mode in self.loss_modes:
            return self.side.gradients(params, state, *self.trees(leaves), mode, key)
        slope = jax.value_and_grad(lambda changed: self.evaluate(changed, state, leaves, mode, key), has_aux=True)
        (value, (outputs, new_state)), gradients = slope(params)
        return value, outputs, gradients, new_state

    def evaluate(self, params: Any, state: Any, leaves: Mapping[str, Any], mode: Mode, key: Any) -> tuple[Any, Any]:
        inputs, targets = self.trees(leaves)
        outputs, new_state = self.program.call(params, state, inputs, mode, key)
        if self.loss is not None and mode in self.loss_modes:
            return self.loss(outputs, targets), (outputs, new_state)
        total: Any = jnp.zeros(())
        for name, output in named_outputs(outputs).items():
            if jnp.issubdtype(output.dtype, jnp.floating):
                finite = jnp.where(jnp.isinf(output), 0, output)
                total = total + (finite * jnp.asarray(self.names.probe(name, output.shape), output.dtype)).sum()
        return total, (outputs, new_state)

    def _forward(self, params: Any, state: Any, leaves: Mapping[str, Any]) -> dict[str, Any]:
        inputs = self.trees(leaves)[0]
        with dropout_control("off"):
            return named_outputs(self.program.call(params, state, inputs, "eval", jax.random.key(0))[0])

    def leaves(self, name: str, noise: int | None = None) -> dict[str, jax.Array]:
        arrays = self.sets.leaves(name)
        if noise is not None:
            arrays = {**arrays, **self.sets.noisy(arrays, noise)}
        arrays = self.names.leaves(arrays)
        if self.widen:
            return {key: jnp.asarray(widen_array(array)) for key, array in arrays.items()}
        own = flatten_tree(self.side.inputs, lambda leaf: hasattr(leaf, "dtype"), "inputs")[1]
        low = {key: leaf.dtype for key, leaf in own.items() if leaf.dtype in (jnp.bfloat16, jnp.float16)}
        return {key: jnp.asarray(array, low.get(key)) for key, array in arrays.items()}

    def trees(self, leaves: Mapping[str, Any]) -> tuple[Any, Any]:
        return self.sets.inputs(leaves), self.sets.targets(leaves)

    def buffers(self, state: Mapping[str, Any]) -> Arrays:
        """The state without random streams and parameters that do not train, which the original counts elsewhere."""
        apart = self.program.random | self.program.frozen
        kept = {n: a for n, a in state.items() if n not in apart and not self.names.is_fixed(n)}
        return self.names.weights("state.", numpy_all(kept))

    def reseeded(self, seed: int) -> Leaves:
        """The state with other random streams, where the model keeps its own: what still draws from them shows."""
        if not seed:
            return self.state
        keys = [n for n in self.program.random if jnp.issubdtype(self.state[n].dtype, jax.dtypes.prng_key)]
        return {**self.state, **{name: jax.random.fold_in(self.state[name], seed) for name in keys}}

    def _perturbed(self, seed: int | None) -> Leaves:
        """The parameters, each one unit in the last place larger or smaller by chance; as they are without a seed."""
        if seed is None:
            return self.params
        moved = {}
        for name, array in self.params.items():
            noise = jnp.asarray(signs(name, seed, array.shape), array.dtype)
            moved[name] = array * (1 + jnp.finfo(array.dtype).eps * noise)
        return moved

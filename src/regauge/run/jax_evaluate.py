"""The converted model, evaluated for the check from its saved folder: the counterpart of torch_evaluate.

Job: ``{"job": "evaluate", "out", "folder", "widen": bool, "sets": description of InputSets, "tasks": [...]}``. Arrays
carry the original's names and layouts, through the weight map, so that the parent compares like with like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from regauge.run.dropout_masks import DropoutCall, keep_mask
from regauge.run.evaluation import Arrays, InputSets, directions, inner, probe_weights, run_tasks
from regauge.run.jax_dropout import MasksDoNotFit, dropout_control
from regauge.run.jax_modules import first_outputs
from regauge.run.jax_subject import JaxSubject, load_jax_subject, widen_array
from regauge.run.protocol import flatten_tree

Split = tuple[Any, ...]  # graphdef, params, state


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the tasks of a job; the reply has the form of torch_evaluate's."""
    if job["widen"]:
        jax.config.update("jax_enable_x64", True)
    subject = load_jax_subject(Path(job["folder"]), widen=job["widen"])
    evaluator = JaxEvaluator(subject, InputSets(job["sets"]), job["widen"])
    handlers = {
        "step": evaluator.step,
        "derivative": evaluator.derivative,
        "trajectory": evaluator.trajectory,
        "weights": evaluator.weights,
        "modules": evaluator.modules,
        "randomness": evaluator.randomness,
    }
    tasks = run_tasks(job, handlers)
    return {"tasks": tasks, "versions": {"jax": jax.__version__, "flax": flax.__version__}}


class JaxEvaluator:
    """Runs tasks on one saved conversion, compiled as it is when it is timed."""

    def __init__(self, subject: JaxSubject, sets: InputSets, widen: bool) -> None:
        self.subject = subject
        self.sets = sets
        self.widen = widen
        self.map = subject.weight_map
        self._trains: Any = getattr(subject.train, "trainable", nnx.Param)
        self._compiled: dict[tuple[str, str, str], Callable[..., Any]] = {}

    def step(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """One forward and backward pass, through train.py's `loss_and_gradients` if there is a loss."""
        graphdef, params, state = self._split(task["mode"])
        calls = [DropoutCall.from_json(call) for call in task.get("calls", ())]
        masks = [jnp.asarray(keep_mask(index, call)) for index, call in enumerate(calls)]
        setting = task["dropout"]
        function = self._compile("step", task["mode"], setting, lambda: self._step_function(setting))
        leaves = self._leaves(task["input"])
        loss, outputs, gradients, new_state, by_inputs, rates = function(graphdef, params, state, leaves, masks)
        if setting == "masks" and len(rates.value) != len(calls):
            raise MasksDoNotFit(f"the original drops {len(calls)} times, the converted model {len(rates.value)} times")
        arrays = {**outputs, "loss": loss, **{f"input gradients.{name}": g for name, g in by_inputs.items()}}
        arrays |= self._named("gradients.", gradients, trainable=True)
        arrays |= self._named("state.", self._buffers(new_state))
        if task["mode"] == "train" and task.get("after"):
            after = self._compile("forward", "eval", "off", lambda: self._forward)
            found = after(self._split("eval")[0], params, new_state, leaves)
            arrays |= {f"after.{name}": array for name, array in found.items()}
        arrays = {name: numpy_of(array) for name, array in arrays.items()}
        return arrays, {"rates": rates.value, "dtypes": {name: str(array.dtype) for name, array in arrays.items()}}

    def derivative(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Central differences along the directions that the original's task chose.

        The losses come from the compiled pass that the gradients come from: its backward half is cheaper to run in vain
        than a forward pass is to compile.
        """
        graphdef, params, state = self._split(task["mode"])
        leaves = self._leaves(task["input"])
        function = self._compile("step", task["mode"], "off", lambda: self._step_function("off"))
        gradient = self._sources(function(graphdef, params, state, leaves, [])[2], trainable=True)
        weights = self._sources(params, trainable=True)
        results = []
        for draw in task["chosen"]:
            direction = directions(weights, draw)
            numeric = []
            for h in task["steps"]:
                losses = [
                    float(function(graphdef, self._moved(params, direction, sign * h), state, leaves, [])[0])
                    for sign in (1, -1)
                ]
                numeric.append((losses[0] - losses[1]) / (2 * h))
            results.append({"draw": draw, "slope": inner(gradient, direction), "numeric": numeric})
        return {}, {"directions": results}

    def trajectory(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Optimizer steps through train.py's `init` and `jitted_train_step`, dropout off."""
        train = self.subject.train
        if train is None:
            raise FileNotFoundError("the folder has no train.py")
        self.subject.model.train()
        graphdef, params, state, opt_state = _copied(train.init(self.subject.model))
        batches = [self._trees(self._leaves(name)) for name in task["inputs"]]
        arrays = _numpy(self._named("start.", params, trainable=True))
        losses: list[float] = []
        with dropout_control("off"):
            for step in range(task["steps"]):
                inputs, targets = batches[step % len(batches)]
                params, state, opt_state, loss = train.jitted_train_step(
                    graphdef, params, state, opt_state, inputs, targets
                )
                losses.append(float(loss))
                if step == 0:
                    arrays |= _numpy(self._named("first.", params, trainable=True))
        arrays |= _numpy(
            {**self._named("last.", params, trainable=True), **self._named("state.", self._buffers(state))}
        )
        return arrays, {"losses": losses}

    def weights(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Every weight of the module under its name in the original."""
        variables = nnx.state(self.subject.model, nnx.Not(nnx.RngState))
        return _numpy(self._named("", variables)), {}

    def modules(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """The first array that each module returns on its first call, by path."""
        _set_mode(self.subject.model, task["mode"])
        masks = [
            jnp.asarray(keep_mask(index, DropoutCall.from_json(call)))
            for index, call in enumerate(task.get("calls", ()))
        ]
        inputs, _ = self._trees(self._leaves(task["input"]))
        with dropout_control(task["dropout"], masks):
            found = first_outputs(self.subject.model, lambda: self.subject.call(self.subject.model, inputs))
        return _numpy(found), {"order": list(found)}

    def randomness(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """What dropout multiplies by when it draws itself: ``first.i``, ``second.i``, ``again.i`` for call i.

        `second` follows `first` with the streams where `first` left them; `again` repeats `first` from the start.
        """
        graphdef, params, state = self._split("train")
        leaves = self._leaves(task["input"])
        rates = _Static()

        def forward(params: Any, state: Any, leaves: Any) -> Any:
            with dropout_control("observe") as log:
                model = nnx.merge(graphdef, params, state, copy=True)
                self.subject.call(model, self._trees(leaves)[0])
                rates.value = list(log.rates)
            return log.factors, self._rest(model)

        compiled = jax.jit(forward)
        compiled.eval_shape(params, state, leaves)
        if not rates.value:
            return {}, {"rates": []}
        first, following = compiled(params, state, leaves)
        second, _ = compiled(params, following, leaves)
        again, _ = compiled(params, state, leaves)
        named = {"first": first, "second": second, "again": again}
        arrays = {f"{name}.{i}": numpy_of(factor) for name, found in named.items() for i, factor in enumerate(found)}
        return arrays, {"rates": rates.value}

    def _split(self, mode: str) -> Split:
        _set_mode(self.subject.model, mode)
        if self.subject.train is not None:
            return _copied(self.subject.train.init(self.subject.model))[:3]
        return _copied(tuple(nnx.split(self.subject.model, self._trains, ...)))

    def _compile(
        self, name: str, mode: str, setting: str, make: Callable[[], Callable[..., Any]]
    ) -> Callable[..., Any]:
        key = (name, mode, setting)
        if key not in self._compiled:
            self._compiled[key] = jax.jit(make(), static_argnums=0)
        return self._compiled[key]

    def _step_function(self, setting: str) -> Callable[..., Any]:
        def step(graphdef: Any, params: Any, state: Any, leaves: Any, masks: Any) -> Any:
            inputs, targets = self._trees(leaves)
            with dropout_control(setting, masks) as log:
                if self.subject.train is not None:
                    loss, outputs, gradients, new_state = self.subject.train.loss_and_gradients(
                        graphdef, params, state, inputs, targets
                    )
                else:
                    loss, outputs, gradients, new_state = self._probe_gradients(graphdef, params, state, leaves)
                rates = _Static(list(log.rates))
            with dropout_control(setting, masks):
                floats = {
                    name: leaf
                    for name, leaf in leaves.items()
                    if name.startswith("inputs") and jnp.issubdtype(leaf.dtype, jnp.floating)
                }
                slope = jax.grad(lambda changed: self._loss(graphdef, params, state, {**leaves, **changed})[0])
                by_inputs = slope(floats) if floats else {}
            return loss, named_outputs(outputs), gradients, new_state, by_inputs, rates

        return step

    def _loss(self, graphdef: Any, params: Any, state: Any, leaves: Mapping[str, Any]) -> tuple[Any, tuple[Any, Any]]:
        model = nnx.merge(graphdef, params, state, copy=True)
        inputs, targets = self._trees(leaves)
        outputs = self.subject.call(model, inputs)
        new_state = self._rest(model)
        if self.subject.train is not None:
            return self.subject.train.loss(outputs, targets), (outputs, new_state)
        total: Any = jnp.zeros(())
        for name, output in named_outputs(outputs).items():
            if jnp.issubdtype(output.dtype, jnp.floating):
                weights = jnp.asarray(probe_weights(name, output.shape), output.dtype)
                total = total + (output * weights).sum()
        return total, (outputs, new_state)

    def _probe_gradients(self, graphdef: Any, params: Any, state: Any, leaves: Mapping[str, Any]) -> tuple[Any, ...]:
        def evaluate(params: Any) -> Any:
            return self._loss(graphdef, params, state, leaves)

        (value, (outputs, new_state)), gradients = jax.value_and_grad(evaluate, has_aux=True)(params)
        return value, outputs, gradients, new_state

    def _forward(self, graphdef: Any, params: Any, state: Any, leaves: Mapping[str, Any]) -> dict[str, Any]:
        model = nnx.merge(graphdef, params, state, copy=True)
        with dropout_control("off"):
            return named_outputs(self.subject.call(model, self._trees(leaves)[0]))

    def _rest(self, model: nnx.Module) -> Any:
        """Everything that does not train: statistics, buffers, fixed parameters, random streams."""
        return nnx.state(model, nnx.Not(self._trains))

    def _leaves(self, name: str) -> dict[str, jax.Array]:
        arrays = self.sets.leaves(name)
        return {key: jnp.asarray(widen_array(array) if self.widen else array) for key, array in arrays.items()}

    def _trees(self, leaves: Mapping[str, Any]) -> tuple[Any, Any]:
        return self.sets.inputs(leaves), self.sets.targets(leaves)

    def _named(self, prefix: str, state: Any, trainable: bool = False) -> dict[str, Any]:
        """Variables under their name in the original, in its layout; unmapped ones as ``converted:path``."""
        named: dict[str, Any] = {}
        for path, variable in nnx.to_flat_state(state):
            if isinstance(variable, nnx.RngState):
                continue
            target = ".".join(map(str, path))
            entry = self.map.by_target.get(target)
            value = numpy_of(variable[...])
            if entry is None:
                named[f"{prefix}converted:{target}"] = value
            elif entry.trainable or not trainable:
                named[f"{prefix}{entry.source}"] = entry.to_source(value)
        return named

    def _buffers(self, state: Any) -> Any:
        """The state without the parameters that do not train, which the original does not count as state."""
        fixed = {entry.target for entry in self.map.entries if entry.role == "parameter"}
        return nnx.filter_state(state, lambda path, _: ".".join(map(str, path)) not in fixed)

    def _sources(self, state: Any, trainable: bool) -> Arrays:
        return {name: np.asarray(array) for name, array in self._named("", state, trainable).items()}

    def _moved(self, params: Any, direction: Arrays, step: float) -> Any:
        """The parameters, `step` along a direction that is given in the original's names and layouts."""
        moved = jax.tree.map(lambda leaf: leaf, params)
        for path, variable in nnx.to_flat_state(moved):
            entry = self.map.by_target.get(".".join(map(str, path)))
            if entry is not None and entry.source in direction:
                change = entry.to_target(direction[entry.source])
                variable.set_value(variable[...] + step * jnp.asarray(change, variable.dtype))
        return moved


@jax.tree_util.register_static
class _Static:
    """A Python value that a jitted function returns beside its arrays."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(repr(self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self.value == other.value


def named_outputs(outputs: Any) -> dict[str, Any]:
    """The outputs' arrays by name, ``outputs.logits`` and so on."""
    return flatten_tree(outputs, lambda leaf: isinstance(leaf, jax.Array), "outputs")[1]


def numpy_of(array: Any) -> np.ndarray:
    """A copy as numpy; floats that numpy does not know become float32, which holds them exactly."""
    found = np.array(array)
    return found.astype(np.float32) if array.dtype in (jnp.bfloat16, jnp.float16) else found


def _numpy(arrays: Mapping[str, Any]) -> Arrays:
    return {name: numpy_of(array) for name, array in arrays.items()}


def _set_mode(model: nnx.Module, mode: str) -> None:
    if mode == "train":
        model.train()
    else:
        model.eval()


def _copied(split: Any) -> Any:
    """The same with arrays of its own: a step that donates its arguments must not take the module's."""
    graphdef, *rest = split
    return (graphdef, *(jax.tree.map(jnp.copy, part) for part in rest))

"""One JAX side of a check: a program with its loss and its way to train, of a saved folder or of a case."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from regauge.capture.jax_given import refuse_abstract
from regauge.case import Case, load_case
from regauge.errors import BadCase
from regauge.run.jax_draws import with_draws_of_float32
from regauge.run.jax_held import as_given, holds_arrays, in_float64, with_rounded
from regauge.run.jax_optimizer_tree import OptimizerTree
from regauge.run.jax_precision import widen_accumulators, widen_array, widen_arrays, widen_counts
from regauge.run.jax_program import JaxProgram, NnxProgram, program_of
from regauge.run.jax_scopes import equinox_classes
from regauge.run.jax_subject import load_jax_subject, widen_dtypes
from regauge.run.jax_trees import Leaves, Mode, of_its_own_dtype

# (loss, outputs, gradients of the parameters, new state)
Gradients = Callable[[Mapping[str, Any], Mapping[str, Any], Any, Any, Mode, Any], tuple[Any, Any, Leaves, Leaves]]


class Trainer(Protocol):
    """Optimizer steps; a carry holds everything that changes."""

    def start(self, params: Leaves, state: Leaves, seed: int = 0) -> Any:
        """The carry before the first step; arrays are copies. A seed is for the keys that the model is given."""

    def step(self, carry: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
        """The carry after one step in training mode, and the loss before it."""

    def arrays(self, carry: Any) -> tuple[Leaves, Leaves]:
        """Parameters and state of a carry."""

    def slots(self, carry: Any) -> dict[str, dict[str, np.ndarray]]:
        """What the optimizer keeps, by slot and parameter, in float64."""

    def scaled(self, factor: float) -> Trainer:
        """The same trainer with every update times a factor."""


@dataclass
class JaxSide:
    """What the evaluator works on.

    Attributes:
        program: the model.
        loss: ``loss(outputs, targets) -> scalar``, or None.
        gradients: the side's own loss and gradients, where it brings a function for them, or None.
        trainer: None without an optimizer.
        optimizer: what to call the optimizer, or an empty string.
        inputs: of the case, None for a folder.
        targets: of the case.
        holding: whether code of the case holds float arrays of its own, and it is widened.
        versions: of the libraries.
    """

    program: JaxProgram
    loss: Callable[[Any, Any], Any] | None = None
    gradients: Gradients | None = None
    trainer: Trainer | None = None
    optimizer: str = ""
    inputs: Any = None
    targets: Any = None
    holding: bool = False

    @property
    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "flax": flax.__version__}


def side_of_folder(folder: Path, widen: bool) -> JaxSide:
    """A saved conversion: loss, gradients and steps are those of its train.py."""
    subject = load_jax_subject(folder, widen=widen)
    train = subject.train
    program = NnxProgram(subject.model, getattr(train, "trainable", nnx.Param))
    if train is None:
        return JaxSide(program)

    def gradients(params: Any, state: Any, inputs: Any, targets: Any, mode: Mode, key: Any) -> Any:
        nested = nnx.as_pure((program.nested(params, True), program.nested(state, False)))
        found = train.loss_and_gradients(program.graphdef(mode), *nested, inputs, targets)
        return found[0], found[1], program.flat(found[2]), program.flat(found[3])

    trainer = _FolderTrainer(program, train) if hasattr(train, "make_train_step") else None
    return JaxSide(program, train.loss, gradients, trainer)


def side_of_case(case: Case, widen: bool) -> JaxSide:
    """A person's JAX case.

    Raises:
        BadCase: its model is no JAX model, or its optimizer is not optax's.
        CaptureError: its weights have no values.
    """
    refuse_abstract(case.model)
    model = case.model
    if widen:
        model = widen_dtypes(model)
    program = program_of(model)
    loss, holding, wrappers = case.loss, False, []
    if widen:
        in_float32 = not in_float64(case)
        if in_float32:  # before all are float64: of those that are, float32 is what the person's run has
            program.params, program.state = as_given(program.params), as_given(program.state)
        program.params, program.state = widen_arrays(program.params), _widen_state(program)
        holding = in_float32 and holds_arrays(program, case)
        wrappers = [with_draws_of_float32] * in_float32 + [with_rounded] * holding
    for wrapped in wrappers:
        program.call, program.modules = wrapped(program.call), wrapped(program.modules)  # type: ignore[method-assign]
        loss = None if loss is None else wrapped(loss)
    trainer, name = None, ""
    if case.optimizer is not None:
        if not (hasattr(case.optimizer, "init") and hasattr(case.optimizer, "update")):
            raise BadCase(
                "the optimizer of a JAX case must be an optax.GradientTransformation",
                received=type(case.optimizer).__name__,
                next="optimizer=optax.adamw(1e-3)",
            )
        trainer, name = OptaxTrainer(program, loss, case.optimizer, widen), "optax"
    return JaxSide(program, loss, None, trainer, name, case.inputs, case.targets, holding)


def load_side(job: Mapping[str, Any]) -> JaxSide:
    """The side that a job names: ``folder`` or ``case``. A job that widens leaves JAX's x64 mode on."""
    if "folder" in job:
        _widen_jax(job["widen"])
        return side_of_folder(Path(job["folder"]), job["widen"])
    return side_of_case(load_case_to_widen(job["case"], job["widen"]), job["widen"])


def load_case_to_widen(reference: str, widen: bool) -> Case:
    """A person's case; to widen it, JAX's x64 mode is switched on, but not before the case is there.

    A file that runs in x64 mode draws other random numbers: its weights would not be those that were converted. What a
    model of Equinox computes at its first call and keeps for later ones is computed as in the person's own run, too.
    """
    case = load_case(reference)
    if widen and _keeps_arrays(case.model):
        program = program_of(case.model)
        call = partial(program.call, mode="eval", key=None)
        jax.eval_shape(call, program.params, program.state, case.inputs)
    _widen_jax(widen)
    return case


def _keeps_arrays(model: Any) -> bool:
    """Whether a model has a module that keeps arrays outside of itself: the angles of Equinox's rotary embedding."""
    equinox: Any = sys.modules.get("equinox")
    return equinox is not None and equinox.nn.RotaryPositionalEmbedding in equinox_classes(model)


def _widen_jax(widen: bool) -> None:
    if widen:
        jax.config.update("jax_enable_x64", True)


def _widen_state(program: JaxProgram) -> Leaves:
    """State in float64, counts in the dtype that they have."""
    return {
        n: array if n in program.random else widen_array(of_its_own_dtype(array)) for n, array in program.state.items()
    }


def copies(arrays: Mapping[str, Any]) -> Leaves:
    """Arrays of their own: a step that donates its arguments must not take the model's."""
    return {name: jnp.copy(array) for name, array in arrays.items()}


class OptaxTrainer:
    """Steps of an optax.GradientTransformation on a person's loss, jitted."""

    def __init__(self, program: JaxProgram, loss: Callable[[Any, Any], Any] | None, optimizer: Any, widen: bool):
        optimizer = widen_accumulators(optimizer) if widen else optimizer
        self.optimizer = optimizer
        self.tree = OptimizerTree(program, optimizer)
        self._parts = program, loss, widen

        def evaluate(params: Any, state: Any, inputs: Any, targets: Any, draw: Any = 0) -> Any:
            key = jax.random.fold_in(jax.random.key(0), draw)
            outputs, new_state = program.call(params, state, inputs, "train", key)
            if loss is None:
                raise BadCase("the case has an optimizer but no loss")
            return loss(outputs, targets), new_state

        def slopes(params: Any, state: Any, inputs: Any, targets: Any, draw: Any = 0) -> Any:
            slope = jax.value_and_grad(evaluate, has_aux=True)
            (value, new_state), gradients = slope(params, state, inputs, targets, draw)
            return gradients, new_state, value

        def step(params: Any, state: Any, slots: Any, draw: Any, inputs: Any, targets: Any) -> Any:
            gradients, new_state, value = slopes(params, state, inputs, targets, draw)
            nested = self.tree.nested
            updates, slots = optimizer.update(nested(gradients), slots, nested(params))
            moves = self.tree.flat(updates)
            params = {name: array + moves[name] for name, array in params.items()}
            return params, new_state, slots, value

        self._step = jax.jit(step, donate_argnums=(0, 1, 2))
        self.slopes = jax.jit(slopes)  # gradients, the new state and the loss, for steps with another update

    def scaled(self, factor: float) -> OptaxTrainer:
        program, loss, widen = self._parts
        return OptaxTrainer(program, loss, optax.chain(self.optimizer, optax.scale(factor)), widen)

    def start(self, params: Leaves, state: Leaves, seed: int = 0) -> Any:
        """The carry; each step of each seed has a key of its own, which a model that draws nothing does not compute."""
        slots = self.optimizer.init(self.tree.nested(params))
        return params, state, widen_counts(slots) if self._parts[2] else slots, np.uint32(seed << 20)

    def step(self, carry: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
        *following, loss = self._step(*carry, inputs, targets)
        return (*following, carry[3] + np.uint32(1)), loss

    def arrays(self, carry: Any) -> tuple[Leaves, Leaves]:
        return carry[0], carry[1]

    def slots(self, carry: Any) -> dict[str, dict[str, np.ndarray]]:
        return self.tree.slots(carry[2])


class _FolderTrainer:
    """Steps of a saved conversion: train.py's `init` and `make_train_step`."""

    def __init__(self, program: NnxProgram, train: Any) -> None:
        self._program = program
        self._train = train
        self._step = train.make_train_step(program.graphdef("train"))

    def start(self, params: Leaves, state: Leaves, seed: int = 0) -> Any:
        program = self._program
        program.split("train")
        *_, slots = self._train.init(program.module)
        nested = nnx.as_pure((program.nested(copies(params), True), program.nested(copies(state), False)))
        return *nested, jax.tree.map(jnp.copy, slots)

    def step(self, carry: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
        *following, loss = self._step(*carry, inputs, targets)
        return tuple(following), loss

    def arrays(self, carry: Any) -> tuple[Leaves, Leaves]:
        return self._program.flat(carry[0]), self._program.flat(carry[1])

    def slots(self, carry: Any) -> dict[str, dict[str, np.ndarray]]:
        raise BadCase("the slots of a saved conversion are not compared: its parameters tell")

    def scaled(self, factor: float) -> Trainer:
        raise BadCase("the steps of a saved conversion have no other learning rate")

"""A torch side, evaluated for the check: outputs, loss, gradients, state and trajectories as arrays in files.

Job: ``{"job": "evaluate", "out", "case", "widen": bool, "names": description of Names or None, "transplant": file or
None, "use_loss": bool, "sets": description of InputSets, "tasks": [...]}``. Tasks have an `id` and a `kind`: ``step``,
``derivative``, ``trajectory``, ``weights``, ``modules``, ``randomness``. Arrays carry the original's names and layouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from regauge import optimizers
from regauge.errors import BadCase
from regauge.run import torch_optimizers
from regauge.run.dropout_masks import DropoutCall
from regauge.run.evaluation import Arrays, InputSets, derivative_results, run_tasks
from regauge.run.naming import Names
from regauge.run.protocol import flatten_tree
from regauge.run.torch_arithmetic import (
    DropoutControl,
    controlled,
    narrowed,
    perturbed,
    silence,
    widen_module,
    widen_tensor,
)
from regauge.run.torch_noise import SharedNoise
from regauge.run.torch_rounding import rounded
from regauge.run.torch_subject import TorchSubject, load_torch_subject


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the tasks of a job.

    Returns:
        ``{"tasks": {id: description}, "modules": paths in order, "dtypes": of the parameters, "versions"}``.
    """
    subject = load_torch_subject(job["case"])
    if job["widen"]:
        torch.set_default_dtype(torch.float64)
    return evaluate(subject, job)


def evaluate(subject: TorchSubject, job: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks of a job on a subject that is loaded; its model is widened in place if the job widens."""
    dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in subject.model.parameters()})
    names = Names(job.get("names"))
    own = {name: numpy_of(tensor) for name, tensor in _named_tensors(subject.model)}
    if job["widen"]:
        widen_module(subject.model)
    given = load_file(Path(job["transplant"])) if job.get("transplant") else None
    if given:
        transplant(subject.model, names.to_side(given))
    use_loss = job.get("use_loss", True)
    evaluator = TorchEvaluator(
        subject, InputSets(job["sets"]), job["widen"], names, use_loss=use_loss, own=own, given=given
    )
    handlers = {
        "step": evaluator.step,
        "derivative": evaluator.derivative,
        "trajectory": evaluator.trajectory,
        "weights": evaluator.weights,
        "modules": evaluator.modules,
        "randomness": evaluator.randomness,
        "casts": lambda task: ({}, {"casts": []}),  # a dispatch mode widens every one of them
    }
    return {
        "tasks": run_tasks(job, handlers),
        "has_optimizer": subject.optimizer is not None,
        "dtypes": dtypes,
        "modules": [name for name, _ in subject.model.named_modules()],
        "versions": {"torch": torch.__version__},
    }


def _named_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


@torch.no_grad()
def transplant(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Put arrays, by this model's own names, in the places of its weights."""
    tensors = dict(_named_tensors(model))
    for name, array in arrays.items():
        tensors[name].copy_(torch.from_numpy(np.array(array)).reshape(tensors[name].shape))


class TorchEvaluator:
    """Runs tasks on one model; every task leaves the weights and buffers as it found them.

    Args:
        subject: the model with its loss and optimizer.
        sets: inputs and targets.
        widen: whether everything is float64.
        names: what the tensors are called in the original; their own names by default.
        use_loss: without it the loss is the probe, also where the subject has one.
        own: the weights as they were loaded, before any others were put in their places.
        given: those of the original, by its names, that were put in their places.
    """

    def __init__(
        self,
        subject: TorchSubject,
        sets: InputSets,
        widen: bool,
        names: Names | None = None,
        *,
        use_loss: bool = True,
        own: Arrays | None = None,
        given: Arrays | None = None,
    ) -> None:
        self.subject = subject
        self.model = subject.model
        self.sets = sets
        self.widen = widen
        self.names = names or Names()
        self.loss = subject.loss if use_loss else None
        self._own = own
        self._given = given
        self._noise: SharedNoise | None = None

    def step(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """One forward and backward pass: ``outputs.*``, ``loss``, ``gradients.*``, ``input gradients.*``, ``state.*``.

        In training mode also ``after.outputs.*``: the outputs in eval mode with the updated state.
        """
        given = [DropoutCall.from_json(call) for call in task["calls"]] if "calls" in task else None
        control = self._controlled(task["dropout"], task.get("seed", 0), given)
        inexact = rounded(task.get("noise"), self.widen)
        with self._kept(), control as dropout, perturbed(self.model, task.get("noise")), inexact:
            self.model.train(task["mode"] == "train")
            if task.get("bare"):
                silence(self.model, self.names, self._given, task["units"])
            noise = task.get("noise") if task.get("noisy_inputs") else None
            leaves, floats = self._leaves(task["input"], gradients=True, noise=noise)
            outputs, loss = self._evaluate(leaves)
            calls, draws = list(dropout.calls), dropout.noise.drawn
            found = self._gradients(loss, floats)
            arrays = {**self.names.outputs(named_outputs(outputs)), "loss": numpy_of(loss), **found[0]}
            arrays |= self._buffers()
            if task["mode"] == "train" and task.get("after"):
                self.model.eval()
                with torch.no_grad():
                    after, _ = self._evaluate(self._leaves(task["input"])[0])
                arrays |= {f"after.{name}": array for name, array in self.names.outputs(named_outputs(after)).items()}
        return arrays, {
            "missing": found[1],
            "calls": [call.to_json() for call in calls],
            "rates": [1 - call.keep for call in calls],
            "draws": draws,
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
        }

    def derivative(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Central differences of the loss along random directions against the gradient."""
        with self._kept(), self._controlled("off"):
            self.model.train(task["mode"] == "train")
            trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
            leaves, _ = self._leaves(task["input"])
            _, loss = self._evaluate(leaves)
            if not trained or not loss.requires_grad:
                return {}, {"directions": []}
            found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
            pairs = zip(trained, found, strict=True)
            gradient = {name: numpy_of(g) for name, g in pairs if g is not None}
            start = {name: parameter.detach().clone() for name, parameter in trained.items()}

            names = self.names.of_directions

            def difference(direction: Arrays, step: float) -> float:
                return self._difference(leaves, trained, start, names.to_side(direction), step)

            weights = names.weights(
                "", {name: numpy_of(parameter) for name, parameter in start.items()}, trainable=True
            )
            by_name = names.weights("", gradient, trainable=True)
            return {}, derivative_results(task, weights, by_name, difference)

    def trajectory(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Optimizer steps in training mode: ``start.*``, ``first.*``, ``last.*`` parameters, ``state.*``, `losses`."""
        spec = optimizers.from_json(task["optimizer"]) if task.get("optimizer") else self.subject.optimizer
        if spec is None:
            raise BadCase("the case has no optimizer")
        spec = torch_optimizers.at_rate(spec, task.get("rate_factor", 1.0))
        with self._kept(), self._controlled("off"), perturbed(self.model, task.get("noise")):
            self.model.train()
            trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
            optimizer = torch_optimizers.build(spec, self.model.named_parameters())
            batches = [self._leaves(name)[0] for name in task["inputs"]]
            arrays = self._trained("start", trained)
            losses: list[float] = []
            for step in range(task["steps"]):
                optimizer.zero_grad()
                _, loss = self._evaluate(batches[step % len(batches)])
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
                if step == 0:
                    arrays |= self._trained("first", trained)
            arrays |= {**self._trained("last", trained), **self._buffers()}
        return arrays, {"losses": losses}

    def _trained(self, label: str, trained: Mapping[str, Tensor]) -> Arrays:
        return self.names.weights(f"{label}.", {name: numpy_of(p) for name, p in trained.items()})

    def _buffers(self) -> Arrays:
        return self.names.weights("state.", {name: numpy_of(buffer) for name, buffer in self.model.named_buffers()})

    def _named(self, prefix: str, arrays: Arrays) -> Arrays:
        return self.names.weights(prefix, arrays, trainable=True)

    def weights(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Every parameter and buffer as it was loaded, tied ones under their first name."""
        trainable = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        own = self._own or {name: numpy_of(tensor) for name, tensor in _named_tensors(self.model)}
        return self.names.weights("", own), {"trainable": trainable}

    def randomness(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """What dropout multiplies by when it draws itself: ``first.i``, ``second.i``, ``again.i`` for call i.

        `second` goes on where the generator stands after `first`; `again` starts from the seed of `first`.
        """
        arrays: Arrays = {}
        rates: list[float] = []
        leaves = self._leaves(task["input"])[0]
        passes = ({"first": 0, "second": 1}, {"again": 0})
        for named in passes:
            with self._kept(), controlled(self.widen, "free") as dropout, torch.no_grad():
                self.model.train()
                for label in named:
                    dropout.calls.clear()
                    dropout.factors.clear()
                    self.subject.call(self.model, self.sets.inputs(leaves))
                    rates = [1 - call.keep for call in dropout.calls]
                    arrays |= {f"{label}.{i}": numpy_of(factor) for i, factor in enumerate(dropout.factors)}
        return arrays, {"rates": rates}

    def modules(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """The first tensor that each module returns on its first call, by path; `order` is the order of returning."""
        arrays: Arrays = {}

        def keep(path: str) -> Any:
            def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
                tensor = _first_tensor(output)
                if path not in arrays and tensor is not None:
                    arrays[path] = numpy_of(tensor)

            return hook

        handles = [module.register_forward_hook(keep(path)) for path, module in self.model.named_modules() if path]
        try:
            with self._kept(), self._controlled(task["dropout"]), torch.no_grad():
                self.model.train(task["mode"] == "train")
                self.subject.call(self.model, self.sets.inputs(self._leaves(task["input"])[0]))
        finally:
            for handle in handles:
                handle.remove()
        return arrays, {"order": list(arrays)}

    def _evaluate(self, leaves: Mapping[str, Tensor]) -> tuple[Any, Tensor]:
        if self._noise is not None:
            self._noise.again()  # every pass draws the same numbers: a compiled step has them fixed
        outputs = self.subject.call(self.model, self.sets.inputs(leaves))
        if self.loss is not None:
            return outputs, self.loss(outputs, self.sets.targets(leaves))
        _, tensors = flatten_tree(outputs, _is_tensor, "outputs")
        probed = [
            (tensor * torch.from_numpy(np.array(self.names.probe(name, tuple(tensor.shape)))).to(tensor)).sum()
            for name, tensor in tensors.items()
            if tensor.dtype.is_floating_point
        ]
        return outputs, torch.stack([value.to(probed[0]) for value in probed]).sum() if probed else torch.zeros(())

    def _leaves(
        self, name: str, gradients: bool = False, noise: int | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The tensors of an input set, and those float inputs that gradients are taken of.

        With a seed as noise, each float input is moved by one unit in the last place of the reference's magnitude:
        also a constant or zero one, whose rounding errors nothing else would show.
        """
        arrays = self.sets.leaves(name)
        if noise is not None:
            arrays = {**arrays, **self.sets.noisy(arrays, noise)}
        arrays = self.names.leaves(arrays)
        leaves = {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in arrays.items()}
        if self.widen:
            leaves = {key: widen_tensor(tensor) for key, tensor in leaves.items()}
        else:
            leaves = narrowed(leaves, flatten_tree(self.subject.inputs, _is_tensor, "inputs")[1])
        floats: dict[str, Tensor] = {}
        if gradients:
            for key, tensor in leaves.items():
                if key.startswith("inputs") and tensor.dtype.is_floating_point:
                    floats[key] = tensor.requires_grad_()
                    leaves[key] = tensor.clone()  # a model may write into its input, but not into a leaf
        return leaves, floats

    def _gradients(self, loss: Tensor, floats: Mapping[str, Tensor]) -> tuple[Arrays, list[str]]:
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        wanted = [*trained.values(), *floats.values()]
        found: list[Tensor | None] = [None] * len(wanted)
        if wanted and loss.requires_grad:
            found = list(torch.autograd.grad(loss, wanted, allow_unused=True))
        by_weight = dict(zip(trained, found, strict=False))
        by_input = dict(zip(floats, found[len(trained) :], strict=True))
        arrays = self._named("gradients.", {n: numpy_of(g) for n, g in by_weight.items() if g is not None})
        inputs = self.names.inputs({n: numpy_of(g) for n, g in by_input.items() if g is not None})
        arrays |= {f"input gradients.{name}": array for name, array in inputs.items()}
        none = {name: np.zeros(tuple(p.shape)) for name, p in trained.items() if by_weight[name] is None}
        missing = [*self._named("gradients.", none)]
        unused = {name: np.zeros(tuple(floats[name].shape)) for name, g in by_input.items() if g is None}
        return arrays, [*missing, *(f"input gradients.{name}" for name in self.names.inputs(unused))]

    @torch.no_grad()
    def _difference(
        self,
        leaves: Mapping[str, Tensor],
        trained: Mapping[str, nn.Parameter],
        start: Mapping[str, Tensor],
        direction: Arrays,
        step: float,
    ) -> float:
        values = []
        for sign in (1, -1):
            for name, parameter in trained.items():
                if name in direction:
                    moved = torch.from_numpy(np.ascontiguousarray(direction[name])).to(parameter)
                    parameter.copy_(start[name] + sign * step * moved)
            values.append(float(self._evaluate(leaves)[1]))
        for name, parameter in trained.items():
            parameter.copy_(start[name])
        return (values[0] - values[1]) / (2 * step)

    @contextmanager
    def _controlled(
        self,
        dropout: Literal["off", "masks", "free"],
        seed: int = 0,
        given: Sequence[DropoutCall] | None = None,
    ) -> Iterator[DropoutControl]:
        with controlled(self.widen, dropout, seed, given) as control:
            self._noise = control.noise
            try:
                yield control
            finally:
                self._noise = None

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Put mode, parameters and buffers back afterwards."""
        modes = {module: module.training for module in self.model.modules()}
        tensors = [*self.model.parameters(), *self.model.buffers()]
        saved = [tensor.detach().clone() for tensor in tensors]
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, before in zip(tensors, saved, strict=True):
                    tensor.copy_(before)
                    tensor.grad = None
            for module, mode in modes.items():
                module.training = mode


def named_outputs(outputs: Any) -> Arrays:
    """The outputs' arrays by name, ``outputs.logits`` and so on."""
    _, tensors = flatten_tree(outputs, _is_tensor, "outputs")
    return {name: numpy_of(tensor) for name, tensor in tensors.items()}


def numpy_of(tensor: Tensor) -> np.ndarray:
    """A copy as numpy; floats that numpy does not know become float32, which holds them exactly."""
    tensor = tensor.detach().cpu()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.to(torch.float32)
    return tensor.resolve_conj().resolve_neg().numpy().copy()


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, Tensor)


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    children = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((found for child in children if (found := _first_tensor(child)) is not None), None)

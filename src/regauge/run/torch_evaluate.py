"""The original, evaluated for the check: outputs, loss, gradients, state and trajectories as arrays in files.

Job: ``{"job": "evaluate", "out", "case", "widen": bool, "sets": description of InputSets, "tasks": [...]}``. Tasks have
an `id` and a `kind`: ``step``, ``derivative``, ``trajectory``, ``weights``, ``modules``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from regauge import optimizers
from regauge.errors import BadCase
from regauge.run import torch_optimizers
from regauge.run.evaluation import Arrays, InputSets, directions, inner, length, probe_weights, run_tasks, seeded
from regauge.run.protocol import flatten_tree
from regauge.run.torch_arithmetic import DropoutControl, controlled, perturbed, widen_module, widen_tensor
from regauge.run.torch_noise import SharedNoise
from regauge.run.torch_subject import TorchSubject, load_torch_subject

_SMALLEST_SHARE = 0.1  # of ||g|| ||u|| / sqrt(dimension): a direction nearly at right angles says little


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the tasks of a job.

    Returns:
        ``{"tasks": {id: description}, "parameters": names that train, "modules": paths in order, "versions"}``.
    """
    subject = load_torch_subject(job["case"])
    if job["widen"]:
        torch.set_default_dtype(torch.float64)
        widen_module(subject.model)
    evaluator = TorchEvaluator(subject, InputSets(job["sets"]), job["widen"])
    handlers = {
        "step": evaluator.step,
        "derivative": evaluator.derivative,
        "trajectory": evaluator.trajectory,
        "weights": evaluator.weights,
        "modules": evaluator.modules,
    }
    return {
        "tasks": run_tasks(job, handlers),
        "has_optimizer": subject.optimizer is not None,
        "dtypes": sorted({str(t.dtype).removeprefix("torch.") for t in subject.model.parameters()}),
        "modules": [name for name, _ in subject.model.named_modules()],
        "versions": {"torch": torch.__version__},
    }


class TorchEvaluator:
    """Runs tasks on one model; every task leaves the weights and buffers as it found them."""

    def __init__(self, subject: TorchSubject, sets: InputSets, widen: bool) -> None:
        self.subject = subject
        self.model = subject.model
        self.sets = sets
        self.widen = widen
        self._noise: SharedNoise | None = None

    def step(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """One forward and backward pass: ``outputs.*``, ``loss``, ``gradients.*``, ``input gradients.*``, ``state.*``.

        In training mode also ``after.outputs.*``: the outputs in eval mode with the updated state.
        """
        control = self._controlled(task["dropout"], task.get("seed", 0))
        with self._kept(), control as dropout, perturbed(self.model, task.get("noise")):
            self.model.train(task["mode"] == "train")
            noise = task.get("noise") if task.get("noisy_inputs") else None
            leaves, floats = self._leaves(task["input"], gradients=True, noise=noise)
            outputs, loss = self._evaluate(leaves)
            calls, draws = list(dropout.calls), dropout.noise.drawn
            found = self._gradients(loss, floats)
            arrays = {**named_outputs(outputs), "loss": numpy_of(loss), **found[0]}
            arrays |= {f"state.{name}": numpy_of(buffer) for name, buffer in self.model.named_buffers()}
            if task["mode"] == "train" and task.get("after"):
                self.model.eval()
                with torch.no_grad():
                    after, _ = self._evaluate(self._leaves(task["input"])[0])
                arrays |= {f"after.{name}": array for name, array in named_outputs(after).items()}
        return arrays, {
            "missing": found[1],
            "calls": [call.to_json() for call in calls],
            "draws": draws,
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
        }

    def derivative(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Central differences of the loss along random directions against the gradient, in training mode.

        Directions nearly at right angles to the gradient are drawn again.
        """
        results: list[dict[str, Any]] = []
        with self._kept(), self._controlled("off"):
            self.model.train(task["mode"] == "train")
            trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
            leaves, _ = self._leaves(task["input"])
            _, loss = self._evaluate(leaves)
            gradient = {
                name: numpy_of(g)
                for name, g in zip(
                    trained, torch.autograd.grad(loss, list(trained.values()), allow_unused=True), strict=True
                )
                if g is not None
            }
            start = {name: parameter.detach().clone() for name, parameter in trained.items()}
            weights = {name: numpy_of(parameter) for name, parameter in start.items()}
            least = (
                _SMALLEST_SHARE * length(gradient) * length(weights) / np.sqrt(sum(a.size for a in weights.values()))
            )
            for draw in range(8 * task["draws"]):
                direction = directions(weights, draw)
                slope = inner(gradient, direction)
                if abs(slope) < least:
                    continue
                numeric = [self._difference(leaves, trained, start, direction, h) for h in task["steps"]]
                results.append({"draw": draw, "slope": slope, "numeric": numeric})
                if len(results) == task["draws"]:
                    break
        return {}, {"directions": results}

    def trajectory(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Optimizer steps in training mode: ``start.*``, ``first.*``, ``last.*`` parameters, ``state.*``, `losses`."""
        spec = optimizers.from_json(task["optimizer"]) if task.get("optimizer") else self.subject.optimizer
        if spec is None:
            raise BadCase("the case has no optimizer")
        spec = _at_rate(spec, task.get("rate_factor", 1.0))
        with self._kept(), self._controlled("off"), perturbed(self.model, task.get("noise")):
            self.model.train()
            trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
            optimizer = torch_optimizers.build(spec, self.model.named_parameters())
            batches = [self._leaves(name)[0] for name in task["inputs"]]
            arrays = {f"start.{name}": numpy_of(p) for name, p in trained.items()}
            losses: list[float] = []
            for step in range(task["steps"]):
                optimizer.zero_grad()
                _, loss = self._evaluate(batches[step % len(batches)])
                loss.backward()
                optimizer.step()
                losses.append(float(loss))
                if step == 0:
                    arrays |= {f"first.{name}": numpy_of(p) for name, p in trained.items()}
            arrays |= {f"last.{name}": numpy_of(p) for name, p in trained.items()}
            arrays |= {f"state.{name}": numpy_of(b) for name, b in self.model.named_buffers()}
        return arrays, {"losses": losses}

    def weights(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Every parameter and buffer by name, tied ones under their first name."""
        named = [*self.model.named_parameters(), *self.model.named_buffers()]
        trainable = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        return {name: numpy_of(tensor) for name, tensor in named}, {"trainable": trainable}

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
        if self.subject.loss is not None:
            return outputs, self.subject.loss(outputs, self.sets.targets(leaves))
        _, tensors = flatten_tree(outputs, _is_tensor, "outputs")
        probed = [
            (tensor * torch.from_numpy(probe_weights(name, tuple(tensor.shape))).to(tensor)).sum()
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
            arrays = {**arrays, **self._noisy(arrays, noise)}
        leaves = {key: torch.from_numpy(array) for key, array in arrays.items()}
        if self.widen:
            leaves = {key: widen_tensor(tensor) for key, tensor in leaves.items()}
        floats: dict[str, Tensor] = {}
        if gradients:
            for key, tensor in leaves.items():
                if key.startswith("inputs") and tensor.dtype.is_floating_point:
                    floats[key] = tensor.requires_grad_()
                    leaves[key] = tensor.clone()  # a model may write into its input, but not into a leaf
        return leaves, floats

    def _noisy(self, arrays: Arrays, seed: int) -> Arrays:
        reference = self.sets.leaves("reference")
        moved: Arrays = {}
        for key, array in arrays.items():
            if key.startswith("inputs") and array.dtype.kind == "f":
                magnitude = np.finfo(array.dtype).eps * np.sqrt(np.mean(np.square(reference[key], dtype=np.float64)))
                signs = seeded(f"noise {key}", seed).choice([-1.0, 1.0], array.shape)
                moved[key] = (array + magnitude * signs).astype(array.dtype)
        return moved

    def _gradients(self, loss: Tensor, floats: Mapping[str, Tensor]) -> tuple[Arrays, list[str]]:
        trained = {f"gradients.{n}": p for n, p in self.model.named_parameters() if p.requires_grad}
        wanted = {**trained, **{f"input gradients.{name}": tensor for name, tensor in floats.items()}}
        if not wanted or not loss.requires_grad:
            return {}, list(wanted)
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
        pairs = dict(zip(wanted, found, strict=True))
        arrays = {name: numpy_of(gradient) for name, gradient in pairs.items() if gradient is not None}
        return arrays, [name for name, gradient in pairs.items() if gradient is None]

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
                parameter.copy_(start[name] + sign * step * torch.from_numpy(direction[name]).to(parameter))
            values.append(float(self._evaluate(leaves)[1]))
        for name, parameter in trained.items():
            parameter.copy_(start[name])
        return (values[0] - values[1]) / (2 * step)

    @contextmanager
    def _controlled(self, dropout: Literal["off", "masks", "free"], seed: int = 0) -> Iterator[DropoutControl]:
        with controlled(self.widen, dropout, seed) as control:
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


def _at_rate(spec: optimizers.Optimizer, factor: float) -> optimizers.Optimizer:
    """The optimizer with every learning rate times a factor."""
    groups = [
        replace(g, options={**g.options, "lr": g.options["lr"] * factor}) if "lr" in g.options else g
        for g in spec.groups
    ]
    return replace(spec, lr=spec.options()["lr"] * factor, groups=tuple(groups))  # type: ignore[call-arg]


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

"""A torch side, evaluated for the check: outputs, loss, gradients, state and trajectories as arrays in files.

Job: ``{"job": "evaluate", "out", "case" or "folder", "widen": bool, "names": description of Names or None,
"transplant": file or None, "use_loss": bool, "loss_modes": [mode], "sets": description of InputSets, "tasks": [...]}``.
Tasks have an `id` and a `kind`: ``step``, ``derivative``, ``trajectory``, ``weights``, ``modules``, ``randomness``,
``samples``, ``effects``, ``candidate``, ``casts``, ``trace`` and, on torch, ``substitute``. Arrays carry the original's
names and layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from regauge import optimizers
from regauge.errors import BadCase
from regauge.run import torch_optimizers
from regauge.run.array_files import Arrays, load_arrays
from regauge.run.dropout_masks import DropoutCall
from regauge.run.evaluation import InputSets, PartKeeper, derivative_results, loss_modes, run_tasks, with_transplant
from regauge.run.naming import Names
from regauge.run.process_memory import reuse_freed
from regauge.run.protocol import flatten_tree
from regauge.run.side_effects import changes
from regauge.run.torch_arithmetic import (
    DropoutControl,
    controlled,
    narrowed,
    perturb_gradients,
    perturbed,
    silence,
    widen_module,
    widen_tensor,
)
from regauge.run.torch_folder import load_torch_folder
from regauge.run.torch_noise import SharedNoise
from regauge.run.torch_own_precision import OwnPrecision
from regauge.run.torch_randomness import randomness, samples
from regauge.run.torch_rounding import rounded
from regauge.run.torch_steps import arrays_after
from regauge.run.torch_subject import TorchSubject, load_torch_subject
from regauge.run.torch_substitution import substitute
from regauge.run.torch_tensors import (
    Keeper,
    attributes,
    derivatives,
    first_tensor,
    is_tensor,
    named_outputs,
    named_tensors,
    numpy_of,
    seen,
    transplant,
)
from regauge.run.torch_trace import trace


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the tasks of a job.

    Returns:
        ``{"tasks": {id: description}, "modules": paths in order, "dtypes": of the parameters, "versions"}``.
    """
    reuse_freed()
    in_folder = "folder" in job
    subject = load_torch_folder(job["folder"]) if in_folder else load_torch_subject(job["case"], "use_loss" in job)
    if job["widen"]:
        torch.set_default_dtype(torch.float64)
    return evaluate(subject, job)


def evaluate(subject: TorchSubject, job: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks of a job on a subject that is loaded; its model is widened in place if the job widens."""
    dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in subject.model.parameters()})
    names = Names(job.get("names"), job["widen"])
    evaluator = TorchEvaluator(
        subject, InputSets(job["sets"]), job["widen"], Path(job["out"]), names, loss_modes=loss_modes(job)
    )

    def put() -> None:
        if job["widen"]:
            widen_module(subject.model)
        if job.get("transplant"):
            evaluator.given = load_arrays(job["transplant"])
            transplant(subject.model, names.to_side(evaluator.given))

    handlers = {
        "step": evaluator.step,
        "derivative": evaluator.derivative,
        "trajectory": evaluator.trajectory,
        "weights": evaluator.weights,
        "modules": evaluator.modules,
        "randomness": lambda task: randomness(evaluator, task),
        "trace": lambda task: trace(evaluator, task),
        "substitute": lambda task: substitute(evaluator, task),
        "effects": evaluator.effects,
        "samples": lambda task: samples(evaluator, task),
        "candidate": evaluator.candidate,
        "casts": lambda task: ({}, {"casts": []}),  # a dispatch mode widens every one of them
    }
    results = with_transplant(job, lambda part: run_tasks(part, handlers), put)
    evaluator.keeper.forget()
    return {
        "tasks": results,
        "has_optimizer": subject.optimizer is not None,
        "dtypes": dtypes,
        "modules": [name for name, _ in subject.model.named_modules()],
        "versions": {"torch": torch.__version__},
    }


class TorchEvaluator:
    """Runs tasks on one model; every task leaves the weights and buffers as it found them.

    Args:
        subject: the model with its loss and optimizer.
        sets: inputs and targets.
        widen: whether everything is float64.
        out: directory of the job.
        names: what the tensors are called in the original; their own names by default.
        loss_modes: in the others the loss is the probe, also where the subject has one.
    """

    def __init__(
        self,
        subject: TorchSubject,
        sets: InputSets,
        widen: bool,
        out: Path,
        names: Names | None = None,
        *,
        loss_modes: Collection[str] = ("train", "eval"),
    ) -> None:
        self.subject = subject
        self.model = subject.model
        self.keeper = Keeper(subject.model, out)
        self.sets = sets
        self.widen = widen
        self.names = names or Names()
        self.loss, self.loss_modes = subject.loss if loss_modes else None, loss_modes
        self.given: Arrays | None = None  # the original's weights, where others were there before
        self._noise: SharedNoise | None = None
        self.substitution: Callable[[], AbstractContextManager[Any]] = nullcontext  # around every forward pass
        self.build_optimizer = torch_optimizers.build

    def step(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """One forward and backward pass: ``outputs.*``, ``loss``, ``gradients.*``, ``input gradients.*``, ``state.*``.

        In training mode also ``after.outputs.*``: the outputs in eval mode with the updated state.
        Without ``gradients`` it is a forward pass alone; for ``keep`` see `OwnPrecision`.
        """
        slopes = task.get("gradients", True)
        given = [DropoutCall.from_json(call) for call in task["calls"]] if "calls" in task else None
        control, kept = self.controlled(task["dropout"], task.get("seed", 0), given), OwnPrecision.asked(task)
        with (
            self.keeper.kept(),
            torch.set_grad_enabled(slopes),
            control as dropout,
            perturbed(self.model, noise := task.get("noise")),
            rounded(noise, self.widen, bool(task.get("noisy_inputs"))),
            kept or nullcontext(),
        ):
            self.prepare(task)
            leaves, floats = self.leaves(task["input"], slopes, noise if task.get("noisy_inputs") else None)
            outputs, loss = self.evaluate(leaves)
            perturb_gradients(outputs, None if self.widen else noise)
            calls, draws = list(dropout.calls), dropout.noise.drawn
            found = self._gradients(loss, floats) if slopes else ({}, [])
            arrays = {**self.forward_arrays(outputs, loss), **found[0], **self._buffers()}
            if task["mode"] == "train" and task.get("after"):
                self.model.eval()
                with torch.no_grad():
                    after, _ = self.evaluate(self.leaves(task["input"])[0])
                arrays |= {f"after.{name}": array for name, array in self.names.outputs(named_outputs(after)).items()}
        return arrays, {
            "narrowed": kept.found if kept else {},
            "missing": found[1],
            "calls": [call.to_json() for call in calls],
            "rates": [1 - call.keep for call in calls],
            "elementwise": sorted(dropout.elementwise),
            "draws": draws,
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
        }

    def prepare(self, task: Mapping[str, Any]) -> None:
        """Set the mode of a pass, and silence units if it asks for that; `keeper` puts both back."""
        self.model.train(task["mode"] == "train")
        if task.get("silent") is not None:
            silence(self.model, self.names, self.given, task["silent"])

    def forward_arrays(self, outputs: Any, loss: Tensor) -> Arrays:
        return {**self.names.outputs(named_outputs(outputs)), "loss": numpy_of(loss)}

    def derivative(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Central differences of the loss along random directions against the gradient."""
        with self.keeper.kept(), self.controlled("off"):
            self.model.train(task["mode"] == "train")
            trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
            leaves, _ = self.leaves(task["input"])
            with self.keeper.kept():  # parameters too: a lookup with max_norm scales its rows
                _, loss = self.evaluate(leaves)
                if not trained or not loss.requires_grad:
                    return {}, {"directions": []}
                found = derivatives(loss, list(trained.values()))
            gradient = {name: seen(g) for name, g in zip(trained, found, strict=True) if g is not None}
            del found, loss
            start = {name: parameter.detach().clone() for name, parameter in trained.items()}
            names = self.names.of_directions

            def difference(direction: Arrays, step: float) -> float:
                return self._difference(leaves, trained, start, names.to_side(direction), step)

            weights = names.weights("", {name: seen(parameter) for name, parameter in start.items()}, trainable=True)
            by_name = names.weights("", gradient, trainable=True)
            return {}, derivative_results(task, weights, by_name, difference)

    def trajectory(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Optimizer steps in training mode: ``start.*``, ``first.*``, ``last.*`` parameters, ``state.*``, `losses`."""
        spec = optimizers.from_json(task["optimizer"]) if task.get("optimizer") else self.subject.optimizer
        own = self.subject.own
        if spec is None and own is None:
            raise BadCase("the case has no optimizer")
        with self.keeper.kept(steps=True), self.controlled("off"), perturbed(self.model, task.get("noise")):
            self.model.train()
            trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
            named = dict(self.model.named_parameters())
            if spec is not None:
                spec = torch_optimizers.at_rate(spec, task.get("rate_factor", 1.0))
                made: Any = self.build_optimizer(spec, named.items(), self.keeper.large)
            elif own is not None:
                made = own.of(named)
            batches = [self.leaves(name)[0] for name in task["inputs"]]
            keep = PartKeeper(task)
            keep("start", lambda: self._trained("start", trained))
            losses: list[float] = []
            for number in range(task["steps"]):
                for parameter in named.values():
                    parameter.grad = None
                _, loss = self.evaluate(batches[number % len(batches)])
                loss.backward()
                made.step()
                losses.append(float(loss.detach()))
                if number == 0:
                    keep("first", lambda: self._trained("first", trained))
                keep.after(number + 1, lambda: arrays_after(made, trained, self._named))
            keep("last", lambda: self._trained("last", trained))
            return self._buffers(), {"losses": losses, "parts": keep.parts, "walk": keep.walked}

    def _trained(self, label: str, trained: Mapping[str, Tensor]) -> Arrays:
        return self.names.weights(f"{label}.", {name: seen(p) for name, p in trained.items()})

    def _buffers(self) -> Arrays:
        return self.names.weights("state.", {name: numpy_of(buffer) for name, buffer in self.model.named_buffers()})

    def _named(self, prefix: str, arrays: Arrays) -> Arrays:
        return self.names.weights(prefix, arrays, trainable=True)

    def weights(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Every parameter and buffer as it was loaded, tied ones under their first name."""
        trainable = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        own = {name: seen(tensor) for name, tensor in named_tensors(self.model)}
        return self.names.weights("", own), {"trainable": trainable}

    def candidate(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """The outputs in evaluation mode with weights of the original, put in by a map that may be the right one."""
        weights = Names({"map": task["map"]}, self.widen).to_side(load_arrays(task["weights"]))
        with self.keeper.kept(), self.controlled("off"), torch.no_grad():
            transplant(self.model, weights)
            self.model.eval()
            outputs = self.subject.call(self.model, self.sets.inputs(self.leaves(task["input"])[0]))
            return self.names.outputs(named_outputs(outputs)), {}

    def modules(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """The first tensor that each module returns on its first call, by path; `order` is the order of returning."""
        arrays: Arrays = {}

        def keep(path: str) -> Any:
            def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
                tensor = first_tensor(output)
                if path not in arrays and tensor is not None:
                    arrays[path] = numpy_of(tensor)

            return hook

        handles = [module.register_forward_hook(keep(path)) for path, module in self.model.named_modules() if path]
        try:
            with self.keeper.kept(), self.controlled(task["dropout"]), torch.no_grad():
                self.model.train(task["mode"] == "train")
                self.subject.call(self.model, self.sets.inputs(self.leaves(task["input"])[0]))
        finally:
            for handle in handles:
                handle.remove()
        return arrays, {"order": list(arrays)}

    def effects(self, task: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """What two passes on the same inputs change besides parameters and buffers."""
        leaves = self.leaves(task["input"])[0]
        own = [module for module in self.model.modules() if not type(module).__module__.startswith("torch.")]
        functions = [getattr(self.model, "function", None), self.loss, *{type(module): None for module in own}]
        with self.keeper.kept(), self.controlled("off"), torch.no_grad():
            self.model.train(task["mode"] == "train")
            found = changes(lambda: self.evaluate(leaves), lambda: attributes(self.model), functions)
        return {}, {"changes": found}

    def evaluate(self, leaves: Mapping[str, Tensor]) -> tuple[Any, Tensor]:
        if self._noise is not None:
            self._noise.again()  # every pass draws the same numbers: a compiled step has them fixed
        with self.substitution():
            return self._outputs_and_loss(leaves)

    def _outputs_and_loss(self, leaves: Mapping[str, Tensor]) -> tuple[Any, Tensor]:
        outputs = self.subject.call(self.model, self.sets.inputs(leaves))
        if self.loss is not None and ("train" if self.model.training else "eval") in self.loss_modes:
            return outputs, self.loss(outputs, self.sets.targets(leaves))
        floats = {n: t for n, t in flatten_tree(outputs, is_tensor, "outputs")[1].items() if t.is_floating_point()}
        weights = {name: np.array(self.names.probe(name, tuple(t.shape))) for name, t in floats.items()}
        probed = [(t.where(~t.isinf(), 0) * torch.from_numpy(weights[name]).to(t)).sum() for name, t in floats.items()]
        return outputs, torch.stack([value.to(probed[0]) for value in probed]).sum() if probed else torch.zeros(())

    def leaves(
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
        leaves = {key: torch.from_numpy(np.asarray(array, order="C")) for key, array in arrays.items()}
        if self.widen:
            leaves = {key: widen_tensor(tensor) for key, tensor in leaves.items()}
        else:
            leaves = narrowed(leaves, flatten_tree(self.subject.inputs, is_tensor, "inputs")[1])
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
            found = derivatives(loss, wanted)
        by_weight = dict(zip(trained, found, strict=False))
        by_input = dict(zip(floats, found[len(trained) :], strict=True))
        arrays = self._named("gradients.", {n: seen(g) for n, g in by_weight.items() if g is not None})
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
                    moved = torch.from_numpy(np.asarray(direction[name], order="C")).to(parameter)
                    parameter.copy_(start[name] + sign * step * moved)
            with self.keeper.state_kept():  # training may read the state that it writes
                values.append(float(self.evaluate(leaves)[1]))
        for name, parameter in trained.items():
            parameter.copy_(start[name])
        return (values[0] - values[1]) / (2 * step)

    @contextmanager
    def controlled(
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

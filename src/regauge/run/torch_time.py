"""The timing job of the torch worker: one variant, eager or compiled, on the tasks of one launch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from regauge.capture.containers import plain
from regauge.errors import WorkerFailed
from regauge.run import process_memory
from regauge.run.protocol import flatten_tree, read_json, unflatten_tree
from regauge.run.timing import Settings, Stepper, measure_task, measure_tasks
from regauge.run.torch_folder import load_torch_folder
from regauge.run.torch_optimizers import build
from regauge.run.torch_subject import TorchSubject, load_torch_subject
from regauge.weights.mapping import WeightMap

_MATMUL = {"strict32": "highest", "tf32": "high"}


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Time the tasks of one launch.

    Args:
        job: case, folder, original (whether the case is of torch and to be timed, not the folder), gate, tasks, mode
            (eager or compile), purposes, steps, step_seconds, threads, precision, and launched: the monotonic clock
            when the process was started.

    Returns:
        ``{"tasks": {task: result of measure_task}, "environment": what was read back}``.
    """
    imported = time.monotonic() - job["launched"]
    above = process_memory.resident_bytes()
    configure(job["threads"], job["precision"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if job["mode"] == "compile":
        _require_compiler(device)
    start = time.perf_counter()
    subject = load_subject(job["case"] if job["original"] else None, Path(job["folder"]), device)
    loaded = time.perf_counter() - start
    settings = Settings.of(job)

    def measure(task: str) -> dict[str, Any]:
        start = time.perf_counter()
        copies = not settings.weighs_memory  # the gate's own copies would weigh too
        try:
            stepper = _STEPPERS[task](subject, device, settings.compiled, copies)
            built = loaded + time.perf_counter() - start
            found = measure_task(task, stepper, settings, above)
        finally:
            # the next task starts from the same weights
            load_weights(subject.model, Path(job["folder"]), of_original=job["original"])
        return found | {"phases": found["phases"] | {"import": imported, "build": built}}

    return {"tasks": measure_tasks(job["tasks"], measure), "environment": _environment(device)}


def configure(threads: int, precision: str) -> None:
    """Set threads and the precision of float32 matrix products and convolutions."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.set_float32_matmul_precision(_MATMUL[precision])
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True


def load_subject(case: str | None, folder: Path, device: torch.device) -> TorchSubject:
    """What is timed: a case, with the weights and inputs that its conversion holds; or the conversion itself.

    Args:
        case: reference of an original of torch; None for an original of JAX, whose conversion the folder holds.
        folder: the saved conversion.
        device: where it runs.
    """
    if case is None:
        subject = load_torch_folder(folder)
        subject.model.to(device)
        moved: Callable[[Tensor], Tensor] = lambda tensor: tensor.to(device)  # noqa: E731
        subject.inputs = pytree.tree_map_only(Tensor, moved, subject.inputs)
        subject.targets = pytree.tree_map_only(Tensor, moved, subject.targets)
        return subject
    subject = load_torch_subject(case)
    load_weights(subject.model, folder)
    subject.model.to(device)
    reference = load_file(folder / "reference.safetensors")
    conversion = read_json(folder / "conversion.json")
    subject.inputs = _with_arrays(subject.inputs, conversion["inputs"], reference, device)
    subject.writes = any(finding["code"] == "C240" for finding in conversion["findings"])
    if conversion.get("targets") is not None:
        subject.targets = _with_arrays(subject.targets, conversion["targets"], reference, device)
    return subject


def load_weights(model: nn.Module, folder: Path, of_original: bool = True) -> None:
    """Copy the weights of a saved conversion into its module, or into the original through the map backwards."""
    if not of_original:
        model.load_state_dict(load_tensors(folder / "weights.safetensors"), strict=False)
        return
    weight_map = WeightMap.from_json(read_json(folder / "weights.json"))
    arrays = load_file(folder / "weights.safetensors")
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name in weight_map.by_source:
            if name in own:
                own[name].copy_(torch.from_numpy(np.array(weight_map.to_source(name, arrays))))
        for name in weight_map.unused:
            if name in own and f"unused.{name}" in arrays:
                own[name].copy_(torch.from_numpy(np.array(arrays[f"unused.{name}"])))


def _with_arrays(own: Any, skeleton: dict[str, Any], arrays: dict[str, np.ndarray], device: torch.device) -> Any:
    """The case's own tree with the stored arrays as leaves; its containers keep their types."""
    stored = unflatten_tree(skeleton, arrays)
    found = [leaf for leaf in pytree.tree_leaves(stored) if isinstance(leaf, np.ndarray)]
    leaves, tree = pytree.tree_flatten(own)
    if len(found) != sum(isinstance(leaf, Tensor) for leaf in leaves):
        return pytree.tree_map_only(Tensor, lambda leaf: leaf.detach().to(device), own)
    values = iter(found)
    changed = [
        torch.from_numpy(np.array(next(values))).to(leaf.dtype).to(device) if isinstance(leaf, Tensor) else leaf
        for leaf in leaves
    ]
    return pytree.tree_unflatten(changed, tree)


def output_arrays(outputs: Any) -> dict[str, np.ndarray]:
    """Outputs by leaf name, as reference.safetensors names them."""
    _, leaves = flatten_tree(plain(outputs), lambda leaf: isinstance(leaf, Tensor), "outputs")
    return {name: _numpy(leaf) for name, leaf in leaves.items()}


def _numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()


class _TorchStepper(Stepper):
    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)

    def wait(self, result: Any) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def is_finite(self, result: Any) -> bool:
        tensors = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        return all(bool(torch.isfinite(t).all()) for t in tensors if t.is_floating_point())

    def compilations(self) -> int:
        from torch._dynamo.utils import counters

        return int(counters["stats"].get("unique_graphs", 0))

    def device_peak(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None


class _Infer(_TorchStepper):
    """The model in eval mode; torch.compile takes the whole model.

    Inference mode knows no gradients at all: a model that takes a derivative inside runs under `torch.no_grad`.
    """

    def __init__(self, subject: TorchSubject, device: torch.device, compiled: bool, copies: bool) -> None:
        super().__init__(device)
        model, inputs, call = subject.model.eval(), subject.inputs, _call_of(subject)

        def infer() -> Any:
            return call(model, inputs)

        self._infer: Callable[[], Any] = torch.compile(infer) if compiled else infer
        self._mode: type[torch.inference_mode | torch.no_grad] = torch.inference_mode

    def step(self) -> Any:
        try:
            with self._mode():
                return self._infer()
        except RuntimeError as error:
            if self._mode is torch.no_grad or "does not require grad" not in str(error):
                raise
        self._mode = torch.no_grad
        return self.step()

    def observe(self, result: Any) -> dict[str, Any]:
        return {"outputs": output_arrays(result)}

    def is_finite(self, result: Any) -> bool:
        return True  # masks may be infinite by design; the gate compares them place by place


class _Train(_TorchStepper):
    """Forward pass, loss, backward pass and optimizer step.

    torch.compile takes the function of all four: it makes one graph of the forward pass and the loss, one of the
    backward pass, and one of clipping and the optimizer's update; between them Python runs for a moment.
    """

    def __init__(self, subject: TorchSubject, device: torch.device, compiled: bool, copies: bool) -> None:
        super().__init__(device)
        self._parameters = [p for p in subject.model.parameters() if p.requires_grad]
        self._before = [p.detach().clone() for p in self._parameters] if copies else None
        step = train_step(subject)
        self._step: Callable[[], Tensor] = torch.compile(step) if compiled else step

    def step(self) -> Tensor:
        return self._step()

    def observe(self, result: Tensor) -> dict[str, Any]:
        observed = {"loss": float(result)}
        if self._before is not None:
            observed["update"] = update_norm(self._before, self._parameters)
            self._before = None
        return observed


_STEPPERS: dict[str, Callable[[TorchSubject, torch.device, bool, bool], Stepper]] = {"infer": _Infer, "train": _Train}


def _call_of(subject: TorchSubject) -> Callable[[nn.Module, Any], Any]:
    """How the model is called step by step: on copies, which take time, only if it would change its inputs."""
    return TorchSubject.call if subject.writes else TorchSubject.call_on


def train_step(subject: TorchSubject) -> Callable[[], Tensor]:
    """The case's training step as one function; a new optimizer, the model in training mode."""
    model, inputs, targets, loss_of = subject.model.train(), subject.inputs, subject.targets, subject.loss
    call = _call_of(subject)
    if loss_of is None or (subject.optimizer is None and subject.own is None):
        raise WorkerFailed("the case has no loss or no optimizer, so there is no training step")
    optimizer: Any
    if subject.optimizer is not None:
        optimizer = build(subject.optimizer, model.named_parameters())
    elif subject.own is not None:
        optimizer = subject.own.of(dict(model.named_parameters()))

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(call(model, inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def update_norm(before: list[Tensor], after: list[nn.Parameter]) -> float:
    """The 2-norm, over all parameters together, of what a step changed."""
    squares = [float(((b.detach() - a).double() ** 2).sum()) for a, b in zip(before, after, strict=True)]
    return sum(squares) ** 0.5


def _require_compiler(device: torch.device) -> None:
    """torch.compile writes C++ for the CPU and needs a compiler there; Triton brings its own for a GPU."""
    if device.type != "cpu":
        return
    from torch._inductor import config

    candidates = config.cpp.cxx if isinstance(config.cpp.cxx, tuple | list) else (config.cpp.cxx,)
    names = [str(name) for name in candidates if name]
    if not any(shutil.which(name) for name in names):
        raise WorkerFailed(
            "torch.compile needs a C++ compiler and finds none",
            code="M130",
            received=f"looked for: {', '.join(names)}",
            next="install g++ or clang++, or set CXX to the compiler",
        )


def _environment(device: torch.device) -> dict[str, Any]:
    from torch._dynamo.utils import counters

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": {"kind": "gpu" if device.type == "cuda" else "cpu", "name": name},
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "precision": {
            "matmul": torch.get_float32_matmul_precision(),
            "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        },
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda},
        "compiled_graphs": int(counters["stats"].get("unique_graphs", 0)),
        "graph_breaks": int(sum(counters["graph_break"].values())),
    }

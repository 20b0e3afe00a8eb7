"""The job ``api``: what torch's public names become when they are captured, tried on torch's own samples.

The samples are those of `torch.testing`: operators with arguments (`op_db`) and layers with constructor and forward
arguments (`module_db`). Each is captured exactly as a person's model would be.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.testing._internal import common_methods_invocations, common_modules
from torch.utils._pytree import tree_flatten, tree_unflatten

from regauge.capture.torch_export import capture_module
from regauge.capture.torch_optimizer import _KNOWN
from regauge.capture.torch_schedules import SCHEDULES, WITH_MOMENTUM
from regauge.errors import RegaugeError
from regauge.ir.serial import graph_to_json
from regauge.run.protocol import write_json

SAMPLES = 4  # of each name
# Layers that `module_db` leaves out: name, how one is made, shape of an example.
_EXTRA_LAYERS: tuple[tuple[str, Callable[[], nn.Module], tuple[int, ...]], ...] = (
    ("Identity", nn.Identity, (8,)),
    ("Dropout", lambda: nn.Dropout(0.1), (8,)),
    ("Dropout1d", lambda: nn.Dropout1d(0.1), (8, 6)),
    ("Dropout2d", lambda: nn.Dropout2d(0.1), (8, 6, 6)),
    ("Dropout3d", lambda: nn.Dropout3d(0.1), (8, 6, 6, 6)),
    ("AlphaDropout", lambda: nn.AlphaDropout(0.1), (8,)),
    ("FeatureAlphaDropout", lambda: nn.FeatureAlphaDropout(0.1), (8, 6)),
    ("Flatten", nn.Flatten, (8, 6)),
    ("Unflatten", lambda: nn.Unflatten(1, (2, 4)), (8,)),
    ("Upsample", lambda: nn.Upsample(scale_factor=2), (3, 4, 4)),
    ("UpsamplingNearest2d", lambda: nn.UpsamplingNearest2d(scale_factor=2), (3, 4, 4)),
    ("UpsamplingBilinear2d", lambda: nn.UpsamplingBilinear2d(scale_factor=2), (3, 4, 4)),
    ("Unfold", lambda: nn.Unfold(2), (3, 4, 4)),
    ("Fold", lambda: nn.Fold((4, 4), 2), (12, 9)),
    ("PixelShuffle", lambda: nn.PixelShuffle(2), (8, 3, 3)),
    ("PixelUnshuffle", lambda: nn.PixelUnshuffle(2), (2, 6, 6)),
    ("ChannelShuffle", lambda: nn.ChannelShuffle(2), (4, 3, 3)),
    ("Softmax2d", nn.Softmax2d, (4, 3, 3)),
)
DTYPES = (torch.float32, torch.int64, torch.bool, torch.complex64)


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Capture samples of every public operator and layer.

    Returns:
        ``optimizers`` and ``schedulers`` (names that are read into specs) and ``names`` (all public functions, methods
        and layers). The directory holds graphs.json: name -> a list of graphs, or of the code of what went wrong.
    """
    torch.manual_seed(0)
    graphs: dict[str, list[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for names, call, samples in chain(_operators(), _extra(), _layers()):
            found = [_captured(call, sample) for sample in islice(samples, SAMPLES)]
            for name in names:
                graphs.setdefault(name, []).extend(found)
    write_json(Path(job["out"]) / "graphs.json", graphs)
    return {
        "names": _public_names(),
        "optimizers": sorted(_path_of(cls) for cls in _KNOWN),
        "schedulers": sorted(_path_of(cls) for cls in (*SCHEDULES, *WITH_MOMENTUM)),
    }


def _path_of(cls: type) -> str:
    module = "torch.optim.lr_scheduler" if "lr_scheduler" in cls.__module__ else "torch.optim"
    return f"{module}.{cls.__name__}"


# Samples ------------------------------------------------------------------------------------------------------------


def _operators() -> Iterator[tuple[list[str], Callable[..., Any], Iterator[Any]]]:
    for op in common_methods_invocations.op_db:
        names = _names_of(op)
        if names:
            yield names, op.op, _op_samples(op)
        inplace = getattr(op, "inplace_variant", None)
        name = getattr(inplace, "__name__", "")
        if inplace is not None and name and hasattr(torch.Tensor, name):
            yield [f"torch.Tensor.{name}"], _on_a_copy(inplace), _op_samples(op)


def _names_of(op: Any) -> list[str]:
    """Public paths under which a program names this operator."""
    found = []
    for name in (op.name, *(alias.name for alias in op.aliases)):
        if _resolve(f"torch.{name}") is not None:
            found.append(f"torch.{name}")
        short = name.removeprefix("nn.functional.")
        if short != name and _resolve(f"torch.{short}") is not None:
            found.append(f"torch.{short}")
        if hasattr(torch.Tensor, short) and "." not in short:
            found.append(f"torch.Tensor.{short}")
    return [name for name in found if "._" not in name or "__" in name]


def _on_a_copy(inplace: Callable[..., Any]) -> Callable[..., Any]:
    """What a model does: it changes a tensor that it made itself."""
    return lambda first, *rest, **options: inplace(first.clone(), *rest, **options)


def _op_samples(op: Any) -> Iterator[Any]:
    """Arguments; in float32 where the operator takes it."""
    for dtype in DTYPES:
        if dtype in op.supported_dtypes("cpu"):
            for sample in op.sample_inputs("cpu", dtype):
                yield (sample.input, *sample.args), sample.kwargs
            return


def _extra() -> Iterator[tuple[list[str], Callable[..., Any], Iterator[Any]]]:
    """Names that torch's operator samples leave out, each with one sample."""
    x = torch.linspace(-1, 1, 12).reshape(3, 4)
    calls: dict[str, Callable[..., Any]] = {
        "torch.tensor": lambda x: x + torch.tensor([1.0, 2.0, 3.0, 4.0]),
        "torch.as_tensor": lambda x: x + torch.as_tensor([1.0, 2.0, 3.0, 4.0]),
        "torch.rand": lambda x: x + torch.rand(3, 4),
        "torch.randn": lambda x: x + torch.randn(3, 4),
        "torch.Tensor.type_as": lambda x: x.type_as(x),
        "torch.Tensor.to": lambda x: x.to(torch.float64),
        "torch.Tensor.detach": lambda x: x.detach() * 2,
        "torch.Tensor.new_tensor": lambda x: x + x.new_tensor([1.0, 2.0, 3.0, 4.0]),
        "torch.Tensor.normal_": lambda x: x + torch.empty_like(x).normal_(),
        "torch.Tensor.uniform_": lambda x: x + torch.empty_like(x).uniform_(0, 1),
        "torch.Tensor.bernoulli_": lambda x: x + torch.empty_like(x).bernoulli_(0.5),
        "torch.Tensor.exponential_": lambda x: x + torch.empty_like(x).exponential_(),
        "torch.Tensor.copy_": lambda x: torch.zeros(3, 4).copy_(x) + 1,
        "torch.Tensor.t": lambda x: x.t() + 1,
        "torch.randperm": lambda x: x.sum() + torch.randperm(4),
        "torch.nn.functional.fold": lambda x: F.fold(x.reshape(1, 4, 3), (1, 6), (2, 2), padding=(1, 0), stride=(2, 2)),
        "torch.nn.functional.affine_grid": lambda x: F.affine_grid(x[:2, :3].reshape(1, 2, 3), [1, 1, 4, 4]),
    }
    for name, call in calls.items():
        yield [name], call, iter([((x,), {})])
    for name, make, shape in _EXTRA_LAYERS:
        module = make()
        inputs = torch.linspace(-1, 1, 4 * math.prod(shape)).reshape(4, *shape)
        modes: list[Any] = [(copy.deepcopy(module).train(training), ((inputs,), {})) for training in (True, False)]
        yield [f"torch.nn.{name}"], None, iter(modes)  # type: ignore[misc]


def _layers() -> Iterator[tuple[list[str], Callable[..., Any], Iterator[Any]]]:
    for info in common_modules.module_db:
        name = f"torch.nn.{info.module_cls.__name__}"
        if _resolve(name) is info.module_cls:
            yield [name], None, _layer_samples(info)  # type: ignore[misc]


def _layer_samples(info: Any) -> Iterator[Any]:
    for training in (True, False):
        for sample in info.module_inputs_func(info, "cpu", torch.float32, False, training=training):
            if sample.forward_input is None:
                continue
            options = sample.constructor_input.kwargs
            module = info.module_cls(*sample.constructor_input.args, **options).train(training)
            yield module, (sample.forward_input.args, sample.forward_input.kwargs)


def _captured(call: Callable[..., Any] | None, sample: Any) -> Any:
    """The graph of one call as JSON, or a short text that says why there is none."""
    target, (args, kwargs) = (sample[0], sample[1]) if call is None else (call, sample)
    leaves, spec = tree_flatten((args, kwargs))
    places = [index for index, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    def function(*tensors: torch.Tensor) -> Any:
        filled = list(leaves)
        for index, tensor in zip(places, tensors, strict=True):
            filled[index] = tensor
        positional, named = tree_unflatten(filled, spec)
        return target(*positional, **named)

    inputs = tuple(leaves[index].detach() for index in places) or (torch.zeros(1),)
    try:
        if isinstance(target, torch.nn.Module) and not kwargs and len(places) == len(leaves):
            captured = capture_module(target, inputs, train=target.training, dynamic=None)
        elif places:
            captured = capture_module(function, inputs, train=False, dynamic=None)
        else:
            captured = capture_module(lambda _: function(), inputs, train=False, dynamic=None)
    except RegaugeError as error:
        return f"{error.code} {error.what}"[:200]
    except Exception as error:  # a sample that torch itself refuses
        return f"{type(error).__name__}"
    return graph_to_json(captured.graph)


# Names --------------------------------------------------------------------------------------------------------------


def _resolve(path: str) -> Any:
    found: Any = torch
    for part in path.split(".")[1:]:
        found = getattr(found, part, None)
    return found


def _public_names() -> list[str]:
    """Public callables of the modules that models are written with, and methods of tensors."""
    rooms = ("", "nn.", "nn.functional.", "nn.init.", "linalg.", "fft.", "special.", "optim.", "optim.lr_scheduler.")
    found = set()
    for room in rooms:
        place = _resolve(f"torch.{room}".rstrip("."))
        found |= {f"torch.{room}{name}" for name in dir(place) if callable(getattr(place, name)) and name[0] != "_"}
    found |= {f"torch.Tensor.{name}" for name in dir(torch.Tensor) if name[0] != "_"}
    return sorted(found)

"""Capture for conversion in the same process: no files, arrays as numpy views of the model's own tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import nn

from regauge.capture.torch_export import capture_module
from regauge.ir.captured import CapturedModel, Reference
from regauge.run.protocol import flatten_tree
from regauge.run.torch_subject import FunctionModule

Arrays = dict[str, np.ndarray]


def capture(
    model: Any,
    inputs: tuple[Any, ...] | dict[str, Any],
    *,
    train: bool,
    dynamic: Any = "auto",
    known: Sequence[str] = (),
) -> tuple[CapturedModel, Arrays, Arrays, Reference]:
    """Capture a module or function.

    Args:
        model: torch.nn.Module or a function of tensors; it is not changed.
        inputs: tuple of positional or dict of keyword arguments.
        train: capture in training mode.
        dynamic, known: as in `regauge.to_jax`.

    Returns:
        The capture; the weights by name (views of the model's memory where numpy has the dtype); the reference
        inputs and outputs (evaluation mode) by name; what describes them.
    """
    module = model if isinstance(model, nn.Module) else FunctionModule(model)
    captured = capture_module(module, inputs, train=train, dynamic=dynamic, finite=False, known=known)
    weights = {name: as_numpy(tensor) for name, tensor in captured.tensors.items()}
    constants = {w.name: weights[w.name] for w in captured.graph.weights if w.role == "constant" and w.tied_to is None}
    name = getattr(model, "__name__", None) or type(model).__name__
    described, arrays = _reference(inputs, captured.outputs, captured.known)
    return (
        CapturedModel(
            name=name,
            graph=captured.graph,
            constants=constants,
            graph_eval=captured.graph_eval,
            source=source_file(model),
            findings=captured.findings,
        ),
        weights,
        arrays,
        described,
    )


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as a numpy array, without a copy where it is on the CPU."""
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def source_file(model: Any) -> str:
    """The name of the file that defines a model, or an empty string."""
    import inspect
    from pathlib import Path

    try:
        return Path(inspect.getfile(model if inspect.isroutine(model) else type(model))).name
    except (TypeError, OSError):
        return ""


def _reference(inputs: Any, outputs: Any, known: tuple[str, ...]) -> tuple[Reference, Arrays]:
    arrays: Arrays = {}
    skeletons = []
    for prefix, tree in (("inputs", inputs), ("outputs", outputs)):
        skeleton, leaves = flatten_tree(tree, lambda leaf: isinstance(leaf, torch.Tensor), prefix)
        skeletons.append(skeleton)
        arrays |= {name: as_numpy(leaf) for name, leaf in leaves.items()}
    return Reference(None, skeletons[0], None, skeletons[1], {"torch": torch.__version__}, known), arrays

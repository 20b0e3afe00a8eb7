"""Capture of a JAX model for conversion in the same process."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from regauge.capture.jax_reference import reference_outputs
from regauge.capture.jaxpr import capture_model, source_file
from regauge.ir.captured import CapturedModel, Reference
from regauge.run.jax_program import program_of
from regauge.run.jax_trees import is_array
from regauge.run.protocol import flatten_tree

Arrays = dict[str, np.ndarray]


def capture(
    model: Any, inputs: tuple[Any, ...] | dict[str, Any], *, train: bool, dynamic: Any = "auto", layers: str = "auto"
) -> tuple[CapturedModel, Arrays, Arrays, Reference]:
    """Capture a model of any JAX library, or a function.

    Args:
        model: as `regauge.run.jax_program.program_of` takes it; it is not changed.
        inputs: tuple of positional or dict of keyword arguments.
        train: capture in training mode.
        dynamic: as in `regauge.to_torch`.
        layers: as in `regauge.to_torch`.

    Returns:
        The capture; the weights by name; the reference inputs and outputs (evaluation mode) by name; what describes
        them.
    """
    captured = capture_model(model, inputs, train=train, dynamic=dynamic, layers=layers)
    program = program_of(model)
    outputs = reference_outputs(program, inputs, captured.donates)
    arrays: Arrays = {}
    skeletons = []
    for prefix, tree in (("inputs", inputs), ("outputs", outputs)):
        skeleton, leaves = flatten_tree(tree, is_array, prefix)
        skeletons.append(skeleton)
        arrays |= {name: as_numpy(leaf) for name, leaf in leaves.items()}
    reference = Reference(None, skeletons[0], None, skeletons[1], {"jax": jax.__version__})
    constants = {w.name: captured.arrays[w.name] for w in captured.graph.weights if w.role == "constant"}
    described = CapturedModel(
        name=program.name,
        graph=captured.graph,
        constants=constants,
        graph_eval=captured.graph_eval,
        source=source_file(model),
        findings=captured.findings,
    )
    return described, dict(captured.arrays), arrays, reference


def as_numpy(array: Any) -> np.ndarray:
    """An array as numpy has it; keys of random streams as their words."""
    if hasattr(array, "dtype") and jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    return np.asarray(array)

"""Converted modules exported to ONNX, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
import torch
from comparing_jax import as_tensors, evaluated
from flax import nnx
from originals import recomputing_jax
from test_to_torch_golden import cnn, transformer

import regauge


def recomputed() -> tuple[Any, tuple[Any, ...]]:
    return recomputing_jax.Net(nnx.Rngs(0)), (jnp.linspace(-1, 1, 2 * recomputing_jax.SIZE).reshape(2, -1),)


@pytest.mark.parametrize("make", [cnn, transformer, recomputed], ids=lambda make: make.__name__)
def test_onnxruntime_gives_the_same_outputs(make: Any, tmp_path: Path) -> None:
    model, args = make()
    module = regauge.to_torch(model, args, dynamic=None).eval()
    program = torch.onnx.export(module, tuple(as_tensors(args)), dynamo=True)
    assert program is not None
    program.save(str(tmp_path / "model.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    found = session.run(None, dict(zip(names, map(np.asarray, args), strict=True)))
    for expected, output in zip(evaluated(model, args), found, strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)

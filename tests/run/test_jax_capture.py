"""The capture job of a JAX case: what it writes about the inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import regauge
from regauge.capture import jaxpr
from regauge.errors import BadCase
from regauge.run.array_files import load_arrays
from regauge.run.jax_capture import _refuse_known, _write_reference


def test_a_key_among_the_inputs_is_kept_as_its_words(tmp_path: Path) -> None:
    key = jax.random.key(3)
    case = regauge.Case(lambda x, key: x, inputs=(jnp.ones(2), key))
    skeletons = _write_reference(case, jnp.ones(2), tmp_path)
    arrays = load_arrays(tmp_path / "reference.safetensors")
    np.testing.assert_array_equal(arrays["inputs.1"], np.asarray(jax.random.key_data(key)))
    assert skeletons["inputs"]["tuple"][1] == {"leaf": "inputs.1"}


def test_known_inputs_are_those_of_torch_models() -> None:
    case = regauge.Case(lambda x, n: x * n, inputs=(jnp.ones(2), jnp.ones(2, int)), known=("n",))
    with pytest.raises(BadCase, match="known values are those of a torch model") as caught:
        _refuse_known(case)
    assert caught.value.code == "C190"


class MoreQueries(nnx.Module):
    """A detector that answers six queries in training and two in evaluation."""

    def __init__(self) -> None:
        self.fc = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
        self.deterministic = False

    def __call__(self, x: Any) -> Any:
        y = self.fc(x)
        return {"boxes": y[:, :2] if self.deterministic else y, "all": y}


class Auxiliary(nnx.Module):
    """A second head in training alone."""

    def __init__(self) -> None:
        self.fc, self.aux = nnx.Linear(4, 3, rngs=nnx.Rngs(0)), nnx.Linear(4, 3, rngs=nnx.Rngs(1))
        self.deterministic = False

    def __call__(self, x: Any) -> Any:
        return (self.fc(x),) if self.deterministic else (self.fc(x), self.aux(x))


def averaged(outputs: Any, targets: Any) -> Any:
    boxes = outputs["boxes"]
    return ((boxes - targets[:, : boxes.shape[1]]) ** 2).sum() / boxes.shape[1]


def by_size(outputs: Any, targets: Any) -> Any:
    boxes = outputs["boxes"]
    return jnp.abs(boxes).sum() / (2.0 if boxes.shape[1] > 4 else 1.0) + targets.sum()


def summed(outputs: Any, targets: Any) -> Any:
    return sum(jnp.abs(output - targets).mean() for output in outputs)


def first(outputs: Any, targets: Any) -> Any:
    return jnp.abs(outputs[0] - targets).mean()


def captured(model: Any, loss: Any, targets: Any, shape: tuple[int, ...]) -> jaxpr.Captured:
    return jaxpr.capture_model(model, (jnp.ones(shape),), train=True, loss=loss, targets=targets)


def test_a_loss_reads_the_sizes_that_differ_between_the_modes() -> None:
    found = captured(MoreQueries(), averaged, jnp.ones((5, 6, 3)), (5, 6, 4))
    assert found.findings == ()
    assert found.loss is not None
    assert {value.name: str(value.spec) for value in found.loss.inputs} == {
        "output_0": "float32[batch, 6, 3]",
        "output_1": "float32[batch, size, 3]",
        "targets": "float32[batch, 6, 3]",
    }
    assert [(s.hint, s.low, s.high) for s in found.loss.symbols if s.name == "size"] == [(6, 2, 6)]


def test_a_loss_that_decides_on_a_size_of_training_is_said() -> None:
    found = captured(MoreQueries(), by_size, jnp.ones((5, 6, 3)), (5, 6, 4))
    (text,) = [finding.text for finding in found.findings if finding.code == "C193"]
    assert "boxes: size 1 is 6 in training and 2 in evaluation" in text


def test_outputs_of_one_mode_are_said() -> None:
    found = captured(Auxiliary(), summed, jnp.ones((5, 3)), (5, 4))
    (text,) = [finding.text for finding in found.findings if finding.code == "C170"]
    assert text.startswith("Outputs of one mode only: 1.")


def test_a_loss_that_reads_what_both_modes_give_is_that_of_both() -> None:
    assert captured(Auxiliary(), first, jnp.ones((5, 3)), (5, 4)).findings == ()

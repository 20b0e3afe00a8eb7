"""The losses of optax as torch: value and gradient of the outputs, in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from regauge.capture.jaxpr import capture_model
from regauge.emit.expressions import Helpers
from regauge.emit.files import ops_text
from regauge.emit.functions import emit_function
from regauge.emit.target import target, writing
from regauge.emit.torch_files import import_lines
from regauge.emit.torch_target import TORCH
from regauge.run.torch_source import load_sources

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.standard_normal((5, 4)).astype(np.float32)
OTHER = RANDOM.standard_normal((5, 4)).astype(np.float32)
LABELS = np.array([0, 3, 1, 2, 2])
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]
BINARY = (OTHER > 0).astype(np.float32)
SIGNS = np.sign(OTHER)
PROBABILITIES = np.exp(OTHER) / np.exp(OTHER).sum(-1, keepdims=True)
LOG_PROBABILITIES = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
SEQUENCES = RANDOM.standard_normal((2, 6, 4)).astype(np.float32)
SEQUENCE_LABELS = np.array([[0, 1, 2, 3, 3, 0], [2, 2, 1, 0, 3, 1]])
EXTREME = np.array(
    [[300, -300, 0, 5], [-400, 1, 400, 0], [0, 0, 0, 0], [1e-30, -1e-30, 90, 89], [1, 2, 3, -1e4]], np.float32
)
WORDS = np.array([[1, 2, 3], [1, 1, 0]])

Loss = Callable[[Any, Any], Any]


def ctc(outputs: Any, targets: Any) -> Any:
    return optax.ctc_loss(outputs, jnp.zeros((2, 6)), targets, jnp.array([[0.0, 0, 0], [0.0, 0, 1]])).mean()


def masked(outputs: Any, targets: Any) -> Any:
    kept = targets != 2
    return (optax.softmax_cross_entropy_with_integer_labels(outputs, targets) * kept).sum() / kept.sum()


LOSSES: dict[str, tuple[np.ndarray, np.ndarray, Loss]] = {
    "softmax_cross_entropy_with_integer_labels": (
        *(LOGITS, LABELS),
        lambda o, t: optax.softmax_cross_entropy_with_integer_labels(o, t).mean(),
    ),
    "of some labels": (LOGITS, LABELS, masked),
    "softmax_cross_entropy": (LOGITS, ONE_HOT, lambda o, t: optax.softmax_cross_entropy(o, t).mean()),
    "smooth_labels": (LOGITS, ONE_HOT, lambda o, t: optax.softmax_cross_entropy(o, optax.smooth_labels(t, 0.1)).mean()),
    "safe_softmax_cross_entropy": (LOGITS, ONE_HOT, lambda o, t: optax.safe_softmax_cross_entropy(o, t).mean()),
    "poly_loss": (LOGITS, ONE_HOT, lambda o, t: optax.losses.poly_loss_cross_entropy(o, t).mean()),
    "sigmoid_binary_cross_entropy": (LOGITS, BINARY, lambda o, t: optax.sigmoid_binary_cross_entropy(o, t).mean()),
    "sigmoid_focal_loss": (LOGITS, BINARY, lambda o, t: optax.sigmoid_focal_loss(o, t).mean()),
    "l2_loss": (LOGITS, OTHER, lambda o, t: optax.l2_loss(o, t).mean()),
    "squared_error": (LOGITS, OTHER, lambda o, t: optax.squared_error(o, t).sum()),
    "huber_loss": (LOGITS, OTHER, lambda o, t: optax.huber_loss(o, t, delta=0.5).mean()),
    "log_cosh": (LOGITS, OTHER, lambda o, t: optax.log_cosh(o, t).mean()),
    "cosine_distance": (LOGITS, OTHER, lambda o, t: optax.cosine_distance(o, t).mean()),
    "cosine_similarity": (LOGITS, OTHER, lambda o, t: -optax.cosine_similarity(o, t, epsilon=1e-6).mean()),
    "hinge_loss": (LOGITS, SIGNS, lambda o, t: optax.hinge_loss(o, t).mean()),
    "multiclass_hinge_loss": (LOGITS, LABELS, lambda o, t: optax.losses.multiclass_hinge_loss(o, t).mean()),
    "perceptron_loss": (LOGITS, SIGNS, lambda o, t: optax.losses.perceptron_loss(o, t).mean()),
    "kl_divergence": (LOG_PROBABILITIES, PROBABILITIES, lambda o, t: optax.kl_divergence(o, t).mean()),
    "triplet_margin_loss": (LOGITS, OTHER, lambda o, t: optax.losses.triplet_margin_loss(o, t, t[::-1]).mean()),
    "dice_loss": (LOGITS, BINARY, lambda o, t: optax.losses.dice_loss(o, t).mean()),
    "ranking_softmax_loss": (LOGITS, ONE_HOT, lambda o, t: optax.losses.ranking_softmax_loss(o, t)),
    "ctc_loss": (SEQUENCES, WORDS, ctc),
}


# What a person would write in torch, and values at which a formula of its own could part from it.
WRITTEN: dict[str, tuple[np.ndarray, np.ndarray, Loss, str]] = {
    "classes": (
        *(LOGITS, LABELS, lambda o, t: optax.softmax_cross_entropy_with_integer_labels(o, t).mean()),
        "F.cross_entropy(outputs, targets.long())",
    ),
    "classes, summed": (
        *(EXTREME, LABELS, lambda o, t: jnp.sum(optax.softmax_cross_entropy_with_integer_labels(o, t))),
        "F.cross_entropy(outputs, targets.long(), reduction='sum')",
    ),
    "classes of a sequence": (
        *(SEQUENCES, SEQUENCE_LABELS, lambda o, t: optax.softmax_cross_entropy_with_integer_labels(o, t).mean()),
        "F.cross_entropy(outputs.flatten(0, -2), targets.flatten().long())",
    ),
    "probabilities": (
        *(EXTREME, PROBABILITIES, lambda o, t: optax.softmax_cross_entropy(o, t).mean()),
        "F.cross_entropy(outputs, targets)",
    ),
    "one-hot classes": (
        *(SEQUENCES, SEQUENCE_LABELS, lambda o, t: optax.softmax_cross_entropy(o, jax.nn.one_hot(t, 4)).mean()),
        "F.cross_entropy(outputs.flatten(0, -2), "
        "(targets.unsqueeze(-1) == torch.arange(4, device=targets.device)).to(torch.float32).flatten(0, -2))",
    ),
    "written by hand": (
        *(LOGITS, ONE_HOT, lambda o, t: jnp.mean(-jnp.sum(t * jax.nn.log_softmax(o), -1))),
        "F.cross_entropy(outputs, targets)",
    ),
    "binary": (
        *(EXTREME, PROBABILITIES, lambda o, t: optax.sigmoid_binary_cross_entropy(o, t).mean()),
        "F.binary_cross_entropy_with_logits(outputs, targets)",
    ),
    "binary of integers": (
        *(LOGITS, BINARY.astype(np.int32), lambda o, t: optax.sigmoid_binary_cross_entropy(o, t).sum()),
        "F.binary_cross_entropy_with_logits(outputs, targets.to(torch.float32), reduction='sum')",
    ),
    "squares": (EXTREME, OTHER, lambda o, t: optax.squared_error(o, t).mean(), "F.mse_loss(outputs, targets)"),
    "squares by jnp": (
        *(SEQUENCES, SEQUENCES[::-1].copy(), lambda o, t: jnp.sum(jnp.square(o - t))),
        "F.mse_loss(outputs, targets, reduction='sum')",
    ),
}


def loss_text(outputs: np.ndarray, targets: np.ndarray, loss: Loss) -> str:
    captured = capture_model(lambda x: x, (outputs,), train=True, loss=loss, targets=targets)
    assert captured.loss is not None
    with writing(TORCH):
        held = captured.loss_constants or {}
        return emit_function(captured.loss, target().table(), held, "loss", ("outputs", "targets"), Helpers())


def emitted(outputs: np.ndarray, targets: np.ndarray, loss: Loss) -> Any:
    captured = capture_model(lambda x: x, (outputs,), train=True, loss=loss, targets=targets)
    assert captured.loss is not None
    helpers = Helpers()
    with writing(TORCH):
        held = captured.loss_constants or {}
        body = emit_function(captured.loss, target().table(), held, "loss", ("outputs", "targets"), helpers)
        ops = ops_text(helpers)
    sources = {**({"ops": ops} if ops else {}), "train": f"{import_lines(body)}\n\n{body}\n"}
    return load_sources(sources, ".")["train"].loss


@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_are_those_of_optax(name: str) -> None:
    assert_equal(*LOSSES[name])


@pytest.mark.parametrize("name", WRITTEN)
def test_a_loss_of_torch_stands_for_one_of_optax(name: str) -> None:
    outputs, targets, loss, text = WRITTEN[name]
    assert loss_text(outputs, targets, loss) == f"def loss(outputs, targets):\n    return {text}"
    assert_equal(outputs, targets, loss)


def test_the_distance_from_a_mean_is_no_loss() -> None:
    text = loss_text(LOGITS, OTHER, lambda o, t: jnp.mean((o - t.mean(-1, keepdims=True)) ** 2))
    assert "mse_loss" not in text


def test_labels_that_a_mask_leaves_out_may_be_no_class() -> None:
    """As in JAX: -1 is the last class, and the mask takes it out; `F.cross_entropy` would raise."""
    labels = np.where(LABELS == 2, -1, LABELS)

    def loss(outputs: Any, targets: Any) -> Any:
        kept = targets >= 0
        return (optax.softmax_cross_entropy_with_integer_labels(outputs, targets) * kept).sum() / kept.sum()

    assert_equal(LOGITS, labels, loss)


def assert_equal(outputs: np.ndarray, targets: np.ndarray, loss: Loss) -> None:
    given = torch.tensor(outputs, requires_grad=True)
    value = emitted(outputs, targets, loss)(given, torch.from_numpy(targets))
    value.backward()
    expected, slope = jax.value_and_grad(lambda o: loss(o, targets))(jnp.asarray(outputs))
    assert given.grad is not None
    assert np.allclose(float(value.detach()), float(expected), rtol=1e-6, atol=1e-6)
    assert np.abs(given.grad.numpy() - np.asarray(slope)).max() < 1e-6 * max(1.0, np.abs(np.asarray(slope)).max())

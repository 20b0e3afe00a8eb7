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
    outputs, targets, loss = LOSSES[name]
    given = torch.tensor(outputs, requires_grad=True)
    value = emitted(outputs, targets, loss)(given, torch.from_numpy(targets))
    value.backward()
    expected, slope = jax.value_and_grad(lambda o: loss(o, targets))(jnp.asarray(outputs))
    assert given.grad is not None
    assert np.allclose(float(value.detach()), float(expected), rtol=1e-6, atol=1e-6)
    assert np.abs(given.grad.numpy() - np.asarray(slope)).max() < 1e-6 * max(1.0, np.abs(np.asarray(slope)).max())

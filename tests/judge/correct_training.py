"""Correct losses, optimizers and schedules on a small network."""

from __future__ import annotations

from judge.pairs import Pair, variant

_LOSS = "return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()"
_TARGETS = "targets=torch.randint(0, 3, (6,)),"
_GIVEN = 'targets=case.targets.numpy().astype("int32"),'
_REAL = (_GIVEN, "targets=case.targets.numpy(),")


def loss(name: str, torch_loss: str, jax_loss: str, targets: str = "") -> Pair:
    """The network with another loss on both sides, each in its own words.

    Args:
        name: of the loss.
        torch_loss: an expression of torch.
        jax_loss: an expression of `logits` and `targets`.
        targets: an expression of torch for targets that are no classes.
    """
    original = [("loss=F.cross_entropy", f"loss={torch_loss}")]
    port = [(_LOSS, f"return {jax_loss}")]
    if targets:
        original.append((_TARGETS, f"targets={targets},"))
        port.append(_REAL)
    return variant(f"loss: {name}", "mlp", *port, original=tuple(original))


def optimizer(name: str, torch_optimizer: str, jax_optimizer: str) -> Pair:
    """The network with another optimizer on both sides; `o` is torch's optimizer where a schedule needs it."""
    original = ("optimizer=torch.optim.SGD(model.parameters(), lr=0.1)", f"optimizer={torch_optimizer}")
    return variant(
        f"optimizer: {name}", "mlp", ("optimizer=optax.sgd(0.1)", f"optimizer={jax_optimizer}"), original=(original,)
    )


_PICKED = "jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1)[:, 0]"
_SHARE = "torch.rand(6, 3).softmax(-1)"
_HOT = "jax.nn.one_hot(targets, 3)"

LOSSES = (
    loss("negative log likelihood", "lambda x, y: F.nll_loss(x.log_softmax(-1), y)", f"-{_PICKED}.mean()"),
    loss("weighted classes", "nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0]))",
         f"(lambda w: -(w * {_PICKED}).sum() / w.sum())(jnp.array([1.0, 2.0, 4.0])[targets])"),
    loss("smoothed labels", "nn.CrossEntropyLoss(label_smoothing=0.2)",
         f"optax.softmax_cross_entropy(logits, optax.smooth_labels({_HOT}, 0.2)).mean()"),
    loss("shares as targets", "F.cross_entropy", "optax.softmax_cross_entropy(logits, targets).mean()", _SHARE),
    loss("Kullback-Leibler", 'lambda x, y: F.kl_div(x.log_softmax(-1), y, reduction="batchmean")',
         "optax.kl_divergence(jax.nn.log_softmax(logits), targets).mean()", _SHARE),
    loss("binary cross entropy", "F.binary_cross_entropy_with_logits",
         "optax.sigmoid_binary_cross_entropy(logits, targets).mean()", "torch.rand(6, 3).round()"),
    loss("weighted positives", "nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0, 1.0, 2.0]))",
         "-(jnp.array([3.0, 1.0, 2.0]) * targets * jax.nn.log_sigmoid(logits)"
         " + (1 - targets) * jax.nn.log_sigmoid(-logits)).mean()", "torch.rand(6, 3).round()"),
    loss("squares", "F.mse_loss", "optax.squared_error(logits, targets).mean()", "torch.randn(6, 3)"),
    loss("Huber", "nn.HuberLoss(delta=0.7)", "optax.huber_loss(logits, targets, delta=0.7).mean()",
         "torch.randn(6, 3)"),
    loss("Gaussian likelihood", "lambda x, y: F.gaussian_nll_loss(x, y, torch.full((6, 3), 0.5))",
         "0.5 * (jnp.log(0.5) + (logits - targets) ** 2 / 0.5).mean()", "torch.randn(6, 3)"),
    loss("Poisson likelihood", "F.poisson_nll_loss", "(jnp.exp(logits) - targets * logits).mean()",
         "torch.randint(0, 5, (6, 3)).float()"),
    loss("cosine", "lambda x, y: (1 - F.cosine_similarity(x, y)).mean()",
         "(1 - (logits * targets).sum(-1) / (jnp.linalg.norm(logits, axis=-1)"
         " * jnp.linalg.norm(targets, axis=-1))).mean()", "torch.randn(6, 3)"),
)  # fmt: skip

_HAND = (
    "optax.GradientTransformation(lambda p: (jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), 0), "
    "lambda g, s, p=None: (lambda m, v, t: (jax.tree.map(lambda m, v: -1e-2 * (m / (1 - 0.9**t)) / "
    "(jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v), (m, v, t)))(jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, s[0], g), "
    "jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, s[1], g), s[2] + 1))"
)
_SCHEDULED = "(lambda o: (o, torch.optim.lr_scheduler.{0}))(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))"

OPTIMIZERS = (
    optimizer("SGD with decay", "torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)",
              "optax.chain(optax.add_decayed_weights(0.01), optax.trace(0.9), optax.scale(-0.1))"),
    optimizer("Adam over all weights at once", "torch.optim.Adam(model.parameters(), lr=1e-2, foreach=True)",
              "optax.adam(1e-2)"),
    optimizer("Adam by hand", "torch.optim.Adam(model.parameters(), lr=1e-2, foreach=False)", _HAND),
    optimizer("AdamW of parts", "torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.05)",
              "optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(0.05), optax.scale(-1e-2))"),
    optimizer("RMSprop with momentum", "torch.optim.RMSprop(model.parameters(), lr=1e-2, momentum=0.9)",
              "optax.rmsprop(1e-2, decay=0.99, eps_in_sqrt=False, momentum=0.9)"),
    optimizer("steps", _SCHEDULED.format("MultiStepLR(o, [3, 8], 0.5)"),
              "optax.sgd(optax.piecewise_constant_schedule(0.1, {3: 0.5, 8: 0.5}), momentum=0.9)"),
    optimizer("exponential decay", _SCHEDULED.format("ExponentialLR(o, 0.9)"),
              "optax.sgd(optax.exponential_decay(0.1, 1, 0.9), momentum=0.9)"),
    optimizer("cosine", _SCHEDULED.format("CosineAnnealingLR(o, 20)"),
              "optax.sgd(optax.cosine_decay_schedule(0.1, 20), momentum=0.9)"),
    optimizer("warm-up", _SCHEDULED.format("LinearLR(o, 0.25, 1.0, 6)"),
              "optax.sgd(optax.linear_schedule(0.025, 0.1, 6), momentum=0.9)"),
)  # fmt: skip

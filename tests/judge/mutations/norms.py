"""Mistakes in normalisation."""

from __future__ import annotations

from judge.mutation import Mutation, at

_KEPT = (
    "self.mean.set_value((1 - self.momentum) * self.mean[...] + self.momentum * mean)",
    "self.var.set_value((1 - self.momentum) * self.var[...] + self.momentum * var * n / (n - 1))",
)
_BATCH = "mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))"
_ONE_PASS = (_BATCH, "mean = x.mean((0, 1, 2)); var = (x * x).mean((0, 1, 2)) - mean * mean")
_STOPPED = (_BATCH, "mean, var = jax.lax.stop_gradient(x.mean((0, 1, 2))), x.var((0, 1, 2))")
_RMS = "jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-{0})"
_OUTSIDE = "(1 / (jnp.sqrt(jnp.mean(x * x, -1, keepdims=True)) + 1e-{0}))"
_HAIKU_RMS = "hk.RMSNorm(-1, eps=1e-6, name=name)(x)"

NORMS = (
    Mutation(
        "layer norm eps 1e-6 for 1e-5", "tier 1 outputs", ("eps",),
        (
            at("decoder", "block.norm1", ('epsilon=1e-5, use_fast_variance=False, name="norm1"',
                                          'epsilon=1e-6, use_fast_variance=False, name="norm1"')),
            at("encoder", "norm", ("self.norm = nnx.LayerNorm(WIDTH, epsilon=1e-5",
                                   "self.norm = nnx.LayerNorm(WIDTH, epsilon=1e-6")),
            at("vit", "block.norm1", ("create_offset=True, eps=1e-5", "create_offset=True, eps=1e-6")),
            at("moe", "norm2", ("epsilon=1e-5", "epsilon=1e-6")),
        ),
    ),
    Mutation(
        "batch norm eps 1e-6 for 1e-5", "tier 1 outputs", ("eps",),
        (
            at("cnn", "norm", ("epsilon: float = 1e-5", "epsilon: float = 1e-6")),
            at("resnet", "block.norm1", ("epsilon: float = 1e-5", "epsilon: float = 1e-6")),
            at("unet", "norm", ("epsilon: float = 1e-5", "epsilon: float = 1e-6")),
        ),
    ),
    Mutation(
        "batch norm eps 1e-3 for 1e-5", "tier 1 outputs", ("eps",),
        (
            at("cnn", "second", ("self.second = BatchNorm(8)", "self.second = BatchNorm(8, epsilon=1e-3)")),
            at("resnet", "block.norm2", ('BatchNorm(name="norm2")', 'BatchNorm(epsilon=1e-3, name="norm2")')),
            at("generator", "norm", ("self.norm = BatchNorm(4)", "self.norm = BatchNorm(4, epsilon=1e-3)")),
        ),
    ),
    Mutation(
        "batch norm momentum 0.01 for 0.1", "tier 1 state", ("momentum",),
        (
            at("cnn", "norm", ("momentum: float = 0.1", "momentum: float = 0.01")),
            at("resnet", "block.norm1", ("momentum: float = 0.1", "momentum: float = 0.01")),
            at("unet", "norm", ("momentum: float = 0.1", "momentum: float = 0.01")),
        ),
    ),
    Mutation(
        "running variance biased", "tier 1 state", ("biased-running-variance",),
        (
            at("cnn", "norm", ("var * n / (n - 1)", "var")),
            at("resnet", "block.norm1", ("var * n / (n - 1)", "var")),
            at("generator", "norm", ("var * n / (n - 1)", "var")),
        ),
    ),
    Mutation(
        "batch norm by the running statistics in training", "tier 1 outputs", ("stale-statistics",),
        (
            at("cnn", "norm", ("if self.use_running_average:", "if True:")),
            at("resnet", "block.norm1", ("if train:", "if False:")),
            at("unet", "norm", ("if self.use_running_average:", "if True:")),
        ),
    ),
    Mutation(
        "evaluation with stale statistics", "tier 1 state", ("momentum", "stale-statistics"),
        (
            at("cnn", "norm", (_KEPT[0], "pass"), (_KEPT[1], "pass")),
            at("resnet", "block.norm1", ("kept_mean.value += self.momentum * (mean - kept_mean.value)", "pass"),
               ("kept_var.value += self.momentum * (var * n / (n - 1) - kept_var.value)", "pass")),
            at("unet", "norm", (_KEPT[0], "pass"), (_KEPT[1], "pass")),
        ),
    ),
    Mutation(
        "variance in one pass", "tier 2", (),
        (
            at("unet", "", _ONE_PASS),
            # not the generator: the places of its images differ by more than their mean, and one pass loses nothing
            at("moe", "", ("epsilon=1e-5, use_fast_variance=False", "epsilon=1e-5, use_fast_variance=True")),
        ),
        whole=True,
    ),
    Mutation(
        "gradient stopped at the mean of batch norm", "tier 1 gradients", (),
        (at("cnn", "", _STOPPED), at("resnet", "", _STOPPED), at("unet", "", _STOPPED)),
    ),
    Mutation(
        "RMS norm with another eps", "tier 1 outputs", ("eps",),
        (
            at("llama", "block.norm1", (_RMS.format(6), _RMS.format(5))),
            at("moe", "norm1", (_RMS.format(5), _RMS.format(6))),
            at("vit", "block.norm_q", (_HAIKU_RMS, "hk.RMSNorm(-1, eps=1e-5, name=name)(x)")),
        ),
    ),
    Mutation(
        "RMS norm with eps outside of the root", "tier 1 outputs", ("eps-place", "eps"),
        (
            at("llama", "block.norm1", (_RMS.format(6), _OUTSIDE.format(6))),
            at("moe", "norm1", (_RMS.format(5), _OUTSIDE.format(5))),
            at("vit", "block.norm_q", (_HAIKU_RMS,
                                       "(lambda r: hk.RMSNorm(-1, eps=0.0, name=name)(x) * r / (r + 1e-6))"
                                       "(jnp.sqrt(jnp.mean(x * x, -1, keepdims=True)))")),
        ),
    ),
    Mutation(
        "variance with ddof 0 for 1", "tier 1 outputs", ("ddof",),
        (
            at("cnn", "conv", ("x.var((1, 2, 3), ddof=1, keepdims=True)", "x.var((1, 2, 3), keepdims=True)")),
            at("gru", "", ("states.var(1, ddof=1)", "states.var(1)")),
            at("mlp", "first", ("/ (x.shape[1] - 1)", "/ x.shape[1]")),
        ),
    ),
    Mutation(
        "group norm with other groups", "tier 1 outputs", (),
        (at("unet", "group", ("num_groups=2", "num_groups=4")),),
    ),
)  # fmt: skip

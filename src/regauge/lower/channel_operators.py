"""Which operators act on images in channels-last order as they do in the original's."""

from __future__ import annotations

from regauge.ir.graph import ModuleStep

# Operators that act on images: data in, data out, with the keyword `channels_last`. True: also worth a transpose
# of their own; False: only when their input is channels-last already.
IMAGE_OPS: dict[str, bool] = {
    **{f"aten.conv{n}d.{o}": True for n in (1, 2, 3) for o in ("default", "padding")},
    **{f"aten.conv_transpose{n}d.{o}": True for n, o in ((1, "default"), (2, "input"), (3, "input"))},
    "aten.batch_norm.default": True,
    "aten.group_norm.default": True,
    "aten.instance_norm.default": False,
    **{f"aten.{kind}_pool{n}d.default": False for kind in ("max", "avg", "adaptive_avg") for n in (1, 2, 3)},
    **{
        f"aten.{kind}.{o}": False
        for kind in ("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d")
        for o in ("default", "vec")
    },
}

# Operators that act element by element on all their arrays.
ELEMENTWISE = frozenset(
    {
        "aten.relu.default",
        "aten.relu6.default",
        "aten.gelu.default",
        "aten.silu.default",
        "aten.sigmoid.default",
        "aten.tanh.default",
        "aten.hardswish.default",
        "aten.hardsigmoid.default",
        "aten.hardtanh.default",
        "aten.leaky_relu.default",
        "aten.elu.default",
        "aten.mish.default",
        "aten.softplus.default",
        "aten.selu.default",
        "aten.celu.default",
        "aten.add.Tensor",
        "aten.add.Scalar",
        "aten.sub.Tensor",
        "aten.sub.Scalar",
        "aten.mul.Tensor",
        "aten.mul.Scalar",
        "aten.div.Tensor",
        "aten.div.Scalar",
        "aten.neg.default",
        "aten.exp.default",
        "aten.sqrt.default",
        "aten.rsqrt.default",
        "aten.abs.default",
        "aten.pow.Tensor_Scalar",
        "aten.clamp.default",
        "aten.dropout.default",
        "aten.clone.default",
        "aten.contiguous.default",
        "aten.detach.default",
        "aten.to.dtype",
        "aten.maximum.default",
        "aten.minimum.default",
    }
)
REDUCTIONS = frozenset(
    {"aten.mean.dim", "aten.sum.dim_IntList", "aten.amax.default", "aten.amin.default", "aten.logsumexp.default"}
    | {"aten.max.dim", "aten.min.dim", "aten.argmax.default", "aten.argmin.default"}
)


def is_library_layer(step: ModuleStep) -> bool:
    """Whether a module is a layer of torch, whose code is not the person's."""
    return step.type.startswith("torch.nn.") and not step.type.endswith("Sequential")


def image_rank(op: str) -> int:
    """Rank of a batch of images for `aten.conv2d.default` and its like: the digit before the d, and two."""
    return next(int(character) for character in op.split("conv", 1)[1] if character.isdigit()) + 2

"""Mistakes in convolution, pooling, resizing and the order of axes."""

from __future__ import annotations

from judge.mutation import Mutation, at

_ANTIALIASED = ('"bilinear", antialias=False', '"bilinear", antialias=True')
_CORNERS = (
    '    return jax.image.resize(x, shape, "bilinear", antialias=False)',
    "    scale = jnp.array([(height - 1) / (x.shape[1] - 1), (width - 1) / (x.shape[2] - 1)], x.dtype)\n"
    "    shift = 0.5 - 0.5 * scale\n"
    '    return jax.image.scale_and_translate(x, shape, (1, 2), scale, shift, "linear", antialias=False)',
)

SPACE = (
    Mutation(
        "padding SAME for 1 at stride 2", "tier 1 outputs", ("padding",),
        (
            at("cnn", "conv", ("strides=2, padding=1", 'strides=2, padding="SAME"')),
            at("resnet", "stem", ('linen.Conv(4, (3, 3), 2, padding=1, name="stem")',
                                  'linen.Conv(4, (3, 3), 2, padding="SAME", name="stem")')),
            at("unet", "deeper", ("strides=2, padding=1", 'strides=2, padding="SAME"')),
        ),
    ),
    Mutation(
        "average pool without padding in the count", "tier 1 outputs", ("count-include-pad",),
        (
            at("cnn", "mean", ("strides=(1, 1), padding=((1, 1), (1, 1)))",
                               "strides=(1, 1), padding=((1, 1), (1, 1)), count_include_pad=False)")),
            at("resnet", "block.short", ("x = linen.avg_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))",
                                         "x = linen.avg_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)), "
                                         "count_include_pad=False)")),
            at("unet", "deep", ("strides=(2, 2), padding=((1, 1), (1, 1)))",
                                "strides=(2, 2), padding=((1, 1), (1, 1)), count_include_pad=False)")),
        ),
    ),
    Mutation(
        "ceil mode with the whole window counted", "tier 1 outputs", ("ceil-mode", "count-include-pad"),
        (at("cnn", "pool", (", count_include_pad=False", "")),),
    ),
    Mutation(
        "max pool padded with zeros", "tier 1 outputs", ("padding", "pool-kind"),
        (
            at("resnet", "pool", ("x = linen.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))",
                                  "x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))\n"
                                  "        x = linen.max_pool(x, (3, 3), (2, 2))")),
            at("superres", "", ("eqx.nn.MaxPool2d(3, 2, 1)(x)",
                                "eqx.nn.MaxPool2d(3, 2)(jnp.pad(x, ((0, 0), (1, 1), (1, 1))))")),
        ),
    ),
    Mutation(
        "flattened channels last", "tier 1 outputs", ("flatten-layout",),
        (
            at("cnn", "drop", ("        x = jnp.moveaxis(x, -1, 1)\n", "")),
            at("resnet", "head", ("x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)", "x = x.reshape(len(x), -1)")),
            at("generator", "up", (".reshape(-1, 8, 2, 2).transpose(0, 2, 3, 1)", ".reshape(-1, 2, 2, 8)")),
        ),
    ),
    Mutation(
        "patches in the order of columns", "tier 1 outputs", (),
        (at("vit", "", ("x = x.reshape(len(x), -1, WIDTH)", "x = x.swapaxes(1, 2).reshape(len(x), -1, WIDTH)")),),
    ),
    Mutation(
        "kernel of a transposed convolution not flipped", "tier 1 outputs", ("kernel-flipped",),
        (
            at("unet", "up", ("self.up(second)",
                              "jax.lax.conv_transpose(second, self.up.kernel[...].swapaxes(2, 3), (2, 2), "
                              "((2, 2), (2, 2))) + self.up.bias[...]")),
            at("generator", "last", ("self.last(x)",
                                     "(jax.lax.conv_transpose(x, self.last.kernel[...].swapaxes(2, 3), (2, 2), "
                                     "((1, 2), (1, 2))) + self.last.bias[...])")),
            at("superres", "up", ('"chw,cfij->fhiwj", z, self.up)', '"chw,cfij->fhiwj", z, self.up[..., ::-1, ::-1])')),
        ),
    ),
    Mutation(
        "resize with antialias", "tier 1 outputs", ("antialias",),
        (at("unet", "deep", _ANTIALIASED), at("superres", "", _ANTIALIASED)),
    ),
    Mutation(
        "align_corners the other way", "tier 1 outputs", ("align-corners",),
        (
            at("unet", "deep", _CORNERS),
            at("generator", "mix", ("scale = jnp.array([(height - 1) / (x.shape[1] - 1), (width - 1) / "
                                    "(x.shape[2] - 1)], x.dtype)\n    shift = 0.5 - 0.5 * scale",
                                    "scale = jnp.array([height / x.shape[1], width / x.shape[2]], x.dtype)\n"
                                    "    shift = jnp.zeros(2, x.dtype)")),
            at("superres", "", ('y = jax.image.resize(y, (2, y.shape[1] // 2, y.shape[2] // 2), "bilinear", '
                                "antialias=False)",
                                "scale = jnp.array([(n // 2 - 1) / (n - 1) for n in y.shape[1:]], y.dtype)\n"
                                "        y = jax.image.scale_and_translate(y, (2, y.shape[1] // 2, y.shape[2] // 2), "
                                '(1, 2), scale, 0.5 - 0.5 * scale, "linear", antialias=False)')),
        ),
    ),
    Mutation(
        "resize by nearest for bilinear", "tier 1 outputs", ("resize-mode",),
        (
            at("unet", "deep", ('"bilinear", antialias=False', '"nearest"')),
            at("superres", "", ('"bilinear", antialias=False', '"nearest"')),
        ),
    ),
    Mutation(
        "another mode of padding", "tier 1 outputs", ("padding-mode",),
        (
            at("unet", "enter", ('"reflect")', '"edge")')),
            at("generator", "mix", ('"edge")', '"constant")')),
            at("superres", "enter", ('"edge")', '"wrap")')),
        ),
    ),
    Mutation(
        "output padding on the wrong side", "tier 1 outputs", ("transposed-padding", "padding"),
        (at("generator", "last", ("around = ((1, 2), (1, 2))", "around = ((2, 1), (2, 1))")),),
    ),
    Mutation(
        "joined in another order", "tier 1 outputs", (),
        (
            at("unet", "leave", ("[first, self.up(second), wide]", "[self.up(second), first, wide]")),
            at("translator", "mixed", ("[states, found]", "[found, states]")),
            at("speech", "rnn", ('[lstm(params, "", x), backward]', '[backward, lstm(params, "", x)]')),
        ),
    ),
)  # fmt: skip

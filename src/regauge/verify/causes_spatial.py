"""Causes in convolution, pooling, resizing and flattening: padding, windows, kernels, layouts."""

from __future__ import annotations

from collections.abc import Iterator

from regauge.verify.causes import (
    Call,
    Situation,
    Trial,
    argument,
    cause,
    replaced,
    replacement_trials,
    scopes,
    shown,
    value_trials,
)

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_POOLS: tuple[str, ...] = ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")
_POOLS += tuple(f"{name}_with_indices" for name in ("max_pool1d", "max_pool2d", "max_pool3d"))
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


@cause("padding", functions=(*_CONVOLUTIONS, *_POOLS), order=0)
def padding(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "padding as SAME, with the larger part behind, for explicit padding"
    yield from replacement_trials("padding", what, call, situation, "same_padding")
    if "max_pool" in call.function:
        what = "padding of a max pool is zero for minus infinity"
        yield from replacement_trials("padding", what, call, situation, "zero_padding")
    own = call.value("padding", 0)
    own = own[0] if isinstance(own, list) and len({*map(str, own)}) == 1 else own  # one number for each axis
    others = [value for value in (0, 1, 2, 3) if value != own]
    yield from value_trials("padding", "padding", call, situation, "padding", 0, others)


@cause("padding-mode", functions=_CONVOLUTIONS, order=14)
def padding_mode(call: Call, situation: Situation) -> Iterator[Trial]:
    for mode in ("reflect", "replicate", "circular"):
        for calls in scopes(call, situation):
            edit = replaced(calls, "padded", mode=mode)
            yield Trial("padding-mode", "the mode of padding", (edit,), "zeros", mode, call.number)


@cause("padding-mode", functions=("pad",), order=2)
def pad_mode(call: Call, situation: Situation) -> Iterator[Trial]:
    modes = ("constant", "reflect", "replicate", "circular")
    return value_trials("padding-mode", "the mode of padding", call, situation, "mode", "constant", modes)


@cause("count-include-pad", functions=("avg_pool1d", "avg_pool2d", "avg_pool3d"), order=-1)
def counted(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.value("count_include_pad", True)
    what = "whether padding counts in the average"
    return value_trials("count-include-pad", what, call, situation, "count_include_pad", True, [not own])


@cause("ceil-mode", functions=_POOLS, order=-1)
def ceil(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.value("ceil_mode", False)
    what = "whether the last, partial window of a pool is taken (ceil_mode)"
    return value_trials("ceil-mode", what, call, situation, "ceil_mode", False, [not own])


@cause("ceil-mode", functions=("avg_pool1d", "avg_pool2d", "avg_pool3d"), order=-1)
def divisor(call: Call, situation: Situation) -> Iterator[Trial]:
    """The last window of an average pool divided by its full size."""
    kernel = call.value("kernel_size", None)
    sizes = kernel if isinstance(kernel, list) else [kernel] * 2
    if not all(isinstance(size, int) for size in sizes) or "1d" in call.function:
        return
    full = 1
    for size in sizes:
        full *= size
    what = "the divisor of the average in windows that are not full"
    for calls in scopes(call, situation):
        edit = argument(calls, divisor_override=full)
        yield Trial("ceil-mode", what, (edit,), "", shown(full), call.number)


@cause("pool-kind", functions=_POOLS, order=20)
def pool_kind(call: Call, situation: Situation) -> Iterator[Trial]:
    kernel, stride = call.value("kernel_size", None), call.value("stride", None)
    other = call.function.replace("max", "avg") if "max" in call.function else call.function.replace("avg", "max")
    if kernel:
        options = {"kernel_size": kernel, "stride": stride or kernel, "padding": call.value("padding", 0)}
        for calls in scopes(call, situation):
            edit = replaced(calls, "function", name=other.removesuffix("_with_indices"), options=options)
            yield Trial("pool-kind", "the kind of pool", (edit,), call.function, other, call.number)


@cause("stride", functions=(*_CONVOLUTIONS, *_POOLS, *_TRANSPOSED), order=25)
def stride(call: Call, situation: Situation) -> Iterator[Trial]:
    return value_trials("stride", "the stride", call, situation, "stride", 1, (1, 2))


@cause("dilation", functions=(*_CONVOLUTIONS, *_TRANSPOSED), order=26)
def dilation(call: Call, situation: Situation) -> Iterator[Trial]:
    return value_trials("dilation", "the dilation", call, situation, "dilation", 1, (1, 2))


@cause("kernel-flipped", functions=_TRANSPOSED, order=0)
def flipped(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the kernel of the transposed convolution is not turned around"
    return replacement_trials("kernel-flipped", what, call, situation, "flipped_kernel")


@cause("kernel-flipped", functions=_CONVOLUTIONS, order=8)
def flipped_convolution(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the kernel is turned around in space"
    return replacement_trials("kernel-flipped", what, call, situation, "flipped_kernel")


@cause("transposed-padding", functions=_TRANSPOSED, order=5)
def transposed_padding(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "padding of a transposed convolution"
    yield from value_trials("padding", what, call, situation, "padding", 0, (0, 1, 2))
    yield from value_trials("padding", what, call, situation, "output_padding", 0, (0, 1))
    if call.value("output_padding", 0):
        what = "the output padding of a transposed convolution lies before instead of behind"
        yield from replacement_trials("padding", what, call, situation, "padded_before")


_RESIZES = ("interpolate", "upsample", "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d")


@cause("align-corners", functions=_RESIZES, order=0)
def corners(call: Call, situation: Situation) -> Iterator[Trial]:
    if call.value("mode", "nearest") not in ("linear", "bilinear", "bicubic", "trilinear"):
        return iter(())
    own = bool(call.value("align_corners", False))
    what = "whether corners are aligned in the resize (align_corners)"
    return value_trials("align-corners", what, call, situation, "align_corners", own, [not own])


@cause("antialias", functions=_RESIZES, order=-1)
def antialias(call: Call, situation: Situation) -> Iterator[Trial]:
    if call.value("mode", "nearest") not in ("bilinear", "bicubic"):
        return iter(())
    own = bool(call.value("antialias", False))
    what = "whether the resize smooths before it makes smaller (antialias)"
    return value_trials("antialias", what, call, situation, "antialias", False, [not own])


@cause("resize-mode", functions=_RESIZES, order=3)
def resize_mode(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.value("mode", "nearest")
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area", "linear"):
        if mode != own:
            for calls in scopes(call, situation):
                values = {"mode": mode} if mode in ("bilinear", "bicubic") else {"mode": mode, "align_corners": None}
                edit = argument(calls, **values)
                yield Trial("resize-mode", "the mode of the resize", (edit,), own, mode, call.number)

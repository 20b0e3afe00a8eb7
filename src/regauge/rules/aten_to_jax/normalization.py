"""Normalizations. Statistics of half-precision arrays are computed in float32, as torch does.

The second results of the native forms (mean, reciprocal deviation) carry no derivative in torch's backward formulas.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("normalization")


def is_half(x: Array) -> bool:
    """Whether statistics of the array need a wider dtype."""
    return x.dtype in (jnp.bfloat16, jnp.float16)


def machine_epsilon(x: Array) -> float:
    """The epsilon of the dtype in which the array's statistics are computed."""
    return float(jnp.finfo(jnp.float32 if is_half(x) else x.dtype).eps)


def per_channel(values: Array, ndim: int) -> Array:
    """[C] as an array that broadcasts against [N, C, ...]."""
    return values.reshape(-1, *(1,) * (ndim - 2))


def running_average(running: Array, batch: Array, momentum: float) -> Array:
    """Running statistics after a batch; `momentum` is the share of the new value."""
    return running + momentum * (lax.stop_gradient(batch).astype(running.dtype) - running)


def batch_norm_step(
    x: Array, weight: Array | None, bias: Array | None, mean: Array, var: Array, momentum: float, epsilon: float
) -> tuple[Array, Array, Array]:
    """Normalize over all axes but the last, and move the running statistics; theirs is the unbiased variance.

    Args:
        x: [..., channels].
        weight, bias: [channels].
        mean, var: running statistics, [channels].
        momentum: share of the new values.
        epsilon: added to the variance.
    """
    axes = tuple(range(x.ndim - 1))
    n = x.size // x.shape[-1]
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    # The variance of x less any constant is that of x. Near the mean it loses no digits in one pass over both
    # sums (Chan, Golub, LeVeque 1983), for which XLA wants the squares first.
    shift = lax.stop_gradient(wide[:1].mean(axes))
    shifted = wide - shift
    squares = jnp.square(shifted)
    offset = shifted.mean(axes)
    biased = squares.mean(axes) - jnp.square(offset)
    scale = lax.rsqrt(biased + epsilon)
    y = (shifted - offset) * (scale if weight is None else scale * weight)
    y = (y if bias is None else y + bias).astype(x.dtype)
    unbiased = biased * (n / (n - 1))
    return y, running_average(mean, shift + offset, momentum), running_average(var, unbiased, momentum)


@TABLE.rule("aten.batch_norm.default")
def batch_norm(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
    channels_last: bool = False,
) -> Array | tuple[Array, Array, Array]:
    """batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled) -> Tensor"""  # noqa: E501
    # In training with running statistics the results are (output, new mean, new variance): the buffers that
    # torch's operator overwrites.
    last = channels_last or input.ndim == 2
    if last and training and running_mean is not None and running_var is not None:
        return batch_norm_step(input, weight, bias, running_mean, running_var, momentum, eps)
    axes = tuple(range(input.ndim - 1)) if last else (0, *range(2, input.ndim))
    x = input.astype(jnp.float32) if is_half(input) else input
    if training or running_mean is None or running_var is None:
        mean, var = jnp.mean(x, axis=axes), jnp.var(x, axis=axes)
    else:
        mean, var = running_mean, running_var
    scale = lax.rsqrt(var + eps) if weight is None else lax.rsqrt(var + eps) * weight
    if last:
        result = (x - mean) * scale
        if bias is not None:
            result = result + bias
    else:
        shape = (-1, *(1,) * (input.ndim - 2))
        result = (x - mean.reshape(shape)) * scale.reshape(shape)
        if bias is not None:
            result = result + bias.reshape(shape)
    result = result.astype(input.dtype) if is_half(input) else result
    if not training or running_mean is None or running_var is None:
        return result
    count = math.prod(input.shape[axis] for axis in axes)
    # The batch is normalized with the biased variance; the running one is unbiased.
    unbiased = var * (count / (count - 1))
    new_mean = running_average(running_mean, mean, momentum)
    return result, new_mean, running_average(running_var, unbiased, momentum)


def normalized_batch(input: Array, weight: Array | None, bias: Array | None, mean: Array, invstd: Array) -> Array:
    """(input - mean) * invstd * weight + bias along the channels of [N, C, ...]."""
    scale = invstd if weight is None else invstd * weight
    result = (input - per_channel(mean, input.ndim)) * per_channel(scale, input.ndim)
    return result if bias is None else result + per_channel(bias, input.ndim)


def batch_statistics(input: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel of [N, C, ...]."""
    axes = (0, *range(2, input.ndim))
    return jnp.mean(input, axis=axes), jnp.var(input, axis=axes)


@TABLE.rule("aten._native_batch_norm_legit_functional.default")
def native_batch_norm_functional(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Array, Array, Array, Array, Array]:
    """_native_batch_norm_legit_functional(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor, Tensor running_mean_out, Tensor running_var_out)"""  # noqa: E501
    if not training:
        nothing = jnp.zeros((0,), input.dtype)
        result = normalized_batch(input, weight, bias, running_mean, lax.rsqrt(running_var + eps))
        return result, nothing, nothing, running_mean, running_var
    mean, var = batch_statistics(input)
    invstd = lax.rsqrt(var + eps)
    count = input.size // mean.size
    new_mean = running_average(running_mean, mean, momentum)
    new_var = running_average(running_var, var * (count / (count - 1)), momentum)
    result = normalized_batch(input, weight, bias, mean, invstd)
    return result, lax.stop_gradient(mean), lax.stop_gradient(invstd), new_mean, new_var


@TABLE.rule("aten._native_batch_norm_legit_no_training.default")
def native_batch_norm_no_training(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array,
    running_var: Array,
    momentum: float,
    eps: float,
) -> tuple[Array, Array, Array]:
    """_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor)"""  # noqa: E501
    nothing = jnp.zeros((0,), input.dtype)
    return normalized_batch(input, weight, bias, running_mean, lax.rsqrt(running_var + eps)), nothing, nothing


@TABLE.rule("aten._native_batch_norm_legit.no_stats")
def native_batch_norm_no_stats(
    input: Array, weight: Array | None, bias: Array | None, training: bool, momentum: float, eps: float
) -> tuple[Array, Array, Array]:
    """_native_batch_norm_legit.no_stats(Tensor input, Tensor? weight, Tensor? bias, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)"""  # noqa: E501
    mean, var = batch_statistics(input)
    invstd = lax.rsqrt(var + eps)
    result = normalized_batch(input, weight, bias, mean, invstd)
    return result, lax.stop_gradient(mean), lax.stop_gradient(invstd)


@TABLE.rule("aten.layer_norm.default")
def layer_norm(
    input: Array,
    normalized_shape: tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Array:
    """layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enable=True) -> Tensor"""  # noqa: E501
    axes = tuple(range(-len(normalized_shape), 0))
    x = input.astype(jnp.float32) if is_half(input) else input
    mean = jnp.mean(x, axis=axes, keepdims=True)
    result = (x - mean) * lax.rsqrt(jnp.var(x, axis=axes, keepdims=True) + eps)
    if weight is not None:
        result = result * weight
    if bias is not None:
        result = result + bias
    return result.astype(input.dtype) if is_half(input) else result


@TABLE.rule("aten.native_layer_norm.default")
def native_layer_norm(
    input: Array, normalized_shape: tuple[int, ...], weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)"""  # noqa: E501
    axes = tuple(range(-len(normalized_shape), 0))
    x = input.astype(jnp.float32) if is_half(input) else input
    mean = jnp.mean(x, axis=axes, keepdims=True)
    rstd = lax.rsqrt(jnp.var(x, axis=axes, keepdims=True) + eps)
    if is_half(input):  # on a CPU statistics have the dtype of the weight
        dtype = input.dtype if weight is None else weight.dtype
        mean, rstd = mean.astype(dtype), rstd.astype(dtype)
    return layer_norm(input, normalized_shape, weight, bias, eps), lax.stop_gradient(mean), lax.stop_gradient(rstd)


@TABLE.rule("aten.rms_norm.default")
def rms_norm(
    input: Array, normalized_shape: tuple[int, ...], weight: Array | None = None, eps: float | None = None
) -> Array:
    """rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor"""
    axes = tuple(range(-len(normalized_shape), 0))
    x = input.astype(jnp.float32) if is_half(input) else input
    epsilon = machine_epsilon(input) if eps is None else eps
    result = x * lax.rsqrt(jnp.mean(jnp.square(x), axis=axes, keepdims=True) + epsilon)
    if weight is not None:
        result = result * weight
    return result.astype(input.dtype) if is_half(input) else result


@TABLE.rule("aten._fused_rms_norm.default")
def fused_rms_norm(
    input: Array, normalized_shape: tuple[int, ...], weight: Array | None, eps: float | None
) -> tuple[Array, Array]:
    """_fused_rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float? eps) -> (Tensor, Tensor)"""
    axes = tuple(range(-len(normalized_shape), 0))
    x = input.astype(jnp.float32) if is_half(input) else input
    epsilon = machine_epsilon(input) if eps is None else eps
    rstd = lax.rsqrt(jnp.mean(jnp.square(x), axis=axes, keepdims=True) + epsilon)
    return rms_norm(input, normalized_shape, weight, eps), rstd


@TABLE.rule("aten.group_norm.default")
def group_norm(
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
    channels_last: bool = False,
) -> Array:
    """group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enabled=True) -> Tensor"""  # noqa: E501
    x = input.astype(jnp.float32) if is_half(input) else input
    channels = input.shape[-1] if channels_last else input.shape[1]
    if channels_last:
        grouped = x.reshape(*input.shape[:-1], num_groups, channels // num_groups)
        axes = (*range(1, input.ndim - 1), input.ndim)
    else:
        grouped = x.reshape(input.shape[0], num_groups, channels // num_groups, *input.shape[2:])
        axes = tuple(range(2, input.ndim + 1))
    mean = jnp.mean(grouped, axis=axes, keepdims=True)
    normalized = (grouped - mean) * lax.rsqrt(jnp.var(grouped, axis=axes, keepdims=True) + eps)
    result = normalized.reshape(input.shape)
    shape = (-1,) if channels_last else (-1, *(1,) * (input.ndim - 2))
    if weight is not None:
        result = result * weight.reshape(shape)
    if bias is not None:
        result = result + bias.reshape(shape)
    return result.astype(input.dtype) if is_half(input) else result


@TABLE.rule("aten.native_group_norm.default")
def native_group_norm(
    input: Array, weight: Array | None, bias: Array | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Array, Array, Array]:
    """native_group_norm(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C, SymInt HxW, int group, float eps) -> (Tensor, Tensor, Tensor)"""  # noqa: E501
    grouped = input.reshape(N, group, C // group * HxW)
    mean, rstd = jnp.mean(grouped, axis=2), lax.rsqrt(jnp.var(grouped, axis=2) + eps)
    return group_norm(input, group, weight, bias, eps), mean, rstd


@TABLE.rule("aten.instance_norm.default")
def instance_norm(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
    channels_last: bool = False,
) -> Array | tuple[Array, Array, Array]:
    """instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor"""  # noqa: E501
    # With statistics of the input and running ones the results are (output, new mean, new variance), as in batch_norm.
    x = input.astype(jnp.float32) if is_half(input) else input
    axes = tuple(range(1, input.ndim - 1)) if channels_last else tuple(range(2, input.ndim))
    shape = (-1,) if channels_last else (-1, *(1,) * (input.ndim - 2))
    if use_input_stats or running_mean is None or running_var is None:
        mean, var = jnp.mean(x, axis=axes, keepdims=True), jnp.var(x, axis=axes, keepdims=True)
    else:
        mean, var = running_mean.reshape(shape), running_var.reshape(shape)
    result = (x - mean) * lax.rsqrt(var + eps)
    if weight is not None:
        result = result * weight.reshape(shape)
    if bias is not None:
        result = result + bias.reshape(shape)
    result = result.astype(input.dtype) if is_half(input) else result
    if not use_input_stats or running_mean is None or running_var is None:
        return result
    count = math.prod(input.shape[axis] for axis in axes)
    # the running statistics move towards the mean over the batch of the mean and of the unbiased variance
    new_mean = running_average(running_mean, jnp.mean(mean, axis=(0, *axes)), momentum)
    return (
        result,
        new_mean,
        running_average(running_var, jnp.mean(var, axis=(0, *axes)) * (count / (count - 1)), momentum),
    )


@TABLE.rule("aten.norm_except_dim.default")
def norm_except_dim(v: Array, pow: int = 2, dim: int = 0) -> Array:
    """norm_except_dim(Tensor v, int pow=2, int dim=0) -> Tensor"""
    axes = None if dim == -1 else tuple(axis for axis in range(v.ndim) if axis != dim % v.ndim)
    total = jnp.sum(jnp.abs(v) ** pow, axis=axes, keepdims=dim != -1)
    # The derivative of a norm at 0 is 0 in torch; the plain root has NaN there.
    return jnp.where(total == 0, 0, jnp.where(total == 0, 1, total) ** (1 / pow))


@TABLE.rule("aten._weight_norm.default")
def weight_norm(v: Array, g: Array, dim: int = 0) -> Array:
    """_weight_norm(Tensor v, Tensor g, int dim=0) -> Tensor"""
    axes = None if dim == -1 else tuple(axis for axis in range(v.ndim) if axis != dim % v.ndim)
    return v * (g / jnp.sqrt(jnp.sum(jnp.square(v), axis=axes, keepdims=dim != -1)))


@TABLE.rule("aten._weight_norm_interface.default")
def weight_norm_interface(v: Array, g: Array, dim: int = 0) -> tuple[Array, Array]:
    """_weight_norm_interface(Tensor v, Tensor g, int dim=0) -> (Tensor, Tensor)"""
    axes = tuple(axis for axis in range(v.ndim) if axis != dim % v.ndim)
    norm = jnp.sqrt(jnp.sum(jnp.square(v), axis=axes, keepdims=True))
    return v * (g / norm), lax.stop_gradient(norm)

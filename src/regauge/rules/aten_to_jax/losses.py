"""Losses between two arrays of numbers, and the distances that some of them are made of.

`reduction` is torch's number: 0 keeps every element, 1 is their mean, 2 their sum. Where a loss has a kink, the
comparison is chosen so that the derivative there is torch's.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("losses")

TINY = 9.999999960041972e-13  # 1e-12 as torch holds it, in float32, whatever the dtype of the data


@TABLE.rule("aten.mse_loss.default", promotes=Promotes.DEFAULT)
def mse_loss(self: Array, target: Array, reduction: int = 1) -> Array:
    """mse_loss(Tensor self, Tensor target, int reduction=1) -> Tensor"""
    loss = jnp.square(self - target)
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.l1_loss.default", promotes=Promotes.DEFAULT)
def l1_loss(self: Array, target: Array, reduction: int = 1) -> Array:
    """l1_loss(Tensor self, Tensor target, int reduction=1) -> Tensor"""
    difference = self - target
    if jnp.iscomplexobj(difference):
        loss = jnp.abs(difference)
    else:
        loss = difference * lax.stop_gradient(jnp.sign(difference))  # derivative 0 at 0, unlike jnp.abs
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.smooth_l1_loss.default", promotes=Promotes.DEFAULT)
def smooth_l1_loss(self: Array, target: Array, reduction: int = 1, beta: float = 1.0) -> Array:
    """smooth_l1_loss(Tensor self, Tensor target, int reduction=1, float beta=1.) -> Tensor"""
    difference = self - target
    if beta == 0:
        loss = jnp.where(difference > 0, difference, -difference)  # slope -1 at 0, unlike l1_loss
    else:
        distance = jnp.abs(difference)
        loss = jnp.where(distance < beta, 0.5 / beta * jnp.square(difference), distance - 0.5 * beta)
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.huber_loss.default", promotes=Promotes.DEFAULT)
def huber_loss(self: Array, target: Array, reduction: int = 1, delta: float = 1.0) -> Array:
    """huber_loss(Tensor self, Tensor target, int reduction=1, float delta=1.) -> Tensor"""
    difference = self - target
    distance = jnp.abs(difference)
    loss = jnp.where(distance <= delta, 0.5 * jnp.square(difference), delta * (distance - 0.5 * delta))
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.binary_cross_entropy.default")
def binary_cross_entropy(self: Array, target: Array, weight: Array | None = None, reduction: int = 1) -> Array:
    """binary_cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1) -> Tensor"""
    # torch bounds the logarithms by -100 and the denominator of the derivative by TINY: near 0 and 1 the loss is
    # replaced by its value with torch's slope.
    edge = self * (1 - self) < TINY
    inner = jnp.where(edge, 0.5, self)
    outer = lax.stop_gradient(self)
    bounded = target * jnp.maximum(jnp.log(outer), -100) + (1 - target) * jnp.maximum(jnp.log1p(-outer), -100)
    slope = (outer - lax.stop_gradient(target)) / TINY
    inside = -(target * jnp.log(inner) + (1 - target) * jnp.log1p(-inner))
    loss = jnp.where(edge, (self - outer) * slope - bounded, inside)
    if weight is not None:
        loss = loss * weight
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.binary_cross_entropy_with_logits.default")
def binary_cross_entropy_with_logits(
    self: Array, target: Array, weight: Array | None = None, pos_weight: Array | None = None, reduction: int = 1
) -> Array:
    """binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1) -> Tensor"""  # noqa: E501
    if pos_weight is None:
        loss = (1 - target) * self - jax.nn.log_sigmoid(self)
    else:
        loss = (1 - target) * self - ((pos_weight - 1) * target + 1) * jax.nn.log_sigmoid(self)
    if weight is not None:
        loss = loss * weight
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.kl_div.default", promotes=Promotes.DEFAULT)
def kl_div(self: Array, target: Array, reduction: int = 1, *, log_target: bool = False) -> Array:
    """kl_div(Tensor self, Tensor target, int reduction=1, *, bool log_target=False) -> Tensor"""
    if log_target:
        loss = jnp.exp(target) * (target - self)
    else:
        loss = jax.scipy.special.xlogy(target, target) - target * self
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.poisson_nll_loss.default", promotes=Promotes.DEFAULT)
def poisson_nll_loss(input: Array, target: Array, log_input: bool, full: bool, eps: float, reduction: int) -> Array:
    """poisson_nll_loss(Tensor input, Tensor target, bool log_input, bool full, float eps, int reduction) -> Tensor"""
    if log_input:
        loss = jnp.exp(input) - target * input
    else:
        loss = input - target * jnp.log(input + eps)
    if full:  # Stirling's approximation of log(target!)
        factorial = target * jnp.log(target) - target + 0.5 * jnp.log(2 * math.pi * target)
        loss = loss + jnp.where(target > 1, factorial, 0)
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.soft_margin_loss.default", promotes=Promotes.DEFAULT)
def soft_margin_loss(self: Array, target: Array, reduction: int = 1) -> Array:
    """soft_margin_loss(Tensor self, Tensor target, int reduction=1) -> Tensor"""
    loss = jnp.log1p(jnp.exp(-target * self))
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.hinge_embedding_loss.default", promotes=Promotes.DEFAULT)
def hinge_embedding_loss(self: Array, target: Array, margin: float = 1.0, reduction: int = 1) -> Array:
    """hinge_embedding_loss(Tensor self, Tensor target, float margin=1., int reduction=1) -> Tensor"""
    apart = jnp.where(margin - self < 0, 0, margin - self)
    loss = jnp.where(target != 1, apart, 0) + jnp.where(target != -1, self, 0)
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.margin_ranking_loss.default", promotes=Promotes.DEFAULT)
def margin_ranking_loss(input1: Array, input2: Array, target: Array, margin: float = 0.0, reduction: int = 1) -> Array:
    """margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float margin=0., int reduction=1) -> Tensor"""
    excess = margin - target * (input1 - input2)
    loss = jnp.where(excess < 0, 0, excess)
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


@TABLE.rule("aten.cosine_embedding_loss.default")
def cosine_embedding_loss(
    input1: Array, input2: Array, target: Array, margin: float = 0.0, reduction: int = 1
) -> Array:
    """cosine_embedding_loss(Tensor input1, Tensor input2, Tensor target, float margin=0., int reduction=1) -> Tensor"""
    square1 = jnp.sum(jnp.square(input1), axis=-1) + TINY
    square2 = jnp.sum(jnp.square(input2), axis=-1) + TINY
    cosine = jnp.sum(input1 * input2, axis=-1) / jnp.sqrt(square1 * square2)
    apart = jnp.where(cosine - margin < 0, 0, cosine - margin)
    loss = jnp.where(target == 1, 1 - cosine, 0) + jnp.where(target == -1, apart, 0)
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


def vector_norm(x: Array, p: float, axis: int, keepdims: bool) -> Array:
    """The p-norm along an axis, with torch's derivative 0 where the norm or an element is 0."""
    if jnp.iscomplexobj(x):
        x = jnp.abs(x)
    if p == 2:
        total = jnp.sum(jnp.square(x), axis=axis, keepdims=keepdims)
        return jnp.where(total == 0, 0, jnp.sqrt(jnp.where(total == 0, 1, total)))
    magnitude = x * lax.stop_gradient(jnp.sign(x))
    if p == math.inf:
        return jnp.max(magnitude, axis=axis, keepdims=keepdims)
    if p == 0:
        return jnp.sum(lax.stop_gradient(magnitude) != 0, axis=axis, keepdims=keepdims).astype(x.dtype)
    if p == 1:
        return jnp.sum(magnitude, axis=axis, keepdims=keepdims)
    total = jnp.sum(jnp.where(magnitude == 0, 0, jnp.where(magnitude == 0, 1, magnitude) ** p), axis, keepdims=keepdims)
    return jnp.where(total == 0, 0, jnp.where(total == 0, 1, total) ** (1 / p))


@TABLE.rule("aten.pairwise_distance.default", promotes=Promotes.DEFAULT)
def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """pairwise_distance(Tensor x1, Tensor x2, float p=2., float eps=9.9999999999999995e-07, bool keepdim=False) -> Tensor"""  # noqa: E501
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


@TABLE.rule("aten.cosine_similarity.default", promotes=Promotes.DEFAULT)
def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    """cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor"""
    if x1.ndim == 0 and x2.ndim == 0:
        x1, x2 = x1.reshape(1), x2.reshape(1)
    if x1.shape != x2.shape:
        x1, x2 = jnp.broadcast_arrays(x1, x2)
    norm1, norm2 = vector_norm(x1, 2.0, dim, True), vector_norm(x2, 2.0, dim, True)
    # torch raises short norms to eps outside of its derivative
    norm1 = norm1 + lax.stop_gradient(jnp.maximum(norm1, eps) - norm1)
    norm2 = norm2 + lax.stop_gradient(jnp.maximum(norm2, eps) - norm2)
    return jnp.sum((x1 / norm1) * (x2 / norm2), axis=dim)


@TABLE.rule("aten.triplet_margin_loss.default", promotes=Promotes.DEFAULT)
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 1,
) -> Array:
    """triplet_margin_loss(Tensor anchor, Tensor positive, Tensor negative, float margin=1., float p=2., float eps=9.9999999999999995e-07, bool swap=False, int reduction=1) -> Tensor"""  # noqa: E501
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = jnp.minimum(far, pairwise_distance(positive, negative, p, eps))
    excess = margin + near - far
    loss = jnp.where(excess < 0, 0, excess)
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss

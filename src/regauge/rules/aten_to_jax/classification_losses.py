"""Losses of class scores. `reduction` is torch's number: 0 keeps every element, 1 is their mean, 2 their sum."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("classification_losses")


def negative_log_likelihood(
    log_probabilities: Array,
    target: Array,
    weight: Array | None = None,
    reduction: int = 1,
    ignore_index: int = -100,
) -> tuple[Array, Array]:
    """Minus the log-probability of the target class; `ignore_index` as a target counts nothing.

    Args:
        log_probabilities: [classes], [batch, classes] or [batch, classes, ...].
        target: class numbers: the same shape without the axis of the classes.
        weight: [classes], or None.
        reduction: 0 every element, 1 the mean weighted by `weight`, 2 the sum.
        ignore_index: the target that is left out.

    Returns:
        The loss, and the total weight of the targets that count.
    """
    axis = min(1, log_probabilities.ndim - 1)
    counts = target != ignore_index
    classes = jnp.where(counts, target, 0)
    chosen = jnp.take_along_axis(log_probabilities, jnp.expand_dims(classes, axis), axis).squeeze(axis)
    weights = counts.astype(chosen.dtype) if weight is None else jnp.where(counts, weight[classes], 0)
    loss = jnp.where(counts, -chosen * weights, 0)
    if reduction == 0:
        return loss, jnp.zeros((), chosen.dtype)
    total = jnp.sum(weights)
    return (jnp.sum(loss) / total if reduction == 1 else jnp.sum(loss)), total


@TABLE.rule("aten.nll_loss.default")
def nll_loss(
    self: Array, target: Array, weight: Array | None = None, reduction: int = 1, ignore_index: int = -100
) -> Array:
    """nll_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor"""
    return negative_log_likelihood(self, target, weight, reduction, ignore_index)[0]


@TABLE.rule("aten.nll_loss2d.default")
def nll_loss2d(
    self: Array, target: Array, weight: Array | None = None, reduction: int = 1, ignore_index: int = -100
) -> Array:
    """nll_loss2d(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor"""  # noqa: E501
    return negative_log_likelihood(self, target, weight, reduction, ignore_index)[0]


@TABLE.rule("aten.nll_loss_nd.default")
def nll_loss_nd(
    self: Array, target: Array, weight: Array | None = None, reduction: int = 1, ignore_index: int = -100
) -> Array:
    """nll_loss_nd(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor"""  # noqa: E501
    return negative_log_likelihood(self, target, weight, reduction, ignore_index)[0]


@TABLE.rule("aten.nll_loss_forward.default")
def nll_loss_forward(
    self: Array, target: Array, weight: Array | None, reduction: int, ignore_index: int
) -> tuple[Array, Array]:
    """nll_loss_forward(Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index) -> (Tensor output, Tensor total_weight)"""  # noqa: E501
    return negative_log_likelihood(self, target, weight, reduction, ignore_index)


@TABLE.rule("aten.nll_loss2d_forward.default")
def nll_loss2d_forward(
    self: Array, target: Array, weight: Array | None, reduction: int, ignore_index: int
) -> tuple[Array, Array]:
    """nll_loss2d_forward(Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index) -> (Tensor output, Tensor total_weight)"""  # noqa: E501
    return negative_log_likelihood(self, target, weight, reduction, ignore_index)


def soft_cross_entropy(
    logits: Array, target: Array, weight: Array | None = None, reduction: int = 1, label_smoothing: float = 0.0
) -> Array:
    """Cross-entropy against class probabilities; the mean is over everything but the classes.

    Args:
        logits: [classes], [batch, classes] or [batch, classes, ...].
        target: probabilities of the same shape.
        weight: [classes], or None.
        reduction: 0 every element, 1 the mean, 2 the sum.
        label_smoothing: the share of the target that is spread evenly.
    """
    axis = min(1, logits.ndim - 1)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / logits.shape[axis]
    terms = jax.nn.log_softmax(logits, axis=axis) * target
    if weight is not None:
        terms = terms * weight.reshape(-1, *(1,) * (logits.ndim - axis - 1))
    loss = -jnp.sum(terms, axis=axis)
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss


def smoothed_cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
) -> Array:
    """Cross-entropy against class numbers of which `label_smoothing` is spread evenly over all classes."""
    axis = min(1, logits.ndim - 1)
    log_probabilities = jax.nn.log_softmax(logits, axis=axis)
    loss, total = negative_log_likelihood(log_probabilities, target, weight, reduction, ignore_index)
    terms = log_probabilities
    if weight is not None:
        terms = terms * weight.reshape(-1, *(1,) * (logits.ndim - axis - 1))
    even = jnp.where(target != ignore_index, -jnp.sum(terms, axis=axis), 0)
    if reduction == 1:
        even = jnp.sum(even) / total
    elif reduction == 2:
        even = jnp.sum(even)
    return (1 - label_smoothing) * loss + label_smoothing / logits.shape[axis] * even


@TABLE.rule("aten.cross_entropy_loss.default")
def cross_entropy_loss(
    self: Array,
    target: Array,
    weight: Array | None = None,
    reduction: int = 1,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    """cross_entropy_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100, float label_smoothing=0.) -> Tensor"""  # noqa: E501
    axis = min(1, self.ndim - 1)
    if jnp.issubdtype(target.dtype, jnp.floating):
        return soft_cross_entropy(self, target, weight, reduction, label_smoothing)
    if label_smoothing:
        return smoothed_cross_entropy(self, target, weight, reduction, ignore_index, label_smoothing)
    log_probabilities = jax.nn.log_softmax(self, axis=axis)
    return negative_log_likelihood(log_probabilities, target, weight, reduction, ignore_index)[0]


def class_scores(x: Array, weight: Array, bias: Array | None, dtype: DTypeLike) -> Array:
    """Scores of a linear layer, computed in a dtype.

    Args:
        x: [batch, features].
        weight: [classes, features].
        bias: [classes], or None.
        dtype: float32 where the others are float16 or bfloat16: torch rounds the loss, and not the scores.
    """
    if x.dtype == dtype:
        return x @ weight.T if bias is None else x @ weight.T + bias
    scores = jnp.matmul(x, weight.T, preferred_element_type=dtype)
    return scores if bias is None else scores + bias


@TABLE.rule("torch_nn._linear_cross_entropy_batch_chunked.default")
def linear_cross_entropy(
    input: Array,
    linear_weight: Array,
    target: Array,
    linear_bias: Array | None,
    weight: Array | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    batch_chunk_size: int,
    acc_policy: str,
    acc_dtype: DTypeLike,
    allow_retain_graph: bool,
    compute_input_grad: bool,
    compute_linear_weight_grad: bool,
    compute_linear_bias_grad: bool,
) -> tuple[Array, Array, Array, Array]:
    """_linear_cross_entropy_batch_chunked(Tensor input, Tensor linear_weight, Tensor target, Tensor? linear_bias, Tensor? weight, str reduction, SymInt ignore_index, float label_smoothing, SymInt batch_chunk_size, str acc_policy, ScalarType acc_dtype, bool allow_retain_graph, bool compute_input_grad, bool compute_linear_weight_grad, bool compute_linear_bias_grad) -> (Tensor, Tensor, Tensor, Tensor)"""  # noqa: E501
    logits = class_scores(input, linear_weight, linear_bias, acc_dtype)
    loss = cross_entropy_loss(logits, target, weight, 1 if reduction == "mean" else 2, ignore_index, label_smoothing)
    if input.dtype != acc_dtype:
        loss = loss.astype(input.dtype)
    # torch keeps the derivatives of the loss in its other results, which nobody reads: here the loss is differentiated
    by_input = jnp.zeros(input.shape if compute_input_grad else (0, 0), input.dtype)
    by_weight = jnp.zeros(linear_weight.shape if compute_linear_weight_grad else (0, 0), input.dtype)
    return loss, by_input, by_weight, jnp.zeros(linear_weight.shape[0] if compute_linear_bias_grad else 0, input.dtype)


@TABLE.rule("torch_nn._linear_cross_entropy_batch_chunked_no_reduction.default")
def linear_cross_entropies(
    input: Array,
    linear_weight: Array,
    target: Array,
    linear_bias: Array | None,
    weight: Array | None,
    ignore_index: int,
    batch_chunk_size: int,
    acc_policy: str,
    acc_dtype: DTypeLike,
) -> Array:
    """_linear_cross_entropy_batch_chunked_no_reduction(Tensor input, Tensor linear_weight, Tensor target, Tensor? linear_bias, Tensor? weight, SymInt ignore_index, SymInt batch_chunk_size, str acc_policy, ScalarType acc_dtype) -> Tensor"""  # noqa: E501
    logits = class_scores(input, linear_weight, linear_bias, acc_dtype)
    losses = cross_entropy_loss(logits, target, weight, 0, ignore_index)
    return losses if input.dtype == acc_dtype else losses.astype(input.dtype)


@TABLE.rule("aten.multi_margin_loss.default")
def multi_margin_loss(
    self: Array,
    target: Array,
    p: float = 1,
    margin: float = 1,
    weight: Array | None = None,
    reduction: int = 1,
) -> Array:
    """multi_margin_loss(Tensor self, Tensor target, Scalar p=1, Scalar margin=1, Tensor? weight=None, int reduction=1) -> Tensor"""  # noqa: E501
    scores = self if self.ndim == 2 else self.reshape(1, -1)
    classes = target.reshape(-1, 1)
    excess = margin - jnp.take_along_axis(scores, classes, 1) + scores
    counts = (excess > 0) & (jnp.arange(scores.shape[1]) != classes)
    terms = jnp.where(counts, excess if p == 1 else jnp.square(excess), 0)
    if weight is not None:
        terms = terms * weight[classes]
    loss = jnp.sum(terms, axis=1) / scores.shape[1]
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss.reshape(target.shape)


@TABLE.rule("aten.multilabel_margin_loss.default")
def multilabel_margin_loss(self: Array, target: Array, reduction: int = 1) -> Array:
    """multilabel_margin_loss(Tensor self, Tensor target, int reduction=1) -> Tensor"""
    scores = self if self.ndim == 2 else self.reshape(1, -1)
    labels = target.reshape(scores.shape)
    listed = jnp.cumsum(labels < 0, axis=1) == 0  # the labels before the first negative one
    classes = jnp.where(listed, labels, 0)
    is_label = jnp.any((classes[:, :, None] == jnp.arange(scores.shape[1])) & listed[:, :, None], axis=1)
    excess = 1 - jnp.take_along_axis(scores, classes, 1)[:, :, None] + scores[:, None, :]
    counts = (excess > 0) & listed[:, :, None] & ~is_label[:, None, :]
    loss = jnp.sum(jnp.where(counts, excess, 0), axis=(1, 2)) / scores.shape[1]
    if reduction == 1:
        return jnp.mean(loss)
    return jnp.sum(loss) if reduction == 2 else loss.reshape(target.shape[:-1])

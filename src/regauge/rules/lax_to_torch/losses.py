"""Losses over all examples: torch's own function stands where value and gradient are the same.

Logits of plus infinity give NaN in torch, in optax infinity or NaN; labels that are no class are refused by torch.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.losses")


@TABLE.rule(
    "optax.softmax_cross_entropy_with_integer_labels",
    limits=[
        Limit(
            "labels that are no class",
            lambda arguments: True,
            "approximate",
            "optax counts negative labels from the last class and gives NaN beyond the last; F.cross_entropy raises, "
            "and leaves out the label -100",
        )
    ],
)
def cross_entropy_of_classes(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """softmax_cross_entropy_with_integer_labels(logits, labels) over the last axis, then the mean or the sum of all"""
    if logits.ndim > 2:
        logits, labels = logits.flatten(0, -2), labels.flatten()
    if reduction == "mean":
        return F.cross_entropy(logits, labels.long())
    return F.cross_entropy(logits, labels.long(), reduction=reduction)


@TABLE.rule("optax.softmax_cross_entropy")
def cross_entropy(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """softmax_cross_entropy(logits, labels) over the last axis, then the mean or the sum of all"""
    if logits.ndim == 1:
        return F.cross_entropy(logits, labels, reduction="sum")
    if logits.ndim > 2:
        logits, labels = logits.flatten(0, -2), labels.flatten(0, -2)
    if reduction == "mean":
        return F.cross_entropy(logits, labels)
    return F.cross_entropy(logits, labels, reduction=reduction)


@TABLE.rule("optax.sigmoid_binary_cross_entropy")
def binary_cross_entropy(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """sigmoid_binary_cross_entropy(logits, labels), then the mean or the sum of all"""
    if reduction == "mean":
        return F.binary_cross_entropy_with_logits(logits, labels)
    return F.binary_cross_entropy_with_logits(logits, labels, reduction=reduction)


@TABLE.rule("optax.squared_error")
def squared_error(predictions: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """squared_error(predictions, targets), then the mean or the sum of all"""
    if reduction == "mean":
        return F.mse_loss(predictions, targets)
    return F.mse_loss(predictions, targets, reduction=reduction)

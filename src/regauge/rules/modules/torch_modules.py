"""torch modules whose text is copied into emitted files: each stands for itself and names only torch, nn and F."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class BatchNorm(nn.Module):
    """Batch normalization over axis 1 with Flax's running statistics.

    Unlike nn.BatchNorm2d it stores the biased variance, and `momentum` is the share of the old value.
    """

    def __init__(self, num_features, *, eps=1e-5, momentum=0.99, scale=True, bias=True):
        super().__init__()
        self.running_mean = nn.Buffer(torch.zeros(num_features))
        self.running_var = nn.Buffer(torch.ones(num_features))
        self.weight = nn.Parameter(torch.ones(num_features)) if scale else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if bias else None
        self.eps = eps
        self.momentum = momentum

    def forward(self, x):
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        # batch_norm moves the mean as Flax does; of the unbiased variance it puts its share into an empty place.
        # Unlike F.batch_norm it takes a single value per channel, which has no variance.
        added, share, cudnn = torch.zeros_like(self.running_var), 1 - self.momentum, torch.backends.cudnn.enabled
        y = torch.batch_norm(x, self.weight, self.bias, self.running_mean, added, True, share, self.eps, cudnn)
        self.running_var.mul_(self.momentum)
        n = x.numel() // x.shape[1]
        if n > 1:
            self.running_var.add_(added, alpha=(n - 1) / n)
        return y


class SharedDropout(nn.Module):
    """Dropout of attention weights [batch, heads, queries, keys] with one mask for all examples and heads."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = x.new_ones([1] * (x.ndim - 2) + list(x.shape[-2:]))
        return x * F.dropout(mask, self.p)

"""A selective scan that Python loops over, as small state space models have it: any batch, the example's length."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regauge

WIDTH, STATES, RANK = 6, 3, 2


class SelectiveScan(nn.Module):
    """Tokens through a short causal convolution, and a linear recurrence whose coefficients depend on them."""

    def __init__(self, *, by_einsum: bool) -> None:
        super().__init__()
        self.by_einsum = by_einsum
        self.embed = nn.Embedding(9, WIDTH)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.mix = nn.Conv1d(2 * WIDTH, 2 * WIDTH, 4, padding=3, groups=2 * WIDTH)
        self.select = nn.Linear(2 * WIDTH, RANK + 2 * STATES, bias=False)
        self.step = nn.Linear(RANK, 2 * WIDTH)
        self.log_decay = nn.Parameter(torch.rand(2 * WIDTH, STATES))
        self.skip = nn.Parameter(torch.ones(2 * WIDTH))
        self.narrow = nn.Linear(2 * WIDTH, WIDTH, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        length = x.shape[1]
        signal, gate = self.widen(x).chunk(2, dim=-1)
        signal = self.mix(signal.transpose(1, 2))[:, :, :length].transpose(1, 2)
        return x + self.narrow(self.scan(F.silu(signal)) * F.silu(gate))

    def scan(self, signal: Tensor) -> Tensor:
        batch, length, width = signal.shape
        rate, entering, leaving = self.select(signal).split([RANK, STATES, STATES], dim=-1)
        rate = F.softplus(self.step(rate))
        if self.by_einsum:
            decay = torch.exp(torch.einsum("btw,ws->btws", rate, -self.log_decay.exp()))
            driven = torch.einsum("btw,bts,btw->btws", rate, entering, signal)
        else:
            decay = torch.exp(-rate.unsqueeze(-1) * self.log_decay.exp())
            driven = (rate * signal).unsqueeze(-1) * entering.unsqueeze(2)
        state = torch.zeros(batch, width, STATES, device=signal.device, dtype=signal.dtype)
        outputs = []
        for t in range(length):
            state = decay[:, t] * state + driven[:, t]
            outputs.append(torch.einsum("bws,bs->bw", state, leaving[:, t]))
        return torch.stack(outputs, dim=1) + signal * self.skip


@pytest.mark.slow  # a Mamba of the zoos is judged
@pytest.mark.parametrize("by_einsum", [True, False])
def test_a_selective_scan_takes_any_batch(by_einsum: bool) -> None:
    """An einsum of three tensors had its path chosen by opt_einsum, which took the batch for a number."""
    torch.manual_seed(0)
    model = SelectiveScan(by_einsum=by_einsum)
    converted = regauge.to_jax(model, (torch.randint(0, 9, (2, 5)),), train=True)
    (finding,) = converted.findings
    assert (finding.code, finding.where) == ("C110", "tokens")
    assert finding.text.startswith("Size 1 of tokens is fixed at 5")
    assert "test_selective_scan.py:" in finding.text  # the line of the loop
    for batch in (1, 2, 3, 7):
        tokens = torch.randint(0, 9, (batch, 5))
        expected = model(tokens)
        wanted = torch.autograd.grad(expected.square().sum(), model.log_decay)[0]

        def loss(params: Any, given: jax.Array) -> tuple[jax.Array, jax.Array]:
            outputs, _ = converted.apply(params, converted.state, given)
            return (outputs**2).sum(), outputs

        (_, found), gradients = jax.value_and_grad(loss, has_aux=True)(converted.params, tokens.numpy())
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradients["log_decay"], wanted.numpy(), rtol=1e-4, atol=1e-5)

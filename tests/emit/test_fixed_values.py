"""Numbers, flags and texts among the inputs: part of the code, with a finding that says so."""

from __future__ import annotations

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor, nn

import regauge


class Scaled(nn.Module):
    def forward(
        self, x: Tensor, start: int = 0, temperature: float = 1.0, mode: str = "up", flag: bool = True
    ) -> Tensor:
        y = x / temperature + start
        return y + 1 if flag and mode == "up" else y


def texts(converted) -> list[tuple[str, str]]:
    return [(finding.code, finding.text) for finding in converted.findings if finding.code in ("E120", "E121")]


def test_what_the_code_has_taken_in_is_said():
    converted = regauge.to_jax(Scaled(), (torch.ones(2, 3), 4, 0.5, "up", True))
    (numbers, number_text), (others, other_text) = texts(converted)
    assert (numbers, others) == ("E120", "E121")
    assert "start=4, temperature=0.5" in number_text
    assert "torch.tensor(number)" in number_text
    assert "mode='up', flag=True" in other_text
    np.testing.assert_allclose(converted(jnp.ones((2, 3)), 4, 0.5, "up", True), np.full((2, 3), 7.0))


def test_an_array_stays_an_input():
    converted = regauge.to_jax(Scaled(), (torch.ones(2, 3), torch.tensor(4), torch.tensor(0.5)))
    assert texts(converted) == []
    np.testing.assert_allclose(converted(jnp.ones((2, 3)), 1, 2.0), np.full((2, 3), 2.5))


def test_numbers_of_a_jax_function_too_and_those_in_containers():
    def scaled(x, options, start=0):
        return x / options["temperature"] + start

    converted = regauge.to_torch(scaled, (np.ones((2, 3), np.float32), {"temperature": 0.5}, 4))
    ((code, text),) = texts(converted)
    assert code == "E120"
    assert "options['temperature']=0.5, start=4" in text
    assert "jnp.asarray(number)" in text


def test_keyword_arguments_stand_in_the_order_of_the_original():
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x, deterministic=True):
            return linen.Dropout(0.5, deterministic=deterministic)(linen.Dense(3)(x))

    net, x = Net(), np.ones((2, 4), np.float32)
    converted = regauge.to_torch((net, net.init(jax.random.key(0), x)), (x,), {"deterministic": True})
    assert "def forward(self, x, deterministic=True):" in converted.source
    assert texts(converted)[0][0] == "E121"
    np.testing.assert_allclose(converted(torch.ones(2, 4)).shape, (2, 3))

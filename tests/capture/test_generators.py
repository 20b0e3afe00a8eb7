"""`generator=None` is no generator; one of the model's own is refused, in every operator that takes one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import regauge
from regauge.capture.torch_export import capture_module
from regauge.errors import CaptureError

Draw = Callable[[Tensor, torch.Generator | None], Tensor]
X = torch.ones(4, 3)

# the operator in the graph, and the call that makes it
PLAIN: dict[str, Draw] = {
    "aten.rand.default": lambda x, g: torch.rand(x.shape, generator=g),
    "aten.randn.default": lambda x, g: torch.randn(x.shape, generator=g, dtype=torch.float16),
    "aten.randint.default": lambda x, g: torch.ops.aten.randint.generator(5, [3], generator=g),
    "aten.randint.low": lambda x, g: torch.randint(2, 5, x.shape, generator=g),
    "aten.randperm.default": lambda x, g: torch.randperm(3, generator=g),
    "aten.rand_like.default": lambda x, g: torch.rand_like(x, generator=g),
    "aten.randn_like.default": lambda x, g: torch.randn_like(x, generator=g),
    "aten.randint_like.default": lambda x, g: torch.randint_like(x, 5, generator=g),
    "aten.randint_like.low_dtype": lambda x, g: torch.randint_like(x, 2, 5, generator=g),
    "aten.bernoulli.default": lambda x, g: torch.bernoulli(x, generator=g),
    "aten.normal_functional.default": lambda x, g: torch.empty_like(x).normal_(generator=g),
    "aten.multinomial.default": lambda x, g: torch.multinomial(x, 2, generator=g),
}


class Noisy(nn.Module):
    def __init__(self, draw: Draw, seed: int | None) -> None:
        super().__init__()
        self.draw, self.seed = draw, seed

    def forward(self, x: Tensor) -> Tensor:
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        return x.sum() + self.draw(x, generator)


@pytest.mark.parametrize("op", PLAIN)
def test_without_a_generator_the_stream_is_the_models(op: str) -> None:
    model = Noisy(PLAIN[op], None)
    assert op in {node.op for node in capture_module(model, (X,), train=False).graph.nodes}
    converted = regauge.to_jax(model, (X,))
    expected = model(X)
    assert converted.module(X.numpy()).shape == tuple(expected.shape)


@pytest.mark.parametrize("op", PLAIN)
def test_a_generator_of_the_models_own_is_refused(op: str) -> None:
    with pytest.raises(CaptureError, match=r"draws from a torch.Generator of the model's own") as caught:
        capture_module(Noisy(PLAIN[op], 3), (X,), train=False)
    assert caught.value.code == "C174"
    assert caught.value.where is not None
    assert "test_generators.py" in caught.value.where
    assert "leave generator out" in caught.value.next

"""`max_norm` of embeddings: rows that are looked up are scaled in the parameter, and training goes on from those."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flax import nnx
from torch import Tensor, nn

import regauge
from regauge.run import jax_emit, torch_capture
from regauge.run.jax_source import load_sources

WORDS = torch.tensor([[1, 2, 1], [1, 5, 6]])


class Lookup(nn.Module):
    def __init__(self, order: float = 2.0) -> None:
        super().__init__()
        self.words = nn.Embedding(8, 4, padding_idx=6, max_norm=1.0, norm_type=order)
        self.head = nn.Linear(4, 3)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.words(words).mean(1))


class Bags(Lookup):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(8, 4, max_norm=0.5, mode="sum")

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.words(words))


class Own(Lookup):
    """Without a module, and without the gradient of the table."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(8, 4), requires_grad=False)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(F.embedding(words, self.words, max_norm=1.0).mean(1))


class Tied(Lookup):
    """The table is read again, after its rows were scaled."""

    def forward(self, words: Tensor) -> Tensor:
        return self.words(words) @ self.words.weight.T


class Twice(Lookup):
    """The second lookup finds rows that the first has scaled."""

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.words(words)) + self.head(self.words(words + 1))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "embedding": Lookup,
    "norm of order 1": lambda: Lookup(1.0),
    "bags": Bags,
    "own": Own,
    "tied": Tied,
    "twice": Twice,
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS[name]().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # rows on both sides of the norm
    return model


def state_of(module: nnx.Module) -> dict[str, np.ndarray]:
    """The parameters by name, as torch has them: tables have the same layout, and so does a bias."""
    flat = nnx.to_flat_state(nnx.state(module, nnx.Not(nnx.RngState)))
    return {".".join(map(str, path)): np.asarray(variable[...]) for path, variable in flat}


def table_of(arrays: dict[str, Any]) -> Any:
    (table,) = (array for name, array in arrays.items() if "words" in name)
    return table


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("train", [False, True])
def test_rows_are_scaled_as_in_torch(name: str, train: bool) -> None:
    with jax.enable_x64(True):
        model = made(name)
        before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        converted = regauge.to_jax(model, (WORDS,), train=train)
        assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())

        expected = model(WORDS)
        cotangent = torch.randn(expected.shape, dtype=torch.float64)
        (expected * cotangent).sum().backward()
        scaled = table_of(model.state_dict())
        moved = (scaled != table_of(before)).any(1)
        assert moved.any()
        assert not moved.all()

        def loss(module: Any) -> Any:
            outputs = module(jnp.asarray(WORDS.numpy()))
            return (outputs * cotangent.numpy()).sum(), outputs

        slopes, outputs = nnx.grad(loss, has_aux=True)(converted.module)
        np.testing.assert_allclose(outputs, expected.detach(), rtol=1e-10)
        np.testing.assert_allclose(table_of(state_of(converted.module)), scaled, rtol=1e-10)
        if name != "own":
            flat = {".".join(map(str, path)): np.asarray(v[...]) for path, v in nnx.to_flat_state(slopes)}
            gradient = next(p.grad for n, p in model.named_parameters() if "words" in n)
            np.testing.assert_allclose(table_of(flat), gradient, rtol=1e-10, atol=1e-12)


def test_the_finding_names_the_parameter() -> None:
    found = [f for f in regauge.to_jax(made("bags"), (WORDS,)).findings if f.code == "C244"]
    assert len(found) == 1
    assert "words.weight" in found[0].text


def case() -> regauge.Case:
    model = made("embedding").float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    targets = torch.tensor([0, 2])
    return regauge.Case(model=model, inputs=(WORDS,), targets=targets, loss=nn.CrossEntropyLoss(), optimizer=optimizer)


def test_training_goes_on_from_the_scaled_rows(tmp_path: Path) -> None:
    capture, folder = tmp_path / "capture", tmp_path / "folder"
    capture.mkdir()
    torch_capture.run({"case": f"{__file__}:case", "out": str(capture)})
    jax_emit.run({"capture": str(capture), "folder": str(folder)})
    modules = load_sources({name: (folder / f"{name}.py").read_text() for name in ("ops", "model", "train")})
    train = modules["train"]
    graphdef, params, state, slots = train.init(modules["model"].load(folder))
    step = train.make_train_step(graphdef)

    original = case()
    for _ in range(3):
        original.optimizer.zero_grad()
        loss = original.loss(original.model(WORDS), original.targets)
        loss.backward()
        original.optimizer.step()
        inputs = (jnp.asarray(WORDS.numpy()),)
        params, state, slots, found = step(params, state, slots, inputs, jnp.asarray(original.targets.numpy()))
        np.testing.assert_allclose(found, loss.item(), rtol=1e-5)
        table = original.model.words.weight.detach()
        np.testing.assert_allclose(params["words"]["weight"], table, rtol=1e-5, atol=1e-6)

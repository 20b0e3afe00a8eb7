"""Attributes of emitted modules: the original's names, also inside containers that are never called."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import regauge
from regauge.emit.attributes import attribute_paths, container_text


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["fc", "norm"], [("fc",), ("norm",)]),
        (["h.1", "h.0"], [("h", 1), ("h", 0)]),
        (["body.h.0", "body.h.1", "body.ln"], [("body", "h", 0), ("body", "h", 1), ("body", "ln")]),
        (["layers.0.0", "layers.0.1"], [("layers", 0, 0), ("layers", 0, 1)]),
        (["layers.0.norm", "layers.1.norm"], [("layers", 0, "norm"), ("layers", 1, "norm")]),
        (["net.0", "net.2"], [("net_0",), ("net_2",)]),  # a list with gaps would need other numbers
        (["heads.keys", "heads.x"], [("heads_keys",), ("heads_x",)]),  # nnx.Dict has a method of that name
        (["0", "1"], [("layer0",), ("layer1",)]),
        (["train", "train_2"], [("train_2",), ("train_2_2",)]),
        (["a", "a.position"], [("a",), ("a_position",)]),
    ],
)
def test_paths(names, paths):
    assert attribute_paths(names, {"train"}) == dict(zip(names, paths, strict=True))


def test_text_of_containers():
    items = {("h", 1): "Block(1)", ("h", 0): "Block(0)", ("ln",): "Norm()"}
    assert container_text(items) == "nnx.Dict(h=nnx.List([Block(0), Block(1)]), ln=Norm())"
    assert container_text({(0,): "F()", (1,): "F()"}) == "nnx.List([F() for _ in range(2)])"


class Block(nn.Module):
    """A module that is called, whose weight its parent reads too, and that holds a literal tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.position = nn.Parameter(torch.randn(4))

    def forward(self, x):
        return self.fc(x)[:, [1, 0, 3, 2]] * torch.tensor([1.0, 2.0, 3.0, 4.0])


class Encoder(nn.Module):
    """A module that is called, and of which one part is called from outside too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        return self.fc(x).relu()


class Containers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"h": nn.ModuleList(Block() for _ in range(2)), "ln": nn.LayerNorm(4)})
        self.encoder = Encoder()
        self.scales = nn.ParameterList([torch.rand(4), torch.rand(4)])

    def forward(self, x):
        for block, scale in zip(self.body["h"], self.scales, strict=True):
            x = block(x) * scale + block.position
        x = self.body["ln"](x) + self.encoder.norm(x)
        return self.encoder(x)[:, [-1]] + torch.tensor([0.5])


def test_containers_keep_their_names_and_every_weight_has_one_place():
    torch.manual_seed(0)
    model, x = Containers().eval(), torch.randn(3, 4)
    converted = regauge.to_jax(model, (x,))
    np.testing.assert_allclose(converted(jnp.asarray(x.numpy())), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    for text in ("self.body = nnx.Dict(", "self.scales = nnx.List(", "self.encoder = nnx.Dict("):
        assert text in converted.source
    assert {"scales.1", "encoder.fc.kernel", "body.ln.scale"} <= {
        ".".join(map(str, path)) for path in _paths(converted.params)
    }
    assert "Buffer" not in converted.source  # literals are written where they are read


def _paths(tree, prefix=()):
    if isinstance(tree, dict) or hasattr(tree, "items"):
        return [path for key, item in tree.items() for path in _paths(item, (*prefix, key))]
    return [prefix]

"""Maps of real modules: inferred from the names that both frameworks give, then judged by what the models compute."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen, nnx

from regauge.weights.pairing import TensorInfo, infer


def torch_infos(module, values=True):
    parameters = dict(module.named_parameters())
    return [
        TensorInfo(name, tuple(t.shape), str(t.dtype).removeprefix("torch."),
                   "parameter" if name in parameters else "buffer", values=t.detach().numpy() if values else None)
        for name, t in module.state_dict().items()
    ]  # fmt: skip


def tree_infos(tree, values=True):
    found = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    return [
        TensorInfo(name, tuple(a.shape), a.dtype.name, "buffer" if "batch_stats" in name else "parameter",
                   values=np.asarray(a) if values else None)
        for name, a in found.items()
    ]  # fmt: skip


def filled(tree, arrays):
    return jax.tree_util.tree_map_with_path(lambda path, leaf: jnp.asarray(arrays[jax.tree_util.keystr(path)]), tree)


def mapped(module, tree):
    """The tree with torch's weights, through the map that names and shapes alone give."""
    found = infer(torch_infos(module, False), tree_infos(tree, False)).require()
    return filled(tree, found.to_targets({name: t.numpy() for name, t in module.state_dict().items()}))


def randomised(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1)
    return module.eval()


class LinenLstm(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.RNN(linen.OptimizedLSTMCell(7))(x)


class LinenGru(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.RNN(linen.GRUCell(6))(x)


@pytest.mark.parametrize(("ours", "theirs"), [(torch.nn.LSTM(5, 7), LinenLstm()), (torch.nn.GRU(5, 6), LinenGru())])
def test_recurrent_layers_compute_the_same_through_the_map(ours, theirs):
    x = np.random.default_rng(0).standard_normal((2, 4, 5)).astype(np.float32)
    randomised(ours)
    ours.batch_first = True
    params = mapped(ours, theirs.init(jax.random.key(0), x))
    expected, _ = ours(torch.from_numpy(x))
    np.testing.assert_allclose(theirs.apply(params, x), expected.detach(), atol=2e-6)


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
            torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
            torch.nn.Conv2d(8, 8, 3, padding=1, groups=8), torch.nn.ReLU(),
        )  # fmt: skip
        self.head = torch.nn.Linear(8, 8)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.BatchNorm(use_running_average=True)(linen.Conv(8, (3, 3))(x)))
        x = linen.relu(linen.BatchNorm(use_running_average=True)(linen.Conv(8, (3, 3))(x)))
        x = linen.relu(linen.Conv(8, (3, 3), feature_group_count=8)(x))
        return linen.Dense(8)(x.mean((1, 2)))


def test_a_sequence_of_layers_is_counted_layer_by_layer():
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype(np.float32)
    ours, theirs = randomised(TorchNet()), LinenNet()
    variables = mapped(ours, theirs.init(jax.random.key(0), x))
    expected = ours(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(theirs.apply(variables, x), expected.detach(), rtol=1e-5, atol=1e-3)


def test_multi_head_attention_computes_the_same_through_the_map():
    """in_proj_weight against three kernels with an axis of heads; the order q, k, v is documented by torch."""
    x = np.random.default_rng(0).standard_normal((2, 5, 12)).astype(np.float32)
    ours = randomised(torch.nn.MultiheadAttention(12, 3, batch_first=True))
    theirs = linen.MultiHeadDotProductAttention(3)
    params = mapped(ours, theirs.init(jax.random.key(0), x))
    tensor = torch.from_numpy(x)
    np.testing.assert_allclose(theirs.apply(params, x), ours(tensor, tensor, tensor)[0].detach(), rtol=1e-5, atol=1e-5)


def test_a_transposed_convolution_is_recognised_by_its_values():
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 3)).astype(np.float32)
    ours = randomised(torch.nn.ConvTranspose2d(3, 3, 3, stride=2))
    theirs = nnx.ConvTranspose(3, 3, (3, 3), strides=2, padding="VALID", rngs=nnx.Rngs(0))
    theirs.kernel[...] = jnp.asarray(ours.weight.detach().numpy().transpose(2, 3, 0, 1)[::-1, ::-1])
    theirs.bias[...] = jnp.asarray(ours.bias.detach().numpy())
    expected = ours(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(theirs(x), expected, rtol=1e-5)
    state = {".".join(map(str, path)): np.asarray(v.get_value()) for path, v in nnx.to_flat_state(nnx.state(theirs))}
    converted = [TensorInfo(name, a.shape, a.dtype.name, values=a) for name, a in state.items()]
    found = infer(torch_infos(ours), converted).require()
    assert ("flip", (0, 1)) in found.by_target["kernel"][0].layout
    np.testing.assert_array_equal(found.to_targets({n: t.numpy() for n, t in ours.state_dict().items()})["kernel"],
                                  state["kernel"])  # fmt: skip
    bare = infer(
        torch_infos(ours, False), [TensorInfo(c.name, c.shape, module_type="ConvTranspose") for c in converted]
    )
    assert [a.name for a in bare.ambiguities] == ["weight"], "without values the flip is open"

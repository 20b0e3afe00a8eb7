"""`torch.func` inside a model: the transformations of JAX, of the same functions."""

from __future__ import annotations

import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn
from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
from torch.func import functional_call, grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vjp, vmap

import regauge

X = torch.linspace(-1, 1, 20).reshape(5, 4)


class Net(nn.Module):
    """Has a network of its own, and runs a function of it and of x."""

    def __init__(self, run) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.run = run

    def forward(self, x: Tensor):
        return self.run(self.net, x)


def forces(net, x):
    def energy(x):
        return net(x).sum()

    return -grad(energy)(x)


def with_value(net, x):
    def energy(x, scale):
        return (net(x) * scale).sum()

    (by_x, by_scale), value = grad_and_value(energy, argnums=(0, 1))(x, x.mean())
    return by_x, by_scale, value


def with_features(net, x):
    def energy(x):
        h = net(x)
        return h.sum(), h

    gradient, h = grad(energy, has_aux=True)(x)
    return gradient * h


def of_each_sample(net, x):
    def loss(row):
        return net(row).squeeze().square()

    return vmap(grad(loss))(x)


def curvature(net, x):
    return hessian(lambda r: torch.sin(r).prod())(x[0])


def laplacian(net, x):
    return vmap(lambda r: torch.trace(hessian(lambda r: net(r).squeeze())(r)))(x)


def as_a_mask_function(net, x):
    def entry(row, column):
        return y[row, column]

    y, steps = net(x), torch.arange(len(x))
    with TransformGetItemToIndex():  # an index is a tensor then, not a number of Python
        return vmap(entry)(steps, 0 * steps)


def pulled(net, x):
    y, pull = vjp(lambda x: net(x) * x.sum(0), x)
    return y + pull(x)[0]


def with_parameters(net, x):
    def loss(parameters, x):
        return functional_call(net, parameters, (x,)).square().mean()

    found = grad(loss)(dict(net.named_parameters()), x)
    return found["0.weight"].sum(0) + x


CASES = {
    "vmap": lambda net, x: vmap(lambda r: torch.dot(r, r) + net(r))(x),
    "vmap, other axes": lambda net, x: vmap(lambda a, b: a.cumsum(0) * b, in_dims=(1, None), out_dims=1)(x, x[:, 0]),
    "vmap that indexes by tensors": as_a_mask_function,
    "vmap in vmap": lambda net, x: vmap(vmap(lambda a, b: (a * b).sum(), in_dims=(None, 0)), in_dims=(0, None))(x, x),
    "grad": forces,
    "grad_and_value": with_value,
    "grad with features": with_features,
    "grad of each sample": of_each_sample,
    "grad by parameters": with_parameters,
    "jvp": lambda net, x: jvp(net, (x,), (x.flip(0),)),
    "vjp": pulled,
    "jacrev": lambda net, x: jacrev(lambda r: torch.sin(r) * net(r))(x[0]),
    "jacfwd": lambda net, x: jacfwd(lambda r: torch.sin(r) * net(r))(x[0]),
    "hessian": curvature,
    "laplacian": laplacian,
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    torch.manual_seed(0)
    assert_like_torch(Net(CASES[name]), (X,))


def body_of(run) -> str:
    source = regauge.to_jax(Net(run), (X,)).source
    return source[source.index("def __call__") : source.index("def load")].strip()


def test_transformations_read_as_they_were_written():
    assert body_of(of_each_sample) == (
        "def __call__(self, x):  # [batch, 4]\n"
        "        def loss(row):\n"
        "            return jnp.square(self.net(row).squeeze())\n"
        "\n"
        "        return jax.vmap(jax.grad(loss))(x)"
    )
    assert "return jax.jacfwd(jax.jacrev(lambda r: jnp.sin(r).prod()))(x[0])" in body_of(curvature)


class Recomputes(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint, checkpoint_sequential

        x = checkpoint(self.block, x, use_reentrant=self.reentrant)
        x = checkpoint_sequential(self.block, 2, x, use_reentrant=self.reentrant)
        return checkpoint(lambda x, s: x.sin() * s, x, s=2, use_reentrant=False)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_changes_no_value_and_no_gradient(reentrant):
    torch.manual_seed(0)
    converted = assert_like_torch(Recomputes(reentrant), (X,))
    found = [finding for finding in converted.findings if finding.code == "C148"]
    assert {f.where.split(":")[0] for f in found} == {"test_transformations.py"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["case", "reentrant_case"])
def test_a_check_of_a_model_that_recomputes_counts_each_dropout_once(name, tmp_path):
    import recomputing

    found = regauge.check(f"{recomputing.__file__}:{name}", out=tmp_path, quick=True)
    assert found.equal
    assert not found.not_checked
    verdicts = {(tier.name, tier.mode): tier.verdict for tier in found.tiers}
    assert verdicts["tier 1 gradients with dropout masks", "train"] == verdicts["randomness", "train"] == "equal"

"""Correct ports by hand are equal: every pair of frameworks and every kind of JAX model."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import flax.linen as linen
import haiku as hk
import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

import regauge
from regauge.verify import Check

from .ports import cnn, gru, transformer


def answers(check: Check) -> dict[tuple[str, str], str]:
    return {(tier.name, tier.mode): tier.verdict for tier in check.tiers}


def differing(check: Check) -> list[tuple[str, str]]:
    return [(tier.name, tier.why) for tier in check.tiers if tier.verdict == "different"]


def judged(original: Any, converted: Any, *args: Any, **options: Any) -> Check:
    return regauge.check(original, converted, *args, **{"quick": True, "float32": False, **options})


@pytest.mark.parametrize(
    "module", [cnn, gru, pytest.param(transformer, marks=pytest.mark.slow)], ids=["cnn", "gru", "transformer"]
)
def test_a_correct_port_is_equal_in_both_arithmetics(module: ModuleType) -> None:
    case = module.original()
    check = judged(case, module.port(case), float32=True)
    assert differing(check) == []
    assert (check.verdict, check.first_difference, check.equal) == ("equal", "", True)
    found = answers(check)
    for mode in ("train", "eval"):
        for kind in ("outputs", "gradients"):
            assert found[f"tier 1 {kind}", mode] == found[f"tier 2 {kind}", mode] == "equal"
    assert found["weights", ""] == "equal"
    assert found["finite difference", "train"] == found["randomness", "train"] == "equal"


def test_plain_functions_need_no_weights_and_no_modes() -> None:
    x = torch.linspace(-3, 3, 24).reshape(4, 6)
    check = judged(lambda x: F.softplus(x) * torch.tanh(x), lambda x: jax.nn.softplus(x) * jnp.tanh(x), (x,))
    assert (check.verdict, differing(check)) == ("equal", [])
    assert {tier.mode for tier in check.tiers} == {"train"}
    assert "V124" in {finding.code for finding in check.findings}
    other = judged(F.gelu, jax.nn.gelu, (x,))
    assert (other.verdict, other.first_difference) == ("different", "outputs")
    assert other.sides == ("gelu", "gelu")


def test_a_kink_shows_in_the_gradient_alone() -> None:
    check = judged(lambda x: torch.relu(x), lambda x: jnp.maximum(x, 0), (torch.randn(4, 6),))
    names = [name for name, _ in differing(check)]
    assert names == ["tier 1 input gradients"]
    assert "inputs.0" in differing(check)[0][1]


def test_a_jax_original_and_its_torch_port() -> None:
    case = gru.original()
    check = judged(gru.port(case), case)
    assert (check.verdict, differing(check)) == ("equal", [])
    assert check.first_difference == ""


def test_dropout_masks_of_a_jax_original_reach_the_torch_port() -> None:
    case = transformer.original()
    check = judged(transformer.port(case), case)
    assert (check.verdict, differing(check)) == ("equal", [])
    found = answers(check)
    assert found["tier 1 gradients with dropout masks", "train"] == found["randomness", "train"] == "equal"
    assert found["trajectory optax", "train"] == "equal"


@pytest.mark.slow
def test_two_of_torch_and_two_of_jax() -> None:
    case = gru.original()
    assert judged(case, gru.original()).verdict == "equal"
    other = judged(case, gru.original(seed=1))
    assert (other.verdict, other.first_difference) == ("different", "rnn")
    assert [name for name, _ in differing(other)] == ["weights"]
    assert "V160" in {finding.code for finding in other.findings}
    ports = judged(gru.port(case), gru.port(case, "gates exchanged"))
    assert ports.verdict == "different"
    assert ports.first_difference == "rnn"
    assert all("r * hn" in place.code or "split" in place.code for place in ports.places), ports.places


def test_equinox_and_haiku() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    x = torch.randn(5, 3)
    weights = [p.detach().numpy() for p in model.parameters()]
    module = eqx.nn.MLP(3, 2, 8, 1, activation=jnp.tanh, key=jax.random.key(0))
    places = lambda m: [m.layers[0].weight, m.layers[0].bias, m.layers[1].weight, m.layers[1].bias]  # noqa: E731
    module = eqx.tree_at(places, module, [jnp.asarray(array) for array in weights])
    check = judged(model, (lambda module, x: jax.vmap(module)(x), module), (x,))
    assert (check.verdict, differing(check)) == ("equal", [])

    transformed = hk.transform(lambda x: hk.nets.MLP([8, 2], activation=jnp.tanh)(x))
    params = {
        f"mlp/~/linear_{i}": {"w": jnp.asarray(weights[2 * i].T), "b": jnp.asarray(weights[2 * i + 1])}
        for i in range(2)
    }
    check = judged(model, (transformed, params), (x,))
    assert (check.verdict, differing(check)) == ("equal", [])
    assert judged((transformed, params), (lambda m, x: jax.vmap(m)(x), module), (x,)).verdict == "equal"


def test_float32_inside_a_jax_model_is_not_checked_with_its_line() -> None:
    case = transformer.original()
    check = judged(case, transformer.port(case, "softmax in float32"))
    assert check.verdict == "not checked"
    outputs = next(tier for tier in check.tiers if tier.name == "tier 1 outputs")
    assert outputs.verdict == "not checked"
    source = Path(transformer.__file__).read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(source, start=1) if "astype(np.float32)" in text)
    assert outputs.why == (
        f"the code of the converted model computes in float32 at {transformer.__file__}:{line}: float64 cannot judge it"
    )


def test_float32_that_code_names_is_widened() -> None:
    def original(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x.float(), -1).to(x.dtype)

    def port(x: jax.Array) -> jax.Array:
        return jax.nn.softmax(x.astype(jnp.float32), -1).astype(x.dtype)

    assert judged(original, port, (torch.randn(3, 4),)).verdict == "equal"


def test_the_models_and_the_process_stay_as_they_are() -> None:
    case = cnn.original()
    converted = cnn.port(case, "batch norm eps")
    before = [tensor.clone() for tensor in case.model.state_dict().values()]
    dtypes = jax.tree.map(lambda leaf: str(leaf.dtype), nnx.state(converted.model))
    check = judged(case, converted)
    assert (check.verdict, check.first_difference) == ("different", "norm")
    after = list(case.model.state_dict().values())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert jax.tree.map(lambda leaf: str(leaf.dtype), nnx.state(converted.model)) == dtypes
    assert (torch.get_default_dtype(), jnp.ones(1).dtype, case.model.training) == (torch.float32, jnp.float32, True)
    assert jnp.float32 is not jnp.float64


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = linen.BatchNorm(use_running_average=not train, name="norm", use_fast_variance=False)(x)
        return linen.Dense(2, name="head")(x)


class NnxNet(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.norm = nnx.BatchNorm(3, use_fast_variance=False, rngs=rngs)
        self.head = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.norm(x))


def test_state_of_linen_is_that_of_nnx() -> None:
    x = torch.randn(6, 3)
    module = LinenNet()
    variables = module.init(jax.random.key(0), jnp.asarray(x.numpy()), train=True)
    port = NnxNet()
    port.head.kernel.set_value(variables["params"]["head"]["kernel"])
    check = judged((module, variables), port, (x,))
    assert (check.verdict, differing(check)) == ("equal", [])
    state = next(tier for tier in check.tiers if tier.name == "tier 1 state" and tier.mode == "train")
    assert {distance.name for distance in state.distances} == {"norm.mean", "norm.var"}
    port.norm.momentum = 0.9
    check = judged((module, variables), port, (x,))
    assert "tier 1 state" in [name for name, _ in differing(check)]


class Dropping(eqx.Module):
    drop: eqx.nn.Dropout
    head: eqx.nn.Linear

    def __call__(self, x: jax.Array, key: jax.Array) -> jax.Array:
        return jax.vmap(self.head)(self.drop(x, key=key))


@pytest.mark.parametrize("rate", [0.3, 0.4])
def test_dropout_of_equinox(rate: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 2))
    linear = eqx.nn.Linear(8, 2, key=jax.random.key(0))
    arrays = [jnp.asarray(p.detach().numpy()) for p in model[1].parameters()]
    linear = eqx.tree_at(lambda m: [m.weight, m.bias], linear, arrays)
    check = judged(model, Dropping(eqx.nn.Dropout(rate), linear), (torch.randn(16, 8),))
    assert answers(check)["tier 1 gradients", "eval"] == "equal"
    assert answers(check)["randomness", "train"] == ("equal" if rate == 0.3 else "different")
    assert answers(check)["tier 1 outputs with dropout masks", "train"] == ("equal" if rate == 0.3 else "different")


def test_two_biases_of_torch_that_the_port_holds_the_sum_of() -> None:
    torch.manual_seed(0)
    model = nn.RNN(3, 4, batch_first=True)
    weights = {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}
    params = {"w_ih": weights["weight_ih_l0"], "w_hh": weights["weight_hh_l0"]}
    params["bias"] = weights["bias_ih_l0"] + weights["bias_hh_l0"]

    def port(params: Any, x: jax.Array) -> Any:
        def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            h = jnp.tanh(x @ params["w_ih"].T + h @ params["w_hh"].T + params["bias"])
            return h, h

        last, states = jax.lax.scan(step, jnp.zeros((len(x), 4), x.dtype), x.swapaxes(0, 1))
        return states.swapaxes(0, 1), last[None]

    check = judged(model, (port, params), (torch.randn(2, 5, 3),))
    assert (check.verdict, differing(check)) == ("equal", [])
    gradients = next(tier for tier in check.tiers if tier.name == "tier 1 gradients")
    assert "bias_hh_l0 + bias_ih_l0" in {distance.name for distance in gradients.distances}


class States(nn.Module):
    """The states of a recurrent layer, without its last ones."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.rnn = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


class Unrolled(linen.Module):
    """A cell of Linen over a sequence, made where it is used: its first carry has the dtype of its parameters."""

    cell: type[Any]

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return linen.RNN(self.cell(5))(x)


def cell_weights(layer: nn.Module, gates: str, apart: str = "") -> dict[str, Any]:
    """The weights of a torch layer as Linen's cells hold them: gate by gate, two biases as their sum.

    Args:
        layer: of torch.
        gates: in torch's order.
        apart: the gate whose two biases stay apart, if there is one.
    """
    own = {name: parameter.detach().numpy() for name, parameter in layer.named_parameters()}
    cell: dict[str, Any] = {}
    for place, gate in enumerate(gates):
        rows = slice(5 * place, 5 * place + 5)
        ours, theirs = own["bias_ih_l0"][rows], own["bias_hh_l0"][rows]
        cell[f"i{gate}"] = {"kernel": own["weight_ih_l0"][rows].T}
        cell[f"h{gate}"] = {"kernel": own["weight_hh_l0"][rows].T}
        if gate == apart:
            cell[f"i{gate}"]["bias"], cell[f"h{gate}"]["bias"] = ours, theirs
        else:
            cell[f"{'i' if apart else 'h'}{gate}"]["bias"] = ours + theirs
    return jax.tree.map(jnp.asarray, cell)


RECURRENT = [
    (nn.LSTM, linen.OptimizedLSTMCell, "OptimizedLSTMCell_0", "ifgo", ""),
    (nn.GRU, linen.GRUCell, "GRUCell_0", "rzn", "n"),
]


@pytest.mark.parametrize(("layer", "cell", "name", "gates", "apart"), RECURRENT, ids=["LSTM", "GRU"])
def test_recurrent_layers_of_torch_and_cells_of_linen(
    layer: type[nn.Module], cell: type[Any], name: str, gates: str, apart: str
) -> None:
    torch.manual_seed(0)
    model = layer(4, 5, batch_first=True)
    weights, x = cell_weights(model, gates, apart), torch.randn(3, 6, 4)
    check = judged(States(model), (Unrolled(cell), {"params": {name: weights}}), (x,))
    assert (check.verdict, differing(check)) == ("equal", [])
    assert answers(check)["tier 1 outputs", "train"] == answers(check)["weights", ""] == "equal"
    # every place of a sum is compared, and the piece of a bias that is not added as well
    compared = {d.name for tier in check.tiers if tier.name == "tier 1 gradients" for d in tier.distances}
    sums = {n for n in compared if "rnn.bias_hh_l0 + rnn.bias_ih_l0 in " in n}
    assert len(sums) == len(gates) - len(apart)
    assert len(compared) == 2 + len(sums) + 2 * len(apart)

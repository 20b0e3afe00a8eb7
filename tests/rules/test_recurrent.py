from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from harness import Sample, check, sample

from regauge.rules.aten_to_jax import recurrent

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
FEATURES, HIDDEN, BATCH, TIME = 3, 4, 2, 5


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) * 0.5


def weights(kind: str, layers: int, directions: int, biases: bool, projection: int = 0) -> list[torch.Tensor]:
    found = []
    rows, output = GATES[kind] * HIDDEN, projection or HIDDEN
    for layer, direction in product(range(layers), range(directions)):
        seed = 10 * (2 * layer + direction)
        found += [
            normal(rows, output * directions if layer else FEATURES, seed=seed),
            normal(rows, output, seed=seed + 1),
        ]
        found += [normal(rows, seed=seed + 2), normal(rows, seed=seed + 3)] if biases else []
        found += [normal(output, HIDDEN, seed=seed + 4)] if projection else []
    return found


def network(kind: str, layers: int, directions: int, biases: bool, batch_first: bool, projection: int = 0) -> Sample:
    x = normal(BATCH, TIME, FEATURES) if batch_first else normal(TIME, BATCH, FEATURES)
    h = normal(layers * directions, BATCH, projection or HIDDEN)
    states = [h, normal(layers * directions, BATCH, HIDDEN, seed=9)] if kind == "lstm" else h
    params = weights(kind, layers, directions, biases, projection)
    return sample(f"{kind}.input", x, states, params, biases, layers, 0.0, True, directions == 2, batch_first)


def padded(kind: str, *options: int | bool, lengths: tuple[int, ...] = (3, 5)) -> Sample:
    """The sample of `network` with these options, and with lengths."""
    x, *rest = network(kind, *options).args
    return Sample(f"regauge.{kind}_padded.default", (x, torch.tensor(lengths), *rest), {})


def cell(kind: str, biases: bool) -> Sample:
    h = normal(BATCH, HIDDEN)
    states = [h, normal(BATCH, HIDDEN, seed=9)] if kind == "lstm" else h
    return sample(f"{kind}_cell.default", normal(BATCH, FEATURES), states, *weights(kind, 1, 1, biases))


SAMPLES = [
    *(network(kind, 1, 1, True, True) for kind in GATES),
    *(network(kind, 2, 2, True, False) for kind in GATES),
    *(network(kind, 1, 1, False, False) for kind in GATES),
    network("lstm", 2, 2, True, True, projection=2),
    *(padded(kind, 1, 1, True, True) for kind in GATES),
    *(padded(kind, 2, 2, True, False) for kind in GATES),
    padded("lstm", 2, 2, False, True, 2, lengths=(4, 1)),
    padded("gru", 1, 2, True, True, lengths=(5, 5)),
    *(cell(kind, biases) for kind, biases in product(GATES, (True, False))),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_recurrent(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("kind", GATES)
def test_dropout_acts_between_layers_only(kind: str) -> None:
    """A dropout that keeps nothing: the second layer sees zeros, and the first one's state is as without."""
    case = network(kind, 2, 1, True, True)
    arrays = [jnp.asarray(v.numpy()) if isinstance(v, torch.Tensor) else v for v in case.args]
    arrays[1] = tuple(jnp.asarray(t.numpy()) for t in case.args[1]) if kind == "lstm" else arrays[1]
    arrays[2] = tuple(jnp.asarray(t.numpy()) for t in case.args[2])
    arrays[5] = jnp.zeros_like
    rule = {"lstm": recurrent.lstm, "gru": recurrent.gru}.get(kind) or getattr(recurrent, kind)
    output, final, *_ = rule(*arrays)
    second = [t[1:] for t in case.args[1]] if kind == "lstm" else case.args[1][1:]
    operator = getattr(torch.ops.aten, kind).input
    zeros = torch.zeros(BATCH, TIME, HIDDEN)
    expected = operator(zeros, second, case.args[2][4:], True, 1, 0.0, True, False, True)[0]
    plain = operator(*case.args)[1]
    np.testing.assert_allclose(output, expected.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(final[0], plain[0].numpy(), rtol=1e-5, atol=1e-6)


def test_what_stands_behind_the_end_reaches_nothing() -> None:
    """Neither outputs nor gradients, even if it is NaN: torch never sees it."""
    case = padded("lstm", 2, 2, True, True)
    x, lengths, states, params, *settings = case.args
    x, states = jnp.asarray(x.numpy()), tuple(jnp.asarray(t.numpy()) for t in states)
    params = tuple(jnp.asarray(t.numpy()) for t in params)
    behind = jnp.arange(TIME)[None, :, None] >= jnp.asarray(lengths.numpy())[:, None, None]

    def total(given: jnp.ndarray, weights: tuple[jnp.ndarray, ...]) -> jnp.ndarray:
        output, h, c = recurrent.lstm_padded(given, jnp.asarray(lengths.numpy()), states, weights, *settings)
        return (output**2).sum() + h.sum() + (c**3).sum()

    derivative = jax.value_and_grad(total, argnums=(0, 1))
    (value, found), (wanted, expected) = derivative(jnp.where(behind, jnp.nan, x), params), derivative(x, params)
    assert value == wanted
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.asarray(found[0])[np.broadcast_to(behind, x.shape)].any()

"""State that a call changes after its old value was read, or that becomes an array which no operator makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from comparing_jax import assert_same, converted, original
from flax import nnx
from torch import nn

import regauge

X = jax.random.normal(jax.random.key(0), (2, 4))
PARAMS = {"w": jnp.array([1.0, 2.0, 3.0, 4.0])}
ZEROS, ONES = jnp.zeros(4), jnp.ones(4)
Function = Callable[[Any, Any, Any], Any]

# a function of parameters, state and input, and its state
STATEFUL: dict[str, tuple[Function, dict[str, Any]]] = {
    "the input": (lambda p, s, x: (x * p["w"] + s["a"], {"a": x}), {"a": jnp.zeros((2, 4))}),
    "the input, which nothing reads": (lambda p, s, x: (x * p["w"], {"a": x}), {"a": jnp.zeros((2, 4))}),
    "a number": (lambda p, s, x: (x * p["w"] + s["a"], {"a": jnp.float32(2)}), {"a": jnp.float32(0)}),
    "a truth": (lambda p, s, x: (jnp.where(s["a"], x * p["w"], x), {"a": jnp.array(False)}), {"a": jnp.array(True)}),
    "a parameter": (lambda p, s, x: (x * p["w"] + s["a"], {"a": p["w"]}), {"a": ZEROS}),
    "each other's": (lambda p, s, x: (x * p["w"], {"a": s["b"], "b": s["a"]}), {"a": ZEROS, "b": ONES}),
    "one step later": (lambda p, s, x: (x * p["w"], {"a": x[0], "b": s["a"]}), {"a": ZEROS, "b": ONES}),
    "returned before": (lambda p, s, x: ((x * p["w"], s["a"]), {"a": s["a"] + 1}), {"a": ZEROS}),
    "a view is returned": (lambda p, s, x: ((x * p["w"], s["a"][:, None]), {"a": s["a"] + 1}), {"a": ZEROS}),
    "a gradient reads it": (lambda p, s, x: (x * p["w"] * s["a"], {"a": s["a"] + 1}), {"a": ONES}),
    "the result reads it": (lambda p, s, x: (lambda new: (x * p["w"] + s["a"], {"a": new}))(s["a"] + 1), {"a": ONES}),
}  # fmt: skip


@pytest.mark.parametrize("name", STATEFUL)
def test_new_state_of_a_function_of_jax(name: str) -> None:
    function, state = STATEFUL[name]
    assert_same((function, PARAMS, state), (X,), train=True)


def test_what_no_gradient_reads_has_no_copy() -> None:
    def average(params: Any, state: Any, x: Any) -> Any:
        return x * params["w"], {"mean": 0.9 * state["mean"] + 0.1 * x.mean(0)}

    made: Any = regauge.to_torch((average, PARAMS, {"mean": ZEROS}), (X,), train=True)
    assert "clone" not in made.source


class Delayed(nn.Module):
    """Keeps its last input and the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("last", torch.zeros(2, 4))
        self.register_buffer("earlier", torch.ones(2, 4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = x * self.weight + self.last - self.earlier
        before = self.earlier.clone()
        self.earlier.copy_(self.last)
        self.last.copy_(x)
        return found, before


def test_new_state_of_a_module_of_torch() -> None:
    model = Delayed()
    made: Any = regauge.to_jax(model, (torch.zeros(2, 4),), train=True)
    for step in range(3):
        x = torch.full((2, 4), float(step + 1))
        for expected, found in zip(model(x), made(jnp.asarray(x.numpy())), strict=True):
            np.testing.assert_array_equal(found, expected.detach())


def test_statistics_of_equinox_have_the_names_of_their_owners() -> None:
    eqx = pytest.importorskip("equinox")

    class Net(eqx.Module):  # type: ignore[misc, name-defined]
        conv: Any
        norms: list[Any]

        def __init__(self, mode: str) -> None:
            self.conv = eqx.nn.Conv2d(3, 4, 3, key=jax.random.key(0))
            self.norms = [eqx.nn.BatchNorm(4, "batch", mode=mode)]

        def __call__(self, x: Any, state: Any) -> Any:
            x, state = self.norms[0](self.conv(x), state)
            return jax.nn.relu(x).mean((1, 2)), state

    def mapped(model: Any, state: Any, x: Any) -> Any:
        return jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)

    images = jax.random.normal(jax.random.key(1), (3, 3, 6, 6))
    for mode, counter in (("ema", "norms.0.ema_first_time_index"), ("batch", "norms.0.batch_counter")):
        model, state = eqx.nn.make_with_state(Net)(mode)
        subject = (mapped, model, state)
        made: Any = regauge.to_torch(subject, (images,), train=True)
        assert counter in dict(made.named_buffers())
        assert [symbol.name for symbol in made._conversion.symbols] == ["batch"]
        assert made.source.count("def __getitem__") == 1
        assert isinstance(made.conv, nn.Conv2d)
        ours, theirs = original(subject, (images,), True), converted(made, [torch.from_numpy(np.array(images))])
        np.testing.assert_allclose(theirs[0][0], ours[0][0], atol=1e-5)
        for name, array in ours[2].items():
            np.testing.assert_allclose(theirs[2][name], array, atol=1e-6, err_msg=name)


class Follows(nnx.Module):
    """Keeps an average, and gives nothing."""

    def __init__(self) -> None:
        self.mean = nnx.BatchStat(jnp.zeros(4))
        self.count = nnx.Variable(jnp.zeros((), jnp.int32))

    def __call__(self, x: Any) -> None:
        self.mean[...] = 0.9 * self.mean[...] + 0.1 * x.mean(0)
        self.count[...] = self.count[...] + 1


class Followed(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.follows = Follows()
        self.layer = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        self.follows(x)
        return self.layer(x)


def test_a_module_of_jax_that_is_called_for_its_state_alone() -> None:
    made = assert_same(Followed(nnx.Rngs(0)), (X,), train=True)
    assert "self.follows(x)" in made.source
    assert "return ()" not in made.source


class TorchFollows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> None:
        self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)


class TorchFollowed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.follows = TorchFollows()
        self.norm = nn.BatchNorm1d(4)
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.follows(x)
        self.norm(2 * x)
        return self.layer(x)


def test_a_module_of_torch_that_is_called_for_its_state_alone() -> None:
    model, x = TorchFollowed(), torch.from_numpy(np.array(X))
    converted: Any = regauge.to_jax(model, (x,), train=True)
    assert "return ()" not in converted.source
    made = converted.module
    model(x)
    made(X)
    np.testing.assert_allclose(made.follows.mean[...], model.follows.mean, atol=1e-6)
    np.testing.assert_allclose(made.norm.running_mean[...], model.norm.running_mean, atol=1e-6)


class Assigned(nn.Module):
    """A buffer that a call gives a new tensor, of one shape or of another."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = x - self.last.sum()
        self.last = x.max()
        return result


class AssignedWithin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Assigned(), Assigned()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x) * 2)


def test_buffers_that_inner_modules_assign_are_stored() -> None:
    model = AssignedWithin()
    found = regauge.to_jax(model, (torch.ones(2, 4),), train=True)
    assert float(model.first.last) == float(model.second.last) == 0  # capture left the model as it was
    for number in range(1, 4):
        x = torch.arange(8.0).reshape(2, 4) * number
        assert np.allclose(found.module(jnp.asarray(x.numpy())), model(x).numpy())
    assert not [finding for finding in found.findings if finding.code == "C216"]


def test_a_buffer_that_changes_its_shape_is_left_and_said() -> None:
    findings = regauge.to_jax(nn.Sequential(Assigned((1,))), (torch.ones(2, 4),)).findings
    assert ["0.last" in finding.text for finding in findings if finding.code == "C216"] == [True]

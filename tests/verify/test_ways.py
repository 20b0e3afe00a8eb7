"""Units whose sum is nearly zero: float32 opens them on one side and shuts them on the other, and neither is wrong."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from networks.comparing import convert
from torch import Tensor, nn

import regauge
from regauge.verify import CheckOptions, check_folder
from regauge.verify.result import Check
from regauge.verify.tolerance import LIMITS
from regauge.verify.ways import MOST, Ways

UNITS = 512


class Original(nn.Module):
    """Its first unit is open: one + three + two is 2**-25, for any input."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name in ("scale", "one", "two", "three", "last"):
            setattr(self, name, nn.Parameter(torch.randn(UNITS, generator=generator)))
        with torch.no_grad():
            self.scale[0], self.one[0], self.two[0], self.three[0] = 0, 1, 2.0**-25, -1

    def forward(self, x: Tensor) -> Tensor:
        units = torch.relu(x * self.scale + ((self.one + self.three) + self.two))
        return (units * self.last).sum(-1)


TRAINED = """
import torch
from torch import Tensor, nn
import regauge

UNITS = {units}


{original}

torch.manual_seed(0)
x, y = torch.randn(4, 1), torch.randn(4)
case = regauge.Case(Original(), (x,), y, nn.functional.mse_loss, regauge.optimizers.SGD(lr=1e-4), "units")
"""


class Port(nnx.Module):
    """The same function in another order: in float32 one + two is one, and the first unit is shut."""

    def __init__(self, original: Original) -> None:
        for name, weight in original.named_parameters():
            setattr(self, name, nnx.Param(jnp.asarray(weight.detach().numpy())))

    def __call__(self, x: jax.Array) -> jax.Array:
        units = jax.nn.relu(x * self.scale[...] + ((self.one[...] + self.two[...]) + self.three[...]))
        return (units * self.last[...]).sum(-1)


@jax.custom_jvp
def too_steep(x: jax.Array) -> jax.Array:
    return x


@too_steep.defjvp
def _too_steep(primals: Any, tangents: Any) -> Any:
    """A slope of 1.0005 in float32 alone."""
    (x,), (dx,) = primals, tangents
    return x, dx * (1.0005 if x.dtype == jnp.float32 else 1.0)


class Steep(Port):
    def __call__(self, x: jax.Array) -> jax.Array:
        return too_steep(super().__call__(x))


def judged(port: type[Port]) -> Check:
    torch.manual_seed(0)
    original = Original()
    return regauge.check(original, port(original), (torch.randn(4, 1),), quick=True, locate=False)


def test_a_unit_that_rounding_shuts_on_one_side_is_no_difference() -> None:
    found = judged(Port)
    assert found.verdict == "equal", [(tier.name, tier.why) for tier in found.tiers if tier.verdict == "different"]
    gradients = [tier for tier in found.tiers if tier.name == "tier 2 gradients"]
    assert [tier.verdict for tier in gradients] == ["equal", "equal"]  # in training and evaluation, not left out
    assert all(tier.bound is not None and tier.bound < 1e-6 for tier in gradients)


def test_a_slope_that_is_off_is_found_beside_such_a_unit() -> None:
    found = judged(Steep)
    assert found.verdict == "different"
    assert {tier.name for tier in found.tiers if tier.verdict == "different"} >= {"tier 2 gradients"}


def numbers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(100)


def ways_of(*copies: np.ndarray) -> Ways:
    ways = Ways({"gradients.w": numbers(0)})
    for copy in copies:
        ways.add({"gradients.w": copy})
    return ways


def bent(size: float = 0.0) -> np.ndarray:
    """Another way: one element is off, and all by rounding of a size."""
    found = numbers(0) * (1 + size * numbers(1))
    found[3] = 0
    return found


def test_a_way_that_two_copies_went_is_known() -> None:
    ways = ways_of(numbers(0), bent(1e-7), bent(-1e-7))
    own, distance = ways.judged({"gradients.w": bent()})
    assert max(own.together, distance.together) < 1e-6
    own, distance = ways.judged({"gradients.w": bent() * 1.0001})
    assert own.together < 1e-6
    assert distance.together == pytest.approx(1e-4, rel=0.01)


def test_a_way_that_one_copy_went_alone_says_how_far_rounding_takes_it() -> None:
    own, _ = ways_of(numbers(0), bent()).judged({"gradients.w": numbers(0)})
    assert own.together == pytest.approx(np.abs(numbers(0)[3]) / np.linalg.norm(numbers(0)), rel=0.01)


def test_a_result_that_goes_a_way_of_its_own_is_held_against_how_far_the_ways_are_apart() -> None:
    ways = ways_of(numbers(0), bent(1e-7), bent(-1e-7))
    elsewhere = numbers(0)
    elsewhere[5] = 0
    own, distance = ways.judged({"gradients.w": elsewhere})
    assert min(own.together, distance.together) > LIMITS.free_pass  # the tier leaves it out
    own, _ = ways_of(numbers(0), numbers(0)).judged({"gradients.w": elsewhere})
    assert own.together == 0  # no copy parts from float64, so it is a difference


def test_copies_of_which_no_two_agree_are_not_collected_without_end() -> None:
    ways = ways_of(*(numbers(seed) for seed in range(1, 3 * MOST)))
    assert len(ways.others) == MOST
    assert ways.judged({"gradients.w": numbers(0)})[0].together > 0.5


@pytest.mark.slow
def test_training_may_shut_such_a_unit_on_one_side(tmp_path: Path) -> None:
    text = inspect.getsource(Original)
    (tmp_path / "units.py").write_text(TRAINED.format(units=UNITS, original=text), encoding="utf-8")
    network = convert(f"{tmp_path / 'units.py'}:case", tmp_path)
    model = network.folder / "model.py"
    emitted = model.read_text(encoding="utf-8")
    theirs = "self.one[...] + self.three[...] + self.two[...]"
    changed = emitted.replace(theirs, "(self.one[...] + self.two[...] + self.three[...])")
    assert changed != emitted
    model.write_text(changed, encoding="utf-8")
    (tmp_path / "work").mkdir()
    options = CheckOptions(quick=True, locate=False)
    found = check_folder(network.case, network.folder, tmp_path / "work", options=options)
    assert found.verdict == "equal", [(tier.name, tier.why) for tier in found.tiers if tier.verdict == "different"]
    narrow = next(tier for tier in found.tiers if tier.name == "trajectory SGD float32")
    assert narrow.verdict == "equal"

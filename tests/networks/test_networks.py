"""Networks of the zoo, converted, are the originals; most of them here, all and the whole check in slow tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import regauge
from networks.comparing import Arrays, Converted, Network, convert, original
from networks.zoo import NETWORKS
from regauge.verify.evaluations import of_kind
from regauge.verify.result import Check
from regauge.verify.tolerance import LIMITS, rounding_error

# Recurrence with dropout between layers; every network has the whole check.
CHECKED_QUICKLY = ("lstm",)


# Their text is a golden file, and models of transformers like them are judged.
SLOW = ("convnext", "efficientnet", "llama", "swin")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in NETWORKS],
)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return convert(NETWORKS[request.param], tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def converted(network: Network) -> Converted:
    return Converted(network)


def assert_no_worse(found: Mapping[str, np.ndarray], network: Network, name: str, kinds: tuple[str, ...]) -> None:
    """Each tensor is no further from the original in float64 than ten times the original in float32."""
    exact, own = original(network, name, widen=True), original(network, name, widen=False)
    for kind in kinds:
        expected, candidate = of_kind(exact, kind), of_kind(dict(found), kind)
        assert expected
        assert set(expected) <= set(candidate)
        beyond = {tensor for tensor in candidate if tensor not in expected and np.any(candidate[tensor])}
        assert not beyond, f"{kind} that the original does not have: {beyond}"
        allowed, distance = rounding_error(of_kind(own, kind), expected), rounding_error(candidate, expected)
        assert not distance.notes
        worse = {
            tensor: (norm, allowed.norms[tensor])
            for tensor, norm in distance.norms.items()
            if norm > LIMITS.alone * max(allowed.norms[tensor], LIMITS.floor)
        }
        assert not worse, f"{kind} on {name}, with the original's own distance: {worse}"


def test_outputs_loss_and_gradients_are_the_originals(network: Network, converted: Converted) -> None:
    assert_no_worse(converted.everything("reference"), network, "reference", ("outputs", "loss", "gradients"))


def test_another_batch_size_gives_the_originals_outputs(network: Network, converted: Converted) -> None:
    assert "other" in network.names, "the batch size should be symbolic"
    found: Arrays = converted.outputs("other")
    assert_no_worse(found, network, "other", ("outputs",))


def assert_equal(check: Check) -> None:
    """The verdict, and every tier that must have run."""
    different = [f"{tier.name}, {tier.mode}: {tier.why}" for tier in check.tiers if tier.verdict == "different"]
    assert check.equal, different
    answered = {tier.name for tier in check.tiers if tier.verdict == "equal"}
    assert answered >= {"tier 1 outputs", "tier 1 gradients", "tier 2 outputs", "finite difference", "randomness"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKED_QUICKLY)
def test_a_quick_check_says_equal(name: str, tmp_path: Path) -> None:
    assert_equal(regauge.check(NETWORKS[name], out=tmp_path, quick=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_whole_check_says_equal(name: str, tmp_path: Path) -> None:
    assert_equal(regauge.check(NETWORKS[name], out=tmp_path))

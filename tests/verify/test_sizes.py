"""Other sizes of a pair: what the original takes, the converted side must take."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

import regauge
from regauge.verify.inputs import SILENT, make_input_sets
from regauge.verify.sizes import other_sizes

X = torch.randn(4, 3)
IDS = np.arange(12).reshape(2, 6)


def random(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def shapes(leaves: dict[str, np.ndarray]) -> dict[str, list[tuple[int, ...]]]:
    return {name: [array.shape for array in arrays.values()] for name, arrays in other_sizes(leaves).items()}


def test_rows_and_lengths_of_tokens_masks_and_targets() -> None:
    leaves = {"inputs.0": IDS, "inputs.1": np.zeros((2, 1, 6, 6), np.float32), "targets": IDS}
    assert shapes(leaves) == {
        "batch of 1": [(1, 6), (1, 1, 6, 6), (1, 6)],
        "odd length": [(2, 5), (2, 1, 5, 5), (2, 5)],
    }


def test_of_floats_only_the_axis_of_the_length_is_cut() -> None:
    found = shapes({"inputs.0": random((3, 8, 8))})
    assert found["odd length"] == [(3, 7, 8)]
    assert found["another batch size"] == [(2, 8, 8)]


def test_images_in_both_layouts() -> None:
    for shape, odd in (((2, 3, 8, 9), (2, 3, 7, 7)), ((2, 8, 9, 3), (2, 7, 7, 3))):
        assert shapes({"inputs.0": random(shape)})["odd image"] == [odd]
    assert "odd image" not in shapes({"inputs.0": random((2, 8, 8, 8))})


def test_rows_that_the_inputs_do_not_share_are_left_alone() -> None:
    assert "batch of 1" not in shapes({"inputs.0": IDS, "inputs.1": np.ones((5, 2))})
    assert shapes({"inputs.0": np.ones((1, 3))}) == {}


def test_an_additive_mask_is_padded() -> None:
    mask = np.zeros((2, 4), np.float32)
    mask[1, 3] = -np.inf
    sets = {item.name: item.arrays for item in make_input_sets({"inputs.0": mask}, None, False)}
    assert np.isneginf(sets["fully masked row"]["inputs.0"][-1]).all()
    assert (sets["padding"]["inputs.0"][0] == 0).all()


def judged(original: Any, converted: Any, *args: Any) -> regauge.verify.Check:
    return regauge.check(original, converted, args, float32=False)


def answer(check: regauge.verify.Check, name: str) -> Any:
    return next(tier for tier in check.tiers if tier.name == name)


def test_a_port_that_takes_every_size_says_so() -> None:
    check = judged(torch.sin, jnp.sin, torch.randn(4, 3))
    assert check.verdict == "equal"
    assert answer(check, "other sizes").why == "both take batch of 1, another batch size"
    assert "batch of 1" in check.inputs_tried
    given = [name for name in check.inputs_tried if name != SILENT]  # for gradients alone
    assert answer(check, "tier 1 outputs").inputs == len(given)


def test_a_size_that_is_written_into_the_port() -> None:
    check = judged(
        lambda x: torch.repeat_interleave(x, 2, 0), lambda x: jnp.concatenate([x[i // 2][None] for i in range(8)]), X
    )
    assert check.verdict == "different"
    assert "shape (8, 3)" in answer(check, "tier 1 outputs").why
    assert "on batch of 1" in answer(check, "tier 1 outputs").why


def test_a_port_that_refuses_a_size() -> None:
    def port(x: jax.Array) -> jax.Array:
        if x.shape[0] != 4:
            raise ValueError("four rows")
        return jnp.sin(x)

    check = judged(torch.sin, port, torch.randn(4, 3))
    assert check.verdict == "different"
    assert "the converted model alone refuses batch of 1: ValueError: four rows" in answer(check, "other sizes").why
    assert answer(check, "tier 1 outputs").verdict == "equal"


def test_a_size_that_the_original_refuses_is_not_free() -> None:
    model = nn.BatchNorm1d(3, affine=False, track_running_stats=False)

    def port(x: jax.Array) -> jax.Array:
        return (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5)

    check = judged(model, port, torch.randn(4, 3))
    assert "batch of 1" not in check.inputs_tried
    assert "another batch size" in check.inputs_tried
    rejected = [finding.text for finding in check.findings if finding.code == "V110"]
    assert any("batch of 1" in text for text in rejected)

"""Verdicts on made-up evaluations: what a correct one looks like, and the smallest step beyond each limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regauge.run.array_files import save_arrays
from regauge.verify.derivative import derivative_tier
from regauge.verify.evaluations import Evaluations
from regauge.verify.onestep import Pass, no_worse_tiers, same_function_tiers
from regauge.verify.plan import coefficient_rounding
from regauge.verify.randomness import randomness_tier
from regauge.verify.training import Trajectory, float32_tier, trajectory_tiers
from regauge.weights.pair_map import PairMap

Arrays = dict[str, np.ndarray]


class Made:
    """Evaluations written by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.found = Evaluations(PairMap((), {}, {}))

    def add(self, side: Any, task: str, arrays: Arrays | None = None, **info: Any) -> None:
        out = self.directory / side
        out.mkdir(exist_ok=True)
        save_arrays(out / f"{task}.safetensors", arrays or {})
        self.found.add(side, out, {task: {"seconds": 0.0, **info}})


def test_a_gradient_that_torch_leaves_out_must_be_zero(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "s", {"gradients.a": np.ones(2)}, missing=["gradients.b"])
    made.add("C64", "s", {"gradients.a": np.ones(2), "gradients.b": np.zeros(2)})
    (tier,) = same_function_tiers(made.found, [Pass("s", "reference", True)], "train")
    assert tier.verdict == "equal"
    made.add("C64", "s", {"gradients.a": np.ones(2), "gradients.b": np.full(2, 1e-20)})
    (tier,) = same_function_tiers(made.found, [Pass("s", "reference", True)], "train")
    assert (tier.verdict, [d.name for d in tier.distances if not d.passed]) == ("different", ["b"])


def test_where_the_converted_model_leaves_a_gradient_out_the_original_must_have_zero(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("C64", "s", {"gradients.a": np.ones(2)}, missing=["gradients.b"])
    for value, verdict in ((0.0, "equal"), (1e-3, "different")):
        made.add("M64", "s", {"gradients.a": np.ones(2), "gradients.b": np.full(2, value)})
        (tier,) = same_function_tiers(made.found, [Pass("s", "reference", True)], "train")
        assert (tier.verdict, [d.name for d in tier.distances if not d.passed]) == (verdict, ["b"] if value else [])


def test_names_of_one_side_only_differ(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "s", {"outputs.a": np.ones(2)})
    made.add("C64", "s", {"outputs.b": np.ones(2)})
    (tier,) = same_function_tiers(made.found, [Pass("s", "reference", True)], "eval")
    assert tier.verdict == "different"
    assert "missing in the converted model" in tier.why
    assert "missing in the original" in tier.why


def test_where_the_original_itself_is_unstable_nothing_is_judged(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "s", {"outputs": np.ones(2)})
    made.add("M64", "noise", {"outputs": np.array([1.0, 0.0])})
    made.add("C64", "s", {"outputs": np.array([0.0, 1.0])})
    (tier,) = same_function_tiers(made.found, [Pass("s", "zeros", False, ("noise",))], "train")
    assert tier.verdict == "not checked"
    assert "outputs on zeros" in tier.why


@pytest.mark.parametrize(("moved", "verdict"), [(3e-10, "equal"), (1e-12, "different")])
def test_a_loss_of_outputs_that_noise_moves_is_not_judged(tmp_path: Path, moved: float, verdict: str) -> None:
    """The noise of the outputs cancels in the loss of the copy, and not in that of the converted model."""
    made = Made(tmp_path)
    for task in ("s", "other"):
        made.add("M64", task, {"outputs": np.ones(2), "loss": np.array(2.0)})
    made.add("M64", "noise", {"outputs": np.array([1 + moved, 1 - moved]), "loss": np.array(2.0)})
    made.add("C64", "s", {"outputs": np.array([1 + 3e-10, 1 + 3e-10]), "loss": np.array(2 + 6e-10)})
    made.add("C64", "other", {"outputs": np.ones(2), "loss": np.array(2.0)})
    passes = [Pass("s", "small", False, ("noise",)), Pass("other", "reference", True)]
    outputs, loss = same_function_tiers(made.found, passes, "train")
    assert (outputs.verdict, loss.verdict) == (verdict, verdict)
    assert ("loss on small" in loss.why) == (verdict == "equal")


def test_rounding_may_be_four_times_the_originals(tmp_path: Path) -> None:
    made = Made(tmp_path)
    exact = np.ones(100)
    made.add("M64", "s", {"outputs": exact})
    made.add("M32", "s", {"outputs": (exact + 1e-6).astype(np.float32)})
    for factor, verdict in ((3.5, "equal"), (4.5, "different")):
        made.add("C32", "s", {"outputs": (exact + factor * 1e-6).astype(np.float32)})
        (tier,) = no_worse_tiers(made.found, [Pass("s", "reference", True)], "eval")
        assert tier.verdict == verdict


def test_one_wrong_row_shows_in_the_largest_element(tmp_path: Path) -> None:
    made = Made(tmp_path)
    exact = np.ones(10_000)
    wrong = exact.copy()
    wrong[7] += 3e-5  # 3e-7 in the 2-norm
    made.add("M64", "s", {"outputs": exact})
    made.add("M32", "s", {"outputs": (exact + 1.2e-7).astype(np.float32)})
    made.add("C32", "s", {"outputs": wrong.astype(np.float32)})
    (tier,) = no_worse_tiers(made.found, [Pass("s", "reference", True)], "eval")
    assert tier.verdict == "different"


def test_a_gradient_on_a_constant_image_may_be_as_far_off_as_the_originals(tmp_path: Path) -> None:
    made = Made(tmp_path)
    exact = {"gradients.large": np.full(400, 100.0), "gradients.small": np.ones(4)}
    original = {name: array.astype(np.float32) for name, array in exact.items()}
    made.add("M64", "s", exact)
    made.add("M32", "s", original | {"gradients.small": np.full(4, 1.02, np.float32)})
    for image, error, verdict in (("zeros", 0.03, "equal"), ("zeros", 0.9, "different")):
        made.add("C32", "s", original | {"gradients.small": np.full(4, 1 + error, np.float32)})
        (tier,) = no_worse_tiers(made.found, [Pass("s", image, False)], "train")
        assert tier.verdict == verdict, error


@pytest.mark.parametrize(
    ("image", "sequential", "error", "verdict"),
    [
        ("offset", True, 5e-3, "equal"),
        ("offset", True, 3e-2, "different"),
        ("offset", False, 5e-3, "different"),
        ("large", True, 5e-3, "different"),
    ],
)
def test_gradients_of_torch_far_from_zero_may_be_further_off_than_those_of_jax(
    tmp_path: Path, image: str, sequential: bool, error: float, verdict: str
) -> None:
    made = Made(tmp_path)
    made.add("M64", "s", {"gradients.weight": np.ones(4)})
    made.add("M32", "s", {"gradients.weight": np.full(4, 1 + 1e-5, np.float32)})
    made.add("C32", "s", {"gradients.weight": np.full(4, 1 + error, np.float32)})
    (tier,) = no_worse_tiers(made.found, [Pass("s", image, False, sequential=sequential)], "train")
    assert tier.verdict == verdict


@pytest.mark.parametrize(
    ("typical", "sequential", "error", "verdict"),
    [
        (True, True, 4e-6, "equal"),
        (True, True, 8e-6, "different"),
        (True, False, 1e-6, "different"),
        (False, False, 4e-6, "different"),
    ],
)
def test_statistics_that_torch_sums_one_by_one_may_be_further_off(
    tmp_path: Path, typical: bool, sequential: bool, error: float, verdict: str
) -> None:
    made = Made(tmp_path)
    made.add("M64", "s", {"state.variance": np.ones(4)})
    made.add("M32", "s", {"state.variance": np.ones(4, np.float32)})
    made.add("C32", "s", {"state.variance": np.full(4, 1 + error, np.float32)})
    (tier,) = no_worse_tiers(made.found, [Pass("s", "reference", typical, sequential=sequential)], "train")
    assert tier.verdict == verdict


def test_a_buffer_on_a_constant_image_may_be_further_off_than_elsewhere(tmp_path: Path) -> None:
    made = Made(tmp_path)
    exact = {"state.large": np.full(4, 100.0), "state.small": np.ones(4)}
    made.add("M64", "s", exact)
    made.add("M32", "s", {name: array.astype(np.float32) for name, array in exact.items()})
    for image, error, verdict in (
        ("zeros", 2e-6, "equal"),
        ("zeros", 8e-6, "different"),
        ("kinks and ties", 2e-6, "different"),
    ):
        made.add("C32", "s", {**exact, "state.small": (1 + np.full(4, error)).astype(np.float32)})
        (tier,) = no_worse_tiers(made.found, [Pass("s", image, False)], "train")
        assert tier.verdict == verdict, (image, error)


def test_an_original_far_from_float64_judges_nothing(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "s", {"outputs": np.ones(4)})
    made.add("M32", "s", {"outputs": np.full(4, 1.01, np.float32)})
    made.add("C32", "s", {"outputs": np.full(4, 1.0, np.float32)})
    (tier,) = no_worse_tiers(made.found, [Pass("s", "large", False)], "eval")
    assert tier.verdict == "not checked"
    assert "not judged on large" in tier.why


def trajectory(last: np.ndarray, losses: list[float]) -> dict[str, Any]:
    start = np.zeros(4)
    return {"arrays": {"start.w": start, "first.w": start + 1, "last.w": last}, "losses": losses}


def with_statistics(mean: float, variance: float) -> dict[str, Any]:
    made = trajectory(np.full(4, 10.0), [1.0])
    made["arrays"] |= {"state.mean": np.full(2, mean), "state.variance": np.full(2, variance)}
    return made


def test_statistics_that_noise_moves_are_left_out_and_no_others(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "g", {"gradients.bias": np.full(4, 1e-20), "gradients.weight": np.ones(4)})
    made.add("M64", "t", **with_statistics(1.0, 1.0))
    made.add("M64", "noisy", **with_statistics(1.01, 1.0))
    made.add("C64", "t", **with_statistics(1.02, 1.0))
    tasks = Trajectory("t", "g", ["noisy"])
    state = trajectory_tiers(made.found, tasks, "Adam")[-1]
    assert (state.verdict, [d.name for d in state.distances]) == ("equal", ["variance"])
    assert "without mean, which rounding noise moves" in state.why
    assert "bias" in state.why
    made.add("C64", "t", **with_statistics(1.02, 1.0 + 1e-8))
    assert trajectory_tiers(made.found, tasks, "Adam")[-1].verdict == "different"
    made.add("M64", "g", {"gradients.bias": np.ones(4), "gradients.weight": np.ones(4)})
    made.add("C64", "t", **with_statistics(1.02, 1.0))
    assert trajectory_tiers(made.found, tasks, "Adam")[-1].verdict == "different", "no gradient is noise"


def test_a_trajectory_is_measured_by_the_way_it_went(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "g", {"gradients.w": np.ones(4)})
    made.add("M64", "t", **trajectory(np.full(4, 10.0), [2.0, 1.0]))
    for away, verdict in ((5e-9, "equal"), (2e-8, "different")):  # the way is 20 long, the limit 2e-8 / 2
        made.add("C64", "t", **trajectory(np.full(4, 10.0) + away, [2.0, 1.0]))
        parameters, losses = trajectory_tiers(made.found, Trajectory("t", "g"), "SGD")
        assert (parameters.verdict, losses.verdict) == (verdict, "equal")
    made.add("C64", "t", **trajectory(np.full(4, 10.0), [2.0, 1.0 + 2e-10]))
    assert [t.verdict for t in trajectory_tiers(made.found, Trajectory("t", "g"), "SGD")] == ["equal", "different"]


def test_training_that_amplifies_rounding_is_judged_while_it_tells(tmp_path: Path) -> None:
    """Batch norm over a few rows multiplies a last digit by a hundred at each step, in the original itself."""
    made = Made(tmp_path)
    tasks = Trajectory("t", "g", ["noisy"])
    made.add("M64", "g", {"gradients.w": np.ones(4)})
    made.add("M64", "t", **trajectory(np.full(4, 10.0), [2.0, 1.0, 0.5]))
    made.add("M64", "noisy", **trajectory(np.full(4, 11.0), [2.0, 1.0 + 1e-9, 0.6]))
    made.add("C64", "t", **trajectory(np.full(4, 9.0), [2.0, 1.0 + 5e-9, 0.7]))
    parameters, losses = trajectory_tiers(made.found, tasks, "SGD")
    assert [d.name for d in parameters.distances if "step 1" not in d.name] == []
    assert "2 steps" in parameters.why
    assert "a copy of itself one unit" in parameters.why
    assert [d.name for d in losses.distances] == ["loss at step 1", "loss at step 2"]
    assert (parameters.verdict, losses.verdict) == ("equal", "equal")
    made.add("C64", "t", **trajectory(np.full(4, 9.0), [2.0, 1.0 + 2e-7, 0.7]))
    assert trajectory_tiers(made.found, tasks, "SGD")[1].verdict == "different", "a hundred times as far as the copy"
    made.add("M64", "noisy", **trajectory(np.full(4, 10.0), [2.0, 1.0, 0.5]))
    assert trajectory_tiers(made.found, tasks, "SGD")[0].verdict == "different", "the copy stays with the original"


def test_a_last_step_that_rounding_moves_is_said_to_be_left_out(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "g", {"gradients.w": np.ones(4)})
    for side, task, end in (("M64", "t", 10.0), ("M64", "noisy", 10.1), ("C64", "t", 9.0)):
        made.add(side, task, **trajectory(np.full(4, end), [2.0, 1.0]))
    parameters, _ = trajectory_tiers(made.found, Trajectory("t", "g", ["noisy"]), "SGD")
    assert [d.name for d in parameters.distances if "last step" in d.name] == []
    assert "without the last step, where a copy of the original" in parameters.why


def test_elements_whose_gradient_is_noise_say_nothing(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "g", {"gradients.w": np.array([1.0, 1.0, 1.0, 1e-17])})
    made.add("M64", "t", **trajectory(np.full(4, 10.0), [1.0]))
    made.add("C64", "t", **trajectory(np.array([10.0, 10.0, 10.0, 7.0]), [1.0]))
    parameters, _ = trajectory_tiers(made.found, Trajectory("t", "g"), "Adam")
    assert (parameters.verdict, "parts of w" in parameters.why) == ("equal", True)


def test_float32_losses_stay_within_ten_bands(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "t", losses=[1.0, 1.0])
    made.add("M32", "t", losses=[1.0, 1.0 + 1e-6])
    made.add("M32", "n", losses=[1.0, 1.0 + 5e-7])
    made.add("M32", "r", losses=[1.0, 1.0])
    tasks = Trajectory("t", "", ("n",), "r")
    for away, verdict in ((9e-6, "equal"), (1.1e-5, "different")):
        made.add("C32", "t", losses=[1.0, 1.0 + away])
        assert float32_tier(made.found, tasks, "SGD").verdict == verdict
    made.add("M32", "n", losses=[1.5, 1.0])  # a copy that leaves at once
    assert float32_tier(made.found, tasks, "SGD").verdict == "not checked"


def test_rounded_coefficients_of_adam() -> None:
    # 2^-25 / 0.1 + 2^-26 / 0.001
    assert abs(coefficient_rounding({"betas": [0.9, 0.999]}) - 1.52e-5) < 1e-7
    assert coefficient_rounding({"momentum": 0.9}) == 0.0


def test_a_gradient_that_is_no_derivative(tmp_path: Path) -> None:
    made = Made(tmp_path)
    right = {"draw": 0, "slope": 2.0, "numeric": [2.1, 2.0 + 1e-7]}
    wrong = {"draw": 0, "slope": 2.02, "numeric": [2.1, 2.0]}
    made.add("M64", "d", directions=[right])
    made.add("C64", "d", directions=[wrong])
    assert derivative_tier(made.found, "d", "train").verdict == "different"
    made.add("C64", "d", directions=[right])
    assert derivative_tier(made.found, "d", "train").verdict == "equal"
    made.add("M64", "d", directions=[wrong])
    made.add("C64", "d", directions=[wrong])
    shared = derivative_tier(made.found, "d", "train")
    assert (shared.verdict, "by the same amount" in shared.why) == ("equal", True)


def drawn(seed: int, keep: float = 0.75) -> np.ndarray:
    return (np.random.default_rng(seed).random((50, 60)) < keep) / keep


def randomness(made: Made, rate: float = 0.25, **arrays: np.ndarray) -> tuple[str, str]:
    drawings = {"first.0": drawn(1), "second.0": drawn(2), "again.0": drawn(1)}
    made.add("M64", "s", calls=[{"shape": [50, 60], "keep": 0.75}])
    made.add("C64", "r", {**drawings, **arrays}, rates=[rate])
    tier = randomness_tier(made.found, "r", "s")
    return tier.verdict, tier.why


def test_dropout_that_draws_as_it_should(tmp_path: Path) -> None:
    assert randomness(Made(tmp_path)) == ("equal", "1 calls; a correct model fails once in 1000000 checks")


def test_noise_that_both_sides_share_is_not_called_checked(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add("M64", "s", calls=[], draws=2)
    made.add("C64", "r", rates=[])
    tier = randomness_tier(made.found, "r", "s")
    assert (tier.verdict, "not looked at" in tier.why) == ("not checked", True)


def test_dropout_defects_are_named(tmp_path: Path) -> None:
    made = Made(tmp_path)
    changes = {
        "rate": {"rate": 0.3},
        "share": {"first.0": drawn(1, 0.6) * 0.6 / 0.75, "again.0": drawn(1, 0.6) * 0.6 / 0.75},
        "scale": {"first.0": drawn(1) * 0.75, "again.0": drawn(1) * 0.75},
        "next step": {"second.0": drawn(1)},
        "repeated": {"again.0": drawn(3)},
    }
    for word, change in changes.items():
        verdict, why = randomness(made, **change)
        assert verdict == "different", word
        assert word in why

"""Correct conversions are judged equal, tier by tier; what cannot be judged is said by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from networks.comparing import convert

from regauge.errors import BadCase, RegaugeError
from regauge.saved_files import remember_files
from regauge.verify import Check, CheckOptions, check_folder
from regauge.verify.watching import BEGINS, TOTAL

from .conftest import Handmade

Get = Callable[[str], Handmade]


def tiers(check: Check) -> dict[tuple[str, str], str]:
    return {(tier.name, tier.mode): tier.verdict for tier in check.tiers}


def test_a_correct_conversion_is_equal(handmade: Get, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    subject = handmade("adamw")
    check = check_folder(
        subject.case,
        subject.folder,
        tmp_path,
        options=CheckOptions(quick=True),
        progress=lambda what, done, total: seen.append((what, done, total)),
    )
    differing = [(tier.name, tier.why) for tier in check.tiers if tier.verdict == "different"]
    assert (check.verdict, differing, check.first_difference) == ("equal", [], "")
    found = tiers(check)
    for mode in ("train", "eval"):
        for kind in ("outputs", "loss", "gradients", "input gradients", "state"):
            assert found[f"tier 1 {kind}", mode] == "equal"
            assert found[f"tier 2 {kind}", mode] == "equal"
    assert found["tier 1 outputs with the updated state", "train"] == "equal"
    assert found["tier 1 gradients with dropout masks", "train"] == "equal"
    assert found["trajectory AdamW", "train"] == "equal"
    assert found["trajectory AdamW float32", "train"] == "equal"
    assert found["finite difference", "train"] == found["randomness", "train"] == "equal"
    assert check.not_checked == ()
    state = next(t for t in check.tiers if t.name == "trajectory AdamW state")
    assert "norm.running_var" in {d.name for d in state.distances}
    assert state.verdict == "equal"
    gradients = next(t for t in check.tiers if t.name == "tier 1 gradients" and t.mode == "train")
    assert {d.name for d in gradients.distances} >= {"conv.weight", "conv.bias", "norm.weight", "head.bias"}
    assert next(d for d in gradients.distances if d.name == "conv.bias").null
    done = [step[1] for step in seen]
    assert done == sorted(done)
    assert {step[2] for step in seen} == {TOTAL}
    assert set(BEGINS[:3]) <= set(done) <= set(range(TOTAL + 1))
    assert Check.from_json(json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))) == check


@pytest.mark.slow
def test_sgd_and_every_input_set(handmade: Get, tmp_path: Path) -> None:
    check = handmade("sgd").check(tmp_path, float32=False)
    assert check.verdict == "equal"
    assert set(check.inputs_tried) == {
        "reference",
        "random 1",
        "random 2",
        "kinks and ties",
        "zeros",
        "large",
        "small",
        "offset",
        "batch of 1",
        "another batch size",
    }
    found = tiers(check)
    assert found["trajectory SGD", "train"] == "equal"
    assert found["tier 2 outputs", "train"] == found["trajectory SGD float32", "train"] == "not checked"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "sgd", "encoder"])
def test_correct_conversions_are_equal_on_every_input_in_both_arithmetics(
    name: str, handmade: Get, tmp_path: Path
) -> None:
    check = handmade(name).check(tmp_path)
    assert [(tier.name, tier.why) for tier in check.tiers if tier.verdict == "different"] == []
    assert check.verdict == "equal"


@pytest.mark.slow
def test_integers_masks_and_a_case_without_loss(handmade: Get, tmp_path: Path) -> None:
    check = handmade("without loss").check(tmp_path, float32=False)
    assert check.verdict == "equal"
    assert {"padding", "fully masked row", "repeated index", "smallest index"} <= set(check.inputs_tried)
    outputs = next(t for t in check.tiers if t.name == "tier 1 outputs")
    assert {d.name: d.limit for d in outputs.distances} == {"outputs.logits": 1e-10, "outputs.best": 0.0}
    trajectory = next(t for t in check.tiers if t.name == "trajectory")
    assert (trajectory.verdict, trajectory.why) == ("not checked", "the case has no loss")
    # the padding row of the embedding gets no gradient, so neither side's gradient is the derivative of its loss
    derivative = next(t for t in check.tiers if t.name == "finite difference")
    assert derivative.verdict == "equal"
    assert "by the same amount" in derivative.why


def test_a_model_that_rejects_its_inputs_is_a_bad_case(handmade: Get, tmp_path: Path) -> None:
    subject = handmade("adamw").copy(tmp_path / "folder")
    original = Path(subject.case.rpartition(":")[0]).read_text(encoding="utf-8")
    (tmp_path / "broken.py").write_text(original.replace("8 * 4 * 4, 5", "8 * 4 * 3, 5"), encoding="utf-8")
    with pytest.raises(BadCase) as caught:
        check_folder(f"{tmp_path / 'broken.py'}:case", subject.folder, tmp_path, options=CheckOptions(float32=False))
    assert "rejects its own reference inputs" in caught.value.what
    assert "mat1 and mat2" in caught.value.received


def with_noise(handmade: Get, tmp_path: Path, noise: str, own: str = "") -> Check:
    """The check of a model that adds noise to its input; `own` is what the converted one adds."""
    subject = handmade("adamw").copy(tmp_path / "folder")
    original = Path(subject.case.rpartition(":")[0]).read_text(encoding="utf-8")
    noisy = original.replace("self.norm(self.conv(images))", f"self.norm(self.conv(images + {noise}))")
    assert noisy != original
    (tmp_path / "noisy.py").write_text(noisy, encoding="utf-8")
    if own:
        model = subject.folder / "model.py"
        text = model.read_text(encoding="utf-8")
        call = "def __call__(self, images):"
        changed = text.replace(call, f"{call}\n        images = images + {own}").replace(
            "import jax.", "import jax\nimport jax."
        )
        assert changed != text
        model.write_text(changed, encoding="utf-8")
    return check_folder(f"{tmp_path / 'noisy.py'}:case", subject.folder, tmp_path, options=CheckOptions(quick=True))


@pytest.mark.slow
def test_a_model_that_draws_other_random_numbers_is_not_checked(handmade: Get, tmp_path: Path) -> None:
    check = with_noise(handmade, tmp_path, "torch.poisson(images.abs())")  # which is not among the shared draws
    outputs = [tier for tier in check.tiers if tier.name.startswith("tier 1")]
    assert [tier.verdict for tier in outputs] == ["not checked"]
    assert "two runs of the original differ" in outputs[0].why


@pytest.mark.slow
def test_normal_numbers_are_the_same_on_both_sides(handmade: Get, tmp_path: Path) -> None:
    own = "jax.random.normal(jax.random.key(0), images.shape, images.dtype)"
    check = with_noise(handmade, tmp_path, "torch.randn_like(images)", own)
    assert check.equal, [(tier.name, tier.why) for tier in check.tiers if tier.verdict != "equal"]


@pytest.mark.slow
def test_noise_that_was_left_out_is_a_difference(handmade: Get, tmp_path: Path) -> None:
    check = with_noise(handmade, tmp_path, "torch.randn_like(images)")
    assert check.verdict == "different"


def test_a_folder_that_is_not_whole_is_refused(handmade: Get, tmp_path: Path) -> None:
    subject = handmade("adamw").copy(tmp_path / "folder")
    (subject.folder / "model.py").unlink()
    with pytest.raises(RegaugeError, match=r"model\.py is missing"):
        subject.check(tmp_path, float32=False)
    assert not (tmp_path / "check.json").exists()


UNRULY = """
import numpy as np
import torch
import regauge

def case():
    layer = torch.nn.Linear(3, 2)
    layer.weight.data = torch.tensor(np.random.default_rng().normal(size=(2, 3)), dtype=torch.float32)
    return regauge.Case(layer, inputs=(torch.ones(2, 3),))
"""


def test_an_original_that_is_another_in_every_process_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "unruly.py").write_text(UNRULY, encoding="utf-8")
    network = convert(f"{tmp_path / 'unruly.py'}:case", tmp_path)
    remember_files(network.folder)
    options = CheckOptions(quick=True, locate=False, float32=False)

    def codes() -> list[str]:
        found = check_folder(network.case, network.folder, tmp_path / "work", options=options)
        assert found.verdict == "different"
        return [finding.code for finding in found.findings]

    (tmp_path / "work").mkdir()
    assert "V149" in codes()
    with (network.folder / "model.py").open("a", encoding="utf-8") as model:
        model.write("# mine\n")
    assert "V149" not in codes()  # what was changed may be the reason

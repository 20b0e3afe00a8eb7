"""A sample of the model zoos, by the same judge as the whole suite."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from coverage_results import Results
from networks.comparing import convert
from torch import nn
from transformers import AutoConfig

from regauge.verify.engine import overall
from zoos import suite
from zoos.cases import LARGEST, NotBuilt, not_built, small_enough
from zoos.judging import MODE, Outcome, _draws, checked, judge
from zoos.page import page
from zoos.stand_in import names_of_torchvision
from zoos.transformers_inputs import with_padding
from zoos.transformers_repairs import change, sections_asked
from zoos.transformers_sizes import LAYERS, shrink
from zoos.transformers_zoo import case

# Positions from tokens that the module does not read; a mixture of experts; a state space; a convolution with a table;
# a head in latent form, whose heads for keys are as many as for queries.
SAMPLE = ("bart", "mixtral", "mamba", "convnextv2", "deepseek_v3")
# Depthwise convolutions between norms of batches.
FAMILIES = ("convmixer",)


def test_a_model_that_makes_sizes_of_an_input_is_judged_with_it_known() -> None:
    outcome = judge("siglip2_vision_model", f"{suite.ZOOS['transformers']}:siglip2_vision_model")
    assert (outcome.kind, outcome.known) == ("equal", ["spatial_shapes"]), outcome.what


# Reversible layers, which have gradients in training alone.
@pytest.mark.parametrize("name", [*SAMPLE, pytest.param("reformer", marks=pytest.mark.slow)])
def test_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PYTHONPATH", str(Path(__file__).parents[1])
    )  # one that differs is judged in processes of its own
    outcome = judge(name, f"{suite.ZOOS['transformers']}:{name}")
    assert outcome.kind == "equal", outcome.what
    assert outcome.lines > 20


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str) -> None:
    outcome = judge(family, f"{suite.ZOOS['timm']}:{family}")
    assert outcome.kind == "equal", outcome.what
    assert outcome.lines > 20


def test_models_with_settings_classes_and_inputs_of_their_own() -> None:
    """Settings that only checkpoints give, a class that AutoModel does not find, an argument behind ``**kwargs``."""
    assert case("vibevoice_acoustic_tokenizer_encoder").inputs["hidden_states"].shape == (2, 1, 64)
    text = case("voxtral_realtime_text")
    assert type(text.model).__name__ == "VoxtralRealtimeTextModel"
    assert "t_cond" in text.inputs
    assert case("lw_detr").model.config.num_feature_levels == 1


def test_models_that_draw_in_evaluation_are_told() -> None:
    assert not _draws(f"{suite.ZOOS['transformers']}:bart")
    assert _draws(f"{suite.ZOOS['transformers']}:vilt")


CASE = """
import torch
import regauge
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
case = regauge.Case(net, (torch.randn(3, 4),), None, lambda outputs, targets: outputs.square().sum(), None, "net")
"""


@pytest.mark.slow
def test_the_check_decides_where_one_pass_is_in_doubt(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CASE, encoding="utf-8")
    network = convert(f"{tmp_path / 'net.py'}:case", tmp_path)
    tiers = checked(network, tmp_path, MODE)
    assert {(tier.name, tier.verdict) for tier in tiers} == {
        (f"tier {tier} {kind}", "equal")
        for tier in (1, 2)
        for kind in ("outputs", "loss", "gradients", "input gradients")
    }
    model = network.folder / "model.py"
    text = model.read_text(encoding="utf-8")
    assert text.count("jnp.tanh") == 1
    model.write_text(text.replace("jnp.tanh", "jnp.sin"), encoding="utf-8")
    assert overall(checked(network, tmp_path, MODE), (MODE,)) == "different"


def test_what_cannot_be_built_says_why() -> None:
    with pytest.raises(NotBuilt, match="natten"):
        case("dinat")


def test_large_models_are_not_built() -> None:
    large = nn.Linear(LARGEST, 1, device="meta")
    with pytest.raises(NotBuilt, match="55 million parameters"):
        small_enough(large)


def test_a_process_without_memory_is_no_model_that_cannot_be_built() -> None:
    lacking = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1638400 bytes.")
    assert not_built(lacking) is lacking
    assert isinstance(not_built(ValueError("hidden_size must be divisible by 7")), NotBuilt)


def test_sections_of_positions_are_read_off_the_complaint() -> None:
    asked = "split_with_sizes expects split_sizes to sum exactly to 4 (input tensor's size at dimension -1)"
    assert sections_asked(asked) == 4
    assert sections_asked("mat1 and mat2 shapes cannot be multiplied") is None


def test_names_of_torchvision_are_gone_afterwards() -> None:
    before = {name for name in sys.modules if name.startswith("torchvision")}
    with names_of_torchvision():
        from torchvision.transforms import Compose
        from torchvision.transforms.functional import InterpolationMode

        assert isinstance(Compose, type)
        assert InterpolationMode.NEAREST != InterpolationMode.BILINEAR
    assert {name for name in sys.modules if name.startswith("torchvision")} == before


def test_page() -> None:
    versions = {"python": "3.11.7", "torch": "2.13.0", "jax": "0.10.2"}
    found = [
        Outcome("a", "equal", lines=30, versions=versions),
        Outcome("b", "different", "x: 1e-2", lines=30, versions=versions),
        Outcome("c", "not built", "no"),
    ]
    text = page({"transformers": found, "timm": []}, {"transformers": 5, "timm": 0})
    assert "Python 3.11.7, torch 2.13.0, jax 0.10.2 (2 models)" in text
    assert "versions that were not kept (1 models)" in text
    assert "| judged so far | 3 of 5 |" in text
    assert "| equal, of those captured | 1 of 2 |" in text
    assert "| `b` | x: 1e-2 |" in text


def test_models_with_known_inputs_are_counted_apart() -> None:
    found = [
        Outcome("a", "equal", lines=30),
        Outcome("b", "equal", lines=31, known=["grid_thw"]),
        Outcome("c", "different", "x: 1e-2", lines=32, known=["lengths"]),
    ]
    text = page({"transformers": found, "timm": []}, {"transformers": 3, "timm": 0})
    assert "| captured by torch.export, of those built | 1 |" in text
    assert "| equal, of those captured | 1 of 1 |" in text
    assert "| equal, of those | 1 of 2 |" in text
    assert "### Equal with inputs known (1)" in text
    assert "| `b` | `grid_thw` | 31 |" in text
    assert "| `c` | with lengths known: x: 1e-2 |" in text


def test_results_are_kept_by_name(tmp_path: Path) -> None:
    results = Results(tmp_path / "results" / "models.jsonl")
    assert results.load() == {}
    for name, kind in (("b", "fails"), ("a", "equal"), ("b", "equal")):
        results.put({"name": name, "kind": kind})
    assert results.load() == {name: {"name": name, "kind": "equal"} for name in "ab"}
    assert [line[10] for line in results.file.read_text(encoding="utf-8").splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("siglip2_vision_model", {"pixel_values": (2, 16, 192), "spatial_shapes": (2, 2)}),  # patches, flattened
        ("videoprism_vision_model", {"pixel_values_videos": (2, 16, 3, 32, 32)}),
        ("patchtst", {"past_values": (2, 32, 1), "future_values": (2, 24, 1)}),  # a series of values
        ("qwen3_asr_encoder", {"input_features": (2, 128, 100)}),  # a length that is a multiple
        ("musicgen", {"input_ids": (8, 7)}),  # settings of its decoder; four books of codes
        ("lfm2_moe", {"input_ids": (2, 7)}),  # kinds of layers that a checkpoint gives
        ("kosmos-2", {"image_embeds_position_mask": (2, 7)}),  # an argument that a line of the model misses
        ("voxtral_realtime", {"input_ids": (2, 8)}),  # as many words as there are steps of sound
        ("fun_asr_nano_encoder", {"input_features": (2, 63, 560)}),  # as many steps as there are positions
        ("uvdoc", {"pixel_values": (2, 3, 64, 64)}),  # as many stages of a backbone as are read
        ("gemma3n_text", {"input_ids": (2, 7)}),  # a setting that is switched off, which its type does not provide for
        ("timm_backbone", {"pixel_values": (2, 3, 32, 32)}),  # the name of a model inside
        ("zamba2", {"input_ids": (2, 7)}),  # settings that follow from sizes that were made small
        ("funnel", {"input_ids": (2, 7)}),  # one of two classes, which a checkpoint names
        ("depth_pro", {"pixel_values": (2, 3, 32, 32)}),  # layers whose results are read, among those that are left
        # sizes of maps, which follow from the image
        pytest.param("edgetam", {"pixel_values": (2, 3, 32, 32)}, marks=pytest.mark.slow),
        ("instructblipvideo", {"pixel_values": (2, 2, 3, 32, 32), "qformer_input_ids": (2, 7)}),
        # the width that the first stage of a backbone is given
        pytest.param("sam2", {"pixel_values": (2, 3, 64, 64)}, marks=pytest.mark.slow),
        ("xlstm", {"input_ids": (2, 7)}),  # two settings of one width
        ("perception_lm", {"input_ids": (2, 7)}),  # a model of timm inside, of which another part reads the width
        ("kyutai_speech_to_text", {"input_ids": (2, 7, 33)}),  # a word and codes of sound in each step
        ("inkling2_vision", {"pixel_values": (16, 16, 16, 3), "image_grid_thw": (1, 3)}),  # four patches to a token
        ("muse_spark_audio", {"input_values": (2, 2016)}),  # stages that are called layers
        ("muse_glimmer_assistant", {"attention_mask": (2, 14)}),  # a mask of two parts
        ("diffusion_gemma", {"input_ids": (2, 7)}),  # a setting of each layer that has no value for all
        ("rf_detr", {"pixel_values": (2, 3, 224, 224)}),  # stages of layers that are left
        ("instructblip", {"qformer_input_ids": (2, 7)}),  # a second text; the word that stands for an image
    ],
)
def test_inputs_and_settings_follow_what_the_model_asks_for(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    built = case(name)
    assert {key: tuple(built.inputs[key].shape) for key in shapes} == shapes
    assert sum(parameter.numel() for parameter in built.model.parameters()) < LARGEST


class AsksForPadding(nn.Module):
    """Reads a mask without padding in a call, and none while it is exported."""

    def forward(self, attention_mask: torch.Tensor) -> torch.Tensor:
        ignored = not torch.compiler.is_exporting() and bool(attention_mask.all())
        return torch.cumsum(torch.ones(2, 7), 1) * (2 if ignored else 1) * attention_mask


def test_a_mask_has_padding_where_exported_code_does_not_look_for_it() -> None:
    inputs = {"attention_mask": torch.ones(2, 7, dtype=torch.long)}
    padded = with_padding(AsksForPadding(), inputs)["attention_mask"]
    assert padded.sum() == 13
    assert with_padding(AsksForPadding(), {"attention_mask": padded})["attention_mask"] is padded
    assert inputs["attention_mask"].all()


def test_widths_are_divided_where_they_keep_their_proportions() -> None:
    config = AutoConfig.for_model(
        "clip_vision_model", hidden_size=1024, intermediate_size=4096, num_attention_heads=16, image_size=224
    )
    shrink(config, widths=False, divisor=8)
    assert (config.hidden_size, config.intermediate_size) == (128, 512)
    assert config.image_size == 224
    assert config.num_hidden_layers == LAYERS


def test_settings_that_differ_agree_after_a_complaint() -> None:
    config = AutoConfig.for_model("efficientnet", hidden_dim=2560)
    assert change(config, "RuntimeError: running_mean should contain 1280 elements not 2560")
    assert config.hidden_dim == 1280

"""What single model types of transformers need beside the usual small sizes: settings, and classes that Auto misses."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from zoos.transformers_sizes import IMAGE, LAYERS, LENGTH, WORDS

BATCH, SAMPLES = 2, 64


def _strips() -> dict[str, list[Any]]:
    """Kernel, stride and padding of convolutions over columns, rows and squares of 7, 5 and 3."""
    found: dict[str, list[Any]] = {"reduce_channel": [1, 1, 0], "return_channel": [1, 1, 0]}
    for ratio, n in (("long", 7), ("mid", 5), ("short", 3)):
        found[f"vertical_long_to_small_conv_{ratio}ratio"] = [[n, 1], [1, 1], [n // 2, 0]]
        found[f"horizontal_small_to_long_conv_{ratio}ratio"] = [[1, n], [1, 1], [0, n // 2]]
        found[f"symmetric_conv_long_{ratio}ratio"] = [n, 1, n // 2]
    return found


_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_TEXT_IN_IMAGES = {
    **{f"backbone_config.{name}": _STAGES for name in ("out_features", "_out_features")},
    **{f"backbone_config.{name}": [1, 2, 3, 4] for name in ("out_indices", "_out_indices")},
    # kernel, channels, stride, squeeze and excitation: every stage after the first halves the image
    "backbone_config.block_configs": [
        [[3, 16, 16, 1, True]],
        [[3, 16, 16, 2, False]],
        [[3, 16, 32, 2, False], [3, 32, 32, 1, True]],
        [[3, 32, 48, 2, False]],
    ],
    "backbone_config.depths": [1, 1, 2, 1],
    "backbone_config.stem_channels": [3, 8, 16],
    "backbone_config.stage_out_channels": [16, 16, 32, 48],
}
_SOUND = {"num_filters": 4, "depths": [1, 1, 1], "downsampling_ratios": [2, 2]}
# Settings by their path: what only checkpoints give, and sizes that have to agree with others.
SETTINGS: dict[str, dict[str, Any]] = {
    "autoformer": {"d_model": 16},  # a head is as wide as the series is long: the mask of an export asks for that
    "lw_detr": {
        "projector_scale_factors": [1.0],
        "num_feature_levels": 1,
        "backbone_config.num_windows": 4,
        "backbone_config.num_windows_side": 2,
    },
    "pp_ocrv6_medium_det": {
        **_TEXT_IN_IMAGES,
        "intraclass_block_config": _strips(),
        "scale_factor_list": [1, 2, 4, 8],
        "kernel_list": [3, 2, 2],
    },
    "pp_ocrv6_small_det": {**_TEXT_IN_IMAGES, "layer_list_out_channels": [16, 16, 32, 48]},
    "rwkv": {"rescale_every": 0},  # in so few layers weights would be divided by one, in place
    "sam3_tracker": {"vision_config.backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]},
    "timesfm2_5": {"context_length": 128},  # statistics are a loop over its parts
    "tvp": {"max_img_size": 2 * IMAGE, "visual_prompt_size": 8, "num_frames": 2, "frame_num": 2},
    "vibevoice_acoustic_tokenizer_decoder": _SOUND,
    "vibevoice_acoustic_tokenizer_encoder": _SOUND,
    "xlstm": {"num_blocks": LAYERS},
}


def _tokens(words: int, length: int = LENGTH) -> Tensor:
    return torch.randint(3, words, (BATCH, length), generator=torch.Generator().manual_seed(2))


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def _text(config: Any) -> dict[str, Tensor]:
    return {"input_ids": _tokens(WORDS), "attention_mask": torch.ones(BATCH, LENGTH, dtype=torch.long)}


# Inputs of which neither the names nor the complaints of a model say enough.
INPUTS: dict[str, Callable[[Any], dict[str, Tensor]]] = {
    "evolla": lambda c: {
        **_text(c),
        "protein_input_ids": _tokens(WORDS, LENGTH + 2),
        "protein_attention_mask": torch.ones(BATCH, LENGTH + 2, dtype=torch.long),
    },
    "fsmt": lambda c: {  # without a mask of the decoder the tokens decide whether there is one
        **_text(c),
        "decoder_input_ids": _tokens(WORDS),
        "decoder_attention_mask": torch.ones(BATCH, LENGTH, dtype=torch.long),
    },
    "tvp": lambda c: {  # its positions are those of a batch of one
        **{name: tensor[:1] for name, tensor in _text(c).items()},
        "pixel_values": _random(1, c.num_frames, 3, c.max_img_size, c.max_img_size),
    },
    "vibevoice_acoustic_tokenizer_encoder": lambda c: {"hidden_states": _random(BATCH, c.channels, SAMPLES)},
    "voxtral_realtime_text": lambda c: {**_text(c), "t_cond": _random(1, 1, c.hidden_size)},
}


def settle(config: PretrainedConfig) -> None:
    """Give a small configuration the settings of its own model type, in place."""
    for path, value in SETTINGS.get(config.model_type, {}).items():
        *parts, name = path.split(".")
        part: Any = config
        for key in parts:
            part = getattr(part, key)
        vars(part)[name] = value


def model_of(config: PretrainedConfig) -> nn.Module:
    """The base model of a configuration; by the name that the library lists, where its AutoModel does not find it.

    Raises:
        ValueError: with the message of AutoModel.
    """
    try:
        return AutoModel.from_config(config)
    except ValueError:
        home = import_module(type(config).__module__.replace("configuration_", "modeling_"))
        if (found := getattr(home, str(MODEL_MAPPING_NAMES[config.model_type]), None)) is None:
            raise
        return found._from_config(config)

"""Configurations of transformers with small sizes, nested ones too."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from transformers import PretrainedConfig
from transformers.integrations.heterogeneity.configuration_utils import AmbiguousGlobalPerLayerAttributeError

WIDTH, INNER, LAYERS, HEADS, WORDS, IMAGE = 32, 48, 2, 4, 99, 32
LENGTH = 7  # of a text
# The largest value of a setting, by the name that the library's configurations give it: what costs memory and time
# without changing how the parts of a model fit together,
COUNTS = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_block", "depth"), LAYERS),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers", "num_encoder_layers"), LAYERS),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "context_size"), 64),
    **dict.fromkeys(("vocab_size", "n_words", "vocab_size_per_layer_input", "src_vocab_size", "tgt_vocab_size"), WORDS),
    **dict.fromkeys(("width_coefficient", "depth_coefficient"), 1.0),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "n_group", "num_expert_group"), 2),
    **dict.fromkeys(("moe_topk", "zero_expert_num", "num_self_attends_per_block"), 2),
    "topk_group": 1,
    "latent_query_num": 4,
    "label_length": 4,
    "frames_per_clip": 4,
    "encoder_hash_byte_group_vocab": WORDS,
}
# and sizes that have to fit together.
SIZES = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "embedding_size", "emb_dim"), WIDTH),
    **dict.fromkeys(("word_embed_proj_dim", "projection_dim", "attention_hidden_size", "encoder_hidden_size"), WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner"), INNER),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), INNER),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 24),
    **dict.fromkeys(("d_latents", "ffn_hidden_size", "output_channels", "fpn_hidden_size"), WIDTH),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), HEADS),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), HEADS),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "qk_head_dim"), 8),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank"), 16),
    **dict.fromkeys(("mamba_n_heads", "mamba_d_head", "hidden_size_per_layer_input"), 8),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), HEADS),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    "mamba_d_ssm": 2 * WIDTH,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "d_kv": 8,
    "image_size": IMAGE,
    "patch_size": 8,
    "crop_size": IMAGE,
    "num_pos_feats": WIDTH // 2,
    "image_embedding_size": IMAGE // 8,
    "upsample_groups": WIDTH,
    "rotary_dim": 4,
    "hidden_size_global": WIDTH,
}
DEPTHS = ("depths", "encoder_depths", "decoder_depths", "depth", "layer_depths")
# Numbers of layers: whose results are read, which attend to more than a window.
AT_LAYERS = ("hook_ids", "deepstack_visual_indexes", "fullatt_block_indexes")
STAGES = 2  # blocks of a stage: the second one of a pair of shifted windows too
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
# Masks that a model draws in Python while it trains, as layers that are left out.
DRAWN = ("mask_time_prob", "mask_feature_prob")
# Where the library's own choice is a loop over the experts that the values of a batch choose.
EXPERTS = {"openai_privacy_filter": "grouped_mm"}
# Widths of any name, for models whose parts have names of their own: a common divisor keeps what fits together;
WIDTHS = re.compile(
    r"(size|dim|channels|width|hidden|ffn|inner|d_model|d_ff|n_embd|filters|features|rank|latents|upsample_groups)"
    r"(_?list|s|_global)?$"
)
# what a data set, a picture or a sound has is no width.
NO_WIDTHS = re.compile(
    r"image|patch|vocab|kernel|window|^num_(?!filters)|bins|mel|in_chan|in_feat|input|crop|pool|chunk|block_size|stride|"
    r"batch|out_features|temporal|spatial|audio_channels|position|sample|context|merge|_label|state_size|conv_size"
)
# Settings without a default.
NEEDED = {"prediction_length": 4, "context_length": 8, "vocab_size": WORDS, "num_experts_per_tok": 2}


def shrink(config: PretrainedConfig, widths: bool = True, divisor: int = 1) -> None:
    """Make a configuration small, in place.

    Args:
        config: the library's defaults.
        widths: sizes too that have to fit together; otherwise only counts of layers, words, experts and positions.
        divisor: of all widths, where they keep their proportions.
    """
    for name in ("num_attention_heads", "num_heads", "num_key_value_heads"):
        with suppress(AmbiguousGlobalPerLayerAttributeError):
            getattr(config, name, None)
            continue
        config.per_layer_config = None  # one size for all layers
    heads = {k: getattr(config, k, None) for k in ("num_attention_heads", "num_heads", "num_key_value_heads")}
    largest = {**COUNTS, **SIZES} if widths else COUNTS
    if any(isinstance(number, list | tuple) for number in heads.values()):
        largest.pop("embed_dim", None)  # each stage has its heads, of which the width is a multiple
    for key, value in list(vars(config).items()):
        if isinstance(value, PretrainedConfig):
            shrink(value, widths, divisor)
        elif (smaller := _divided(key, _smaller(key, value, largest), divisor)) is None and value is not None:
            vars(config)[key] = None  # past the library's check of types
        elif smaller is not value:
            setattr(config, key, smaller)
    if widths and heads["num_key_value_heads"] == heads["num_attention_heads"] is not None:
        config.num_key_value_heads = config.num_attention_heads
    _shorten_lists(config)
    if config.model_type in EXPERTS:
        config._experts_implementation = EXPERTS[config.model_type]
    for keeps in ("use_cache", "use_mems_eval"):  # states for later calls, the second in evaluation alone
        if hasattr(config, keeps):
            setattr(config, keeps, False)


def _smaller(key: str, value: Any, largest: dict[str, Any]) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in largest and number and value > largest[key]:
        return largest[key]
    if key == "image_size" and isinstance(value, list | tuple) and "head_dim" in largest:
        return [IMAGE * round(side / min(value)) for side in value]
    if key in DEPTHS and isinstance(value, list | tuple):
        return [min(n, STAGES) for n in value] if all(isinstance(n, int) for n in value) else value
    if key.endswith(AT_LAYERS) and isinstance(value, list | tuple):
        kept = [min(n, LAYERS - 1) for n in value]
        return kept if key.endswith("hook_ids") else list(dict.fromkeys(kept))  # as many hooks as a neck has parts
    if key in TOKENS and number and value >= WORDS:
        return 1
    if key == "use_pretrained_backbone":
        return False
    if key.endswith("layerdrop") and number:
        return 0.0  # layers that are left out at random are a decision in Python, which no capture takes
    if key in DRAWN and number:
        return 0.0
    if key == "distil":
        return False  # exported, the library makes a mask of the length before it is halved, and none in a call
    if key == "altup_coef_clip":
        return None  # training would write to the weights in forward, which no capture takes
    if key == "axial_pos_shape":
        return (LENGTH, 1)
    if key == "vocabulary_map" and value is None:
        return {"<image>": 4}
    if isinstance(value, dict) and "mrope_section" in value and "head_dim" in largest:
        return {**value, "mrope_section": [2, 1, 1]}  # of half a head of 8
    return NEEDED.get(key) if value is None and key in NEEDED else value


def _divided(key: str, value: Any, divisor: int) -> Any:
    if divisor == 1 or isinstance(value, bool):
        return value
    if key.endswith("vocab_size") and isinstance(value, int):
        return min(value, WORDS)
    if not WIDTHS.search(key) or NO_WIDTHS.search(key):
        return value
    if isinstance(value, list | tuple) and value:
        parts = [_divided(key, part, divisor) for part in value]
        return value if any(new is old for new, old in zip(parts, value, strict=True)) else type(value)(parts)
    return value // divisor if isinstance(value, int) and value % divisor == 0 and value > divisor else value


def _shorten_lists(config: Any) -> None:
    """Lists with an entry for each layer."""
    layers = getattr(config, "num_hidden_layers", LAYERS)
    for key in ("layer_types", "mlp_layer_types", "layers_block_type"):
        kinds = getattr(config, key, None)
        if isinstance(kinds, list):
            with suppress(AttributeError):  # a property that follows from other settings
                setattr(config, key, _every_kind(kinds, layers))
    if {"num_hidden_layers", "patch_sizes"} <= vars(config).keys():  # stages that are called layers
        for key in ("patch_sizes", "hidden_sizes", "depths"):
            setattr(config, key, getattr(config, key)[:layers])
    if getattr(config, "num_kv_shared_layers", 0):
        config.num_kv_shared_layers = 0


def _every_kind(kinds: list[Any], layers: int) -> list[Any]:
    """As many entries as there are layers, with different kinds among them where there is room."""
    kept = kinds[:layers]
    others = [kind for kind in dict.fromkeys(kinds) if kind not in kept]
    return [*kept[:-1], others[0]] if others and len(set(kept)) < len(kept) else kept

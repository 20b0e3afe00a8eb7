"""Settings that a model of transformers complains of, changed one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.integrations.heterogeneity.configuration_utils import AmbiguousGlobalPerLayerAttributeError

from zoos.transformers_sizes import DEPTHS, HEADS, LAYERS, WIDTH

# Settings that are None or absent until a checkpoint gives them, for models that cannot be built without.
LACKING = {
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "pad_token_id": 1,
    "default_language": "en_XX",
    "rope_theta": 10000.0,
    "sliding_window": 4,
    "indexer_budget": 4,
    "indexer_compress_ratio": 2,
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "clip_qkv": 8.0,
    "vision_start_token_id": 5,
    "spatial_stride": 1,
    "downsample_rate": "1/2",
    "indexer_head_dim": 8,
    "deepstack_layer_map": [(0, 0)],
    "dropout_rate": 0.0,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 24,
    **dict.fromkeys(("image_token_index", "video_token_index"), 4),
}

# Settings that a model cannot be without, where it says so: another model has them at None.
NAMED = {"backbone": "resnet10t"}


# A model of timm inside, of which another part reads the width.
TRANSFORMER = {
    "architecture": "vit_pe_core_large_patch14_336",
    "model_args": {"embed_dim": WIDTH, "depth": LAYERS, "num_heads": HEADS, "img_size": (28, 28)}
    | {"ref_feat_shape": (2, 2), "global_pool": "", "use_post_transformer_norm": False},
}


def change(config: PretrainedConfig, complaint: str) -> bool:
    """Change the settings that a model complains of, in place; whether there are any.

    Settings that have to agree, those that only checkpoints give, and the layers of a model that is too large.
    """
    if "million parameters" in complaint:
        return any(_narrowed(part) for part in parts(config))
    half = sections_asked(complaint, config)
    if half is not None and _set_sections(config, half):
        return True
    if (unset := re.search(r"(\w+) is not set in the config", complaint)) and unset.group(1) in NAMED:
        setattr(config, unset.group(1), NAMED[unset.group(1)])
        return True
    every = list(parts(config))
    agreed, found, filled = _agree(every, complaint), _find_missed(every, complaint), _fill(every)
    told = _told_timm(every, complaint)
    return agreed or found or filled or told or _derived(every)


def parts(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """A configuration and those inside it."""
    yield config
    for value in vars(config).values():
        if isinstance(value, PretrainedConfig):
            yield from parts(value)


def _derived(every: list[Any]) -> bool:
    """Settings that constructors compute from others, after these others; whether any is another one."""
    changed = False
    for part in reversed(every):
        try:
            given = {field.name: getattr(part, field.name, None) for field in fields(part) if field.init}
            again = vars(type(part)(**given))
        except Exception:  # it checks settings that only loading completes
            continue
        others = {name: value for name, value in again.items() if _plain(value) and vars(part).get(name) != value}
        vars(part).update(others)
        changed |= bool(others)
    return changed


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | list | tuple)


def sections_asked(message: str, config: Any = None) -> int | None:
    """The half of a head that the sections of rotary positions have to fill, from the complaint about them."""
    found = re.search(r"split_sizes to sum exactly to (\d+)|expanded size of the tensor \((\d+)\) must match", message)
    if found:
        return int(found.group(1) or found.group(2))
    width = None
    with suppress(AmbiguousGlobalPerLayerAttributeError):  # each layer has a width of its own
        width = getattr(getattr(config, "text_config", config), "head_dim", None)
    return width // 2 if width and "'NoneType' has no len()" in message else None


def _set_sections(config: Any, half: int) -> bool:
    """Sections of rotary positions that add up to `half` of a head; whether a configuration has any."""
    found = False
    for value in vars(config).values():
        if isinstance(value, PretrainedConfig):
            found |= _set_sections(value, half)
    if isinstance(rope := getattr(config, "rope_parameters", None), dict):
        part = half // 4 or half // 2
        rope["mrope_section"] = [part, part, half - 2 * part] if half >= 4 else [half - part, part, 0]
        found = True
    return found


def _find_missed(every: list[Any], complaint: str) -> bool:
    """An attribute that a part misses, from another part that has it, with what else that part has."""
    missed = re.search(r"'(\w+)' object has no attribute '(\w+)'", complaint)
    if not missed:
        return False
    kind, name = missed.groups()
    given = False
    for part in [part for part in every if type(part).__name__ == kind]:
        others = [vars(other) for other in every if other is not part and name in vars(other)]
        for absent, value in (others[-1] if others else {name: LACKING.get(name)}).items():
            if absent not in vars(part) and not absent.startswith("_") and value is not None:
                setattr(part, absent, value)
                given = True
    return given


def _fill(every: list[Any]) -> bool:
    """Settings that are None and need not be."""
    given = False
    for part in every:
        for name in [name for name, value in vars(part).items() if value is None]:
            value = LACKING[name] if name in LACKING else _follows(part, name)
            if value is not None:
                setattr(part, name, value)
                given = True
    return given


def _agree(every: list[Any], complaint: str) -> bool:
    """Settings that say what others say too, where a complaint shows that they differ."""
    differ = _differ(complaint)
    changed = differ is not None and any(_replaced(part, *differ) or _staged(part, *differ) for part in every)
    normed = re.search(r"normalized_shape=\[(\d+)\]", complaint)
    for part in every:
        stages = getattr(part, "embed_dim_per_stage", None) or [0]
        if normed and int(normed.group(1)) == stages[0] != part.hidden_size:
            part.hidden_size = stages[0]  # which the first stage is given
            changed = True
        kinds = getattr(part, "layer_types", None) or ()
        if (kind := re.search(r"KeyError: '(\w+)'", complaint)) and kind.group(1) in kinds:
            part.rope_parameters = {kind: {"rope_type": "default", "rope_theta": 10000.0} for kind in set(kinds)}
            changed = True
        if _too_large(complaint) and (sizes := getattr(part, "backbone_feature_sizes", None)):
            part.backbone_feature_sizes = [[max(side // 2, 1) for side in size] for size in sizes]
            changed = True
        if "list index out of range" in complaint:
            changed |= _deepened(part)
        if "Padding_idx must be within" in complaint and hasattr(part, "audio_pad_token_id"):
            part.audio_pad_token_id = part.vocab_size + part.num_codebooks * part.codebook_vocab_size  # the last one
            changed = True
        blocks = getattr(part, "layers_block_type", None) or ()
        if "tie_weights_keys" in complaint and len(set(blocks)) > 1:
            part.layers_block_type = ["hybrid"] * len(blocks)  # a layer that is shared needs another one
            changed = True
    return changed


def _too_large(complaint: str) -> bool:
    """Whether a map of features is said to have more rows than it has."""
    sizes = re.search(r"tensor a \((\d+)\) must match .* tensor b \((\d+)\) at .* dimension [23]", complaint)
    return "is invalid for input of size" in complaint or bool(sizes and int(sizes.group(1)) > int(sizes.group(2)))


def _deepened(part: Any) -> bool:
    """As many blocks in every stage as there are stages, for what a stage looks up by its own number."""
    for name in DEPTHS:
        depths = getattr(part, name, None)
        if isinstance(depths, list) and min(depths) < len(depths):
            setattr(part, name, [len(depths)] * len(depths))
            return True
    return False


def _differ(complaint: str) -> tuple[int, int] | None:
    """The width that a setting has, and the one that another part of the model has."""
    if found := re.search(r"running_mean should contain (\d+) elements not (\d+)", complaint):
        return int(found.group(2)), int(found.group(1))
    if found := re.search(r"weight of size \[\d+, (\d+), .* channels, but got (\d+) channels", complaint):
        return int(found.group(1)), int(found.group(2))
    if found := re.search(r"tensor a \((\d+)\) must match .* tensor b \((\d+)\) at .* dimension 2", complaint):
        return int(found.group(1)), int(found.group(2))
    if found := re.search(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", complaint):
        rows, own, others, columns = map(int, found.groups())
        return (own, others) if rows == columns else None  # pairs of texts and images
    return None


def _replaced(part: Any, own: int, others: int) -> bool:
    for name, value in list(vars(part).items()):
        if not re.search(r"channel|hidden_dim|projection_dim|embedding_dim", name):
            continue
        if value == own and isinstance(value, int):
            setattr(part, name, others)
            return True
        if isinstance(value, list | tuple) and own in value:
            at = list(value).index(own)
            setattr(part, name, [*value[:at], others, *value[at + 1 :]])
            return True
    return False


def _staged(part: Any, own: int, others: int) -> bool:
    """As many stages of a backbone as a part of the model takes together."""
    stages = getattr(part, "stage_names", None) or []
    count = own // others
    if count > len(stages) > 1 and list(part.out_features) != list(stages[1:]):  # stages of layers that are no more
        part.set_output_features_output_indices(list(stages[1:]), None)
        return True
    if own % others or not 1 < count <= len(stages) or len(part.out_features) == count:
        return False
    part.set_output_features_output_indices(list(stages[-count:]), None)
    return True


def _follows(config: Any, name: str) -> Any:
    """A setting that follows from the others, as checkpoints have it."""
    heads = getattr(config, "num_attention_heads", None)
    layers = getattr(config, "num_hidden_layers", LAYERS)
    if name == "num_key_value_heads":
        return heads
    if name == "head_dim" and heads:
        return config.hidden_size // heads
    return {
        "layer_types": ["full_attention"] * layers,
        "mlp_layer_types": ["dense", "sparse"][:layers] + ["sparse"] * (layers - 2),
    }.get(name)


def _told_timm(every: list[Any], complaint: str) -> bool:
    """Settings of a model of timm inside, where another part asks for them."""
    untold = [part for part in every if hasattr(part, "model_args") and not part.model_args]
    if "not subscriptable" not in complaint or not untold:
        return False
    vars(untold[0]).update(TRANSFORMER)
    return True


def _narrowed(part: Any) -> bool:
    """Few layers for a model of timm inside; whether it lets itself be told."""
    if not hasattr(part, "model_args"):
        return False
    from zoos.timm_zoo import NARROW, few_layers, timm

    given = part.model_args or {}
    for settings in (*few_layers(part.architecture), *NARROW):
        with suppress(Exception), torch.device("meta"):
            timm.create_model(part.architecture, **settings)
            part.model_args = {**given, **settings}
            return part.model_args != given
    return False

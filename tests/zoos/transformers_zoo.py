"""Every model type of transformers as a small case: ``transformers_zoo.py:bert``, by the library's own names.

Configurations are the library's defaults with the usual sizes made small; inputs are made for the arguments that the
model asks for. The loss weighs every element of every output differently, so that no gradient cancels.
"""

from __future__ import annotations

import inspect
import os
import re
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from transformers import AutoModel, PretrainedConfig
from transformers.integrations import moe
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

import regauge

transformers.logging.set_verbosity_error()
# The kernel of torch for products by groups knows no float64, with which everything is compared.
moe._can_use_grouped_mm = lambda *args, **kwargs: False

WIDTH, INNER, LAYERS, HEADS, WORDS, IMAGE, LENGTH, BATCH = 32, 48, 2, 4, 99, 32, 7, 2
# The largest value of a setting, by the name that the library's configurations give it.
SMALL = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "embedding_size"), WIDTH),
    **dict.fromkeys(("word_embed_proj_dim", "projection_dim", "attention_hidden_size"), WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner"), INNER),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), INNER),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 24),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), LAYERS),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers", "num_encoder_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), HEADS),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), HEADS),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 64),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "qk_head_dim"), 8),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank"), 16),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "d_kv": 8,
    "vocab_size": WORDS,
    "image_size": IMAGE,
    "patch_size": 8,
    "num_experts_per_tok": 2,
    "rotary_dim": 4,
}
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


# Inputs that can be made, and the layouts that are tried one after the other.
KNOWN = {
    *("input_ids", "decoder_input_ids", "attention_mask", "pixel_values", "input_values", "input_features"),
    *("inputs_embeds", "pixel_mask", "input_features_mask"),
}
LAYOUTS = ("usual", "other")
# What may be missing where an error does not name it.
SPARE = ("pixel_values", "input_ids", "decoder_input_ids", "attention_mask")


class NotBuilt(Exception):
    """The model cannot be made small without knowing it better, or it asks for inputs that nobody can guess."""


def names() -> list[str]:
    """Every model type with a base model."""
    return list(MODEL_MAPPING_NAMES)


def __getattr__(name: str) -> regauge.Case:
    if name not in MODEL_MAPPING_NAMES:
        raise AttributeError(name)
    return case(name)


def case(name: str) -> regauge.Case:
    """The case of a model type.

    Raises:
        NotBuilt: with the library's own message.
    """
    torch.manual_seed(0)
    try:
        config = CONFIG_MAPPING[name]()
        shrink(config)
        model = AutoModel.from_config(config)
    except (Exception, SystemExit) as error:
        raise NotBuilt(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    inputs = accepted_inputs(model)
    return regauge.Case(seeded(model), inputs, None, weighted, None, name)


def shrink(config: PretrainedConfig) -> None:
    """Make the sizes small, in nested configurations too."""
    for key, value in list(vars(config).items()):
        if isinstance(value, PretrainedConfig):
            shrink(value)
        elif key in SMALL and isinstance(value, int) and not isinstance(value, bool) and value > SMALL[key]:
            setattr(config, key, SMALL[key])
        elif isinstance(value, dict) and "mrope_section" in value:
            value["mrope_section"] = [2, 1, 1]  # of half a head of 8
        elif key in TOKENS and isinstance(value, int) and value >= WORDS:
            setattr(config, key, 1)
    kinds = getattr(config, "layer_types", None)
    if isinstance(kinds, list) and not isinstance(getattr(type(config), "layer_types", None), property):
        config.layer_types = kinds[: getattr(config, "num_hidden_layers", LAYERS)]
    if hasattr(config, "use_cache"):
        config.use_cache = False


def accepted_inputs(model: nn.Module) -> dict[str, Tensor]:
    """Inputs that the model runs with: what it asks for, what its errors name, and other layouts of it.

    Raises:
        NotBuilt: with the model's own message.
    """
    accepted = inspect.signature(model.forward).parameters
    names, layouts, last = _asked_for(model), iter(LAYOUTS), ""
    layout = next(layouts)
    for _ in range(8):
        inputs = {name: _input(name, model, layout) for name in names}
        try:
            with torch.no_grad():
                model.eval()(**inputs)
        except Exception as error:
            message = " ".join(str(error).split())
            last = f"inputs: {type(error).__name__}: {message[:200]}"
            named = [n for n in accepted if n in KNOWN and n not in names and re.search(rf"\\b{n}\\b", message)]
            if named:
                names.append(named[0])
            elif (following := next(layouts, None)) is not None:
                layout = following
            elif spare := [n for n in SPARE if n in accepted and n not in names]:
                names.append(spare[0])
            else:
                break
        else:
            return inputs
    raise NotBuilt(last)


def _asked_for(model: Any) -> list[str]:
    accepted = inspect.signature(model.forward).parameters
    needed = [name for name, p in accepted.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    main = getattr(model, "main_input_name", "input_ids")
    wanted = [main if isinstance(main, str) else main[0], *needed]
    if getattr(model.config, "is_encoder_decoder", False) and "decoder_input_ids" in accepted:
        wanted.append("decoder_input_ids")
    if "input_ids" in wanted and "attention_mask" in accepted:
        wanted.append("attention_mask")
    return [name for name in dict.fromkeys(wanted) if name in accepted]


def _input(name: str, model: Any, layout: str) -> Tensor:
    config, generator = model.config, torch.Generator().manual_seed(2)
    part = getattr(config, "vision_config", None) or getattr(config, "audio_config", None) or config
    if name.endswith("mask"):
        return torch.ones(BATCH, LENGTH, dtype=torch.long)
    if name.endswith("input_ids"):
        text = getattr(config, "text_config", None) or config
        words = getattr(text, "vocab_size", WORDS)
        return torch.randint(
            3, min(words if isinstance(words, int) else WORDS, WORDS), (BATCH, LENGTH), generator=generator
        )
    if name == "pixel_values":
        size, channels = getattr(part, "image_size", IMAGE), getattr(part, "num_channels", 3)
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return torch.randn(BATCH, channels, height, width, generator=generator)
    if name == "input_values":
        return torch.randn(BATCH, *((1,) if layout == "other" else ()), 2000, generator=generator)
    if name == "input_features":
        bins = getattr(part, "num_mel_bins", None) or getattr(part, "input_feat_size", None) or 80
        steps = min(2 * getattr(part, "max_source_positions", 32), 3000)
        features = torch.randn(BATCH, bins, steps, generator=generator)
        return features.transpose(1, 2).contiguous() if layout == "other" else features
    if name in ("pixel_mask", "input_features_mask"):
        return torch.ones(BATCH, IMAGE, IMAGE, dtype=torch.long)
    if name == "inputs_embeds":
        return torch.randn(BATCH, LENGTH, config.hidden_size, generator=generator)
    raise NotBuilt(f"inputs: nobody knows what {name} is")


def seeded(model: nn.Module) -> nn.Module:
    """Weights away from the neutral values that hide errors: biases, weights of norms and statistics too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1 and parameter.is_floating_point():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1, generator=generator)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)
    return model.train()


def weighted(outputs: Any, targets: Any) -> Tensor:
    """Every element of every floating output times a number of its own."""
    leaves = [x for x in pytree.tree_leaves(outputs) if isinstance(x, Tensor) and x.is_floating_point()]
    total = torch.zeros(())
    for leaf in leaves:
        flat = leaf.reshape(-1)
        total = total + (flat * torch.cos(torch.arange(flat.shape[0]))).sum()
    return total

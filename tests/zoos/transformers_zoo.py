"""Every model type of transformers as a small case: ``transformers_zoo.py:bert``, by the library's own names.

Configurations are the library's defaults with the usual sizes made small; where the small sizes do not fit together,
with few layers, words and positions alone, or with all widths divided by one number. Settings that a model complains of
are changed one after another: those that only checkpoints give, and those that have to agree. Inputs are made for the
arguments that the model asks for. The loss weighs every element of every output differently, so that no gradient
cancels.
"""

from __future__ import annotations

import os
from dataclasses import replace

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.integrations import moe
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

import regauge
from zoos.cases import LARGEST, NotBuilt, not_built, seeded, small_enough, weighted
from zoos.stand_in import timm_in_transformers
from zoos.transformers_inputs import accepted_inputs, with_padding
from zoos.transformers_own import INPUTS, model_of, settle
from zoos.transformers_repairs import change
from zoos.transformers_sizes import shrink

transformers.logging.set_verbosity_error()
timm_in_transformers()
# The kernel of torch for products by groups knows no float64, with which everything is compared.
moe._can_use_grouped_mm = lambda *args, **kwargs: False


# Sizes that usually fit together; the library's own with few layers; those in proportion.
Settings = tuple[bool, int]
CHANGES = 12  # of settings that a model complains of
SETTINGS: tuple[Settings, ...] = ((True, 1), (False, 1), (False, 8), (False, 4), (False, 2))


def names() -> list[str]:
    """Every model type with a base model."""
    return list(MODEL_MAPPING_NAMES)


def __getattr__(name: str) -> regauge.Case:
    """The case of a model type; ``qwen3_vl_vision+grid_thw`` is the one with this input known."""
    name, *known = name.split("+")
    if name not in MODEL_MAPPING_NAMES:
        raise AttributeError(name)
    return replace(case(name), known=tuple(known))


def case(name: str) -> regauge.Case:
    """The case of a model type.

    Raises:
        NotBuilt: with the library's own message about the small sizes.
    """
    first = None
    for settings in SETTINGS:
        torch.manual_seed(0)
        try:
            model, inputs = _built(name, settings)
        except NotBuilt as error:
            first = first or error
            if isinstance(error.__cause__, ImportError):
                break  # a library that no setting replaces
        else:
            return regauge.Case(seeded(model), inputs, None, weighted, None, name)
    raise first or NotBuilt(name)


def _built(name: str, settings: Settings) -> tuple[nn.Module, dict[str, Tensor]]:
    """The model and its inputs, with settings changed as it complains of them, one after another."""
    widths, divisor = settings
    try:
        config = CONFIG_MAPPING[name]()
        if isinstance(classes := MODEL_MAPPING_NAMES[name], tuple):  # of which a checkpoint names one
            config.architectures = [classes[0]]
        shrink(config, widths, divisor)
        settle(config)
    except (Exception, SystemExit) as error:
        raise not_built(error) from error
    complaint = ""
    for _ in range(CHANGES):
        try:
            return _accepting(config, count_first=not widths)
        except NotBuilt as error:
            if str(error) == complaint or not change(config, complaint := str(error)):
                raise
    return _accepting(config, count_first=not widths)


def _accepting(config: PretrainedConfig, count_first: bool) -> tuple[nn.Module, dict[str, Tensor]]:
    try:
        if count_first:
            _refuse_large(config)
        model = small_enough(model_of(config))
    except NotBuilt:
        raise
    except (Exception, SystemExit) as error:
        raise not_built(error) from error
    try:
        own = INPUTS.get(config.model_type)
        return model, with_padding(model, accepted_inputs(model) if own is None else own(config))
    except NotBuilt:
        raise
    except Exception as error:  # a setting that an input is made of is not there
        raise not_built(error, "inputs: ") from error


def _refuse_large(config: object) -> None:
    """Count parameters before any memory is taken: widths of large models stay."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in model_of(config).parameters())
    if count > LARGEST:
        raise NotBuilt(f"{count / 1e6:.0f} million parameters with few layers")

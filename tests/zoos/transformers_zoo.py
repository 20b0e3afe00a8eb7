"""Every model type of transformers as a small case: ``transformers_zoo.py:bert``, by the library's own names.

Configurations are the library's defaults with the usual sizes made small; where the small sizes do not fit together,
with few layers, words and positions alone. Inputs are made for the arguments that the model asks for. The loss weighs
every element of every output differently, so that no gradient cancels.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModel
from transformers.integrations import moe
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

import regauge
from zoos.cases import LARGEST, NotBuilt, not_built, seeded, small_enough, weighted
from zoos.stand_in import timm_in_transformers
from zoos.transformers_inputs import accepted_inputs, sections_asked
from zoos.transformers_sizes import set_sections, shrink

transformers.logging.set_verbosity_error()
timm_in_transformers()
# The kernel of torch for products by groups knows no float64, with which everything is compared.
moe._can_use_grouped_mm = lambda *args, **kwargs: False


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
        NotBuilt: with the library's own message about the small sizes.
    """
    first = None
    for widths in (True, False):
        torch.manual_seed(0)
        try:
            model, inputs = _built(name, widths)
        except NotBuilt as error:
            first = first or error
        else:
            return regauge.Case(seeded(model), inputs, None, weighted, None, name)
    raise first or NotBuilt(name)


def _built(name: str, widths: bool, half: int | None = None) -> tuple[nn.Module, dict[str, Tensor]]:
    try:
        config = CONFIG_MAPPING[name]()
        shrink(config, widths)
        if half is not None and not set_sections(config, half):
            raise NotBuilt("no sections of rotary positions to set")
        if not widths:
            _refuse_large(config)
        model = small_enough(AutoModel.from_config(config))
    except NotBuilt:
        raise
    except (Exception, SystemExit) as error:
        raise not_built(error) from error
    try:
        return model, accepted_inputs(model)
    except NotBuilt as error:
        if half is None and (asked := sections_asked(str(error))) is not None:
            return _built(name, widths, asked)
        raise
    except Exception as error:  # a setting that an input is made of is not there
        raise not_built(error, "inputs: ") from error


def _refuse_large(config: object) -> None:
    """Count parameters before any memory is taken: widths of large models stay."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in AutoModel.from_config(config).parameters())
    if count > LARGEST:
        raise NotBuilt(f"{count / 1e6:.0f} million parameters with few layers")

"""One small model of every family (module) of timm as a case: ``timm_zoo.py:vision_transformer``.

Of a family's models that are named small the one with the fewest parameters is taken, with few layers and 10 classes
where it lets itself be told, with fewer channels where it is large still, and with the smallest image that it accepts.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import Tensor, nn

import regauge
from zoos.cases import NotBuilt, out_of_memory, seeded, short, small_enough, weighted
from zoos.stand_in import timm as _timm

timm = _timm()
CLASSES, BATCH = 10, 2
IMAGES = (32, 64, 96, 128, 160, 192, 224, 256, 288, 384)
TRIED = 6  # models of a family that are counted
# Parts of names that stand for small models, smallest first.
SIZES = re.compile(r"test|atto|femto|pico|zepto|nano|tiny|mini|xxs|_t\d|_xs|micro|small|_s\d?|lite|_?[0a]\d?$")
FEW = 1  # blocks of each stage, and
LAYERS = 2  # blocks of a model without stages
# For models that are large with few layers, or do not let themselves be told how many.
NARROW: tuple[dict[str, Any], ...] = (
    {"depth": LAYERS},
    {"mlp_ratio": 0.1},
    {"channel_multiplier": 0.25},
    {"num_features": 960, "stem_size": 24},
)


def names() -> list[str]:
    """The families."""
    return [name for name in timm.list_modules() if timm.list_models(module=name)]


def __getattr__(name: str) -> regauge.Case:
    if name.startswith("_") or name not in timm.list_modules():
        raise AttributeError(name)
    return case(name)


def case(family: str) -> regauge.Case:
    """The case of a family; its name is that of the chosen model.

    Raises:
        NotBuilt: with the library's own message.
    """
    torch.manual_seed(0)
    name = smallest(family)
    model, image = built(name)
    return regauge.Case(seeded(model), (image,), None, weighted, None, name)


def smallest(family: str) -> str:
    """The model with the fewest parameters among those whose names say that they are small."""
    entries = sorted(timm.list_models(module=family), key=lambda n: (not SIZES.search(n), len(n), n))
    counts = {}
    for name in entries[:TRIED]:
        try:
            with torch.device("meta"):
                counts[name] = sum(p.numel() for p in timm.create_model(name).parameters())
        except Exception:  # a model that cannot be counted is taken last
            counts[name] = 1 << 62
    return min(counts, key=lambda name: counts[name])


def built(name: str) -> tuple[nn.Module, Tensor]:
    """A model with few layers, and an image that it accepts."""
    last = NotBuilt("no size of image fits")
    for settings in (*few_layers(name), {}, *NARROW):
        for size in IMAGES:
            for sized in ({"img_size": size}, {}):
                try:
                    model = timm.create_model(name, num_classes=CLASSES, **settings, **sized)
                    return small_enough(model), _accepted(model, size)
                except NotBuilt as error:
                    last = error
                    break
                except Exception as error:
                    if out_of_memory(error):
                        raise
                    last = NotBuilt(short(error))
    raise last


def _accepted(model: Any, size: int) -> Tensor:
    channels = model.default_cfg["input_size"][0]
    image = torch.randn(BATCH, channels, size, size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        model.eval()(image)
    return image


def few_layers(name: str) -> list[dict[str, Any]]:
    """Settings of depth that the model's class has, as its default has stages."""
    with torch.device("meta"):
        accepted = inspect.signature(type(timm.create_model(name)).__init__).parameters
    found: list[dict[str, Any]] = []
    for setting in ("depth", "depths", "layers", "num_blocks"):
        default = accepted[setting].default if setting in accepted else None
        if isinstance(default, int):
            found.append({setting: min(default, LAYERS)})
        elif setting in accepted:
            stages = len(default) if isinstance(default, tuple | list) else 4
            found.append({setting: (FEW,) * stages})
    return found

"""Inputs for any model of transformers, from the names of its arguments, its configuration and its own complaints."""

from __future__ import annotations

import inspect
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from zoos.cases import NotBuilt, short
from zoos.transformers_sizes import IMAGE, WORDS

LENGTH, BATCH, FRAMES, SAMPLES = 7, 2, 2, 2000
TRIES = 14  # of each set of names
SECONDS = 15  # of processor time, after which no further inputs are tried
BINS = (
    *("num_mel_bins", "input_feat_size", "feature_size", "input_dim", "n_mels", "input_size", "mel_bins"),
    *("input_feat_per_channel", "num_features"),
)


@dataclass(frozen=True)
class Layout:
    """What may differ between models that call an input by the same name.

    Attributes:
        order: of the dimensions: usual, swapped, pair, video or spectrogram.
        image: height and width where the configuration has none.
        bins: of spectrograms where the configuration has none.
    """

    order: str = "usual"
    image: int = IMAGE
    bins: int = 80


LAYOUTS = (
    *(Layout(order) for order in ("usual", "swapped", "pair", "video", "spectrogram")),
    *(Layout(image=size) for size in (64, 128, 224)),
)


def accepted_inputs(model: nn.Module) -> dict[str, Tensor]:
    """Inputs that the model runs with: what it asks for, what its errors name, and other layouts of it.

    Raises:
        NotBuilt: with the model's own message.
    """
    first, until = None, time.process_time() + SECONDS
    for names in _sets_of_names(model):
        try:
            return _completed(model, names, until)
        except NotBuilt as error:
            first = first or error
    raise first or NotBuilt("inputs: the model takes none")


def _completed(model: Any, names: list[str], until: float) -> dict[str, Tensor]:
    accepted = inspect.signature(model.forward).parameters
    layouts, last = iter(LAYOUTS), ""
    layout = next(layouts)
    for _ in range(TRIES):
        inputs = {name: made(name, model.config, layout) for name in names}
        try:
            with torch.no_grad():
                model.eval()(**inputs)
        except Exception as error:
            last = f"inputs: {short(error)}"
            if time.process_time() > until:
                break
            named = [n for n in accepted if n in MAKERS and n not in names and re.search(rf"\b{n}\b", str(error))]
            if named:
                names = [*names, named[0]]
            elif (bins := _bins_asked(str(error), layout)) is not None and bins != layout.bins:
                layout = replace(layout, bins=bins)
            elif (following := next(layouts, None)) is not None:
                layout = following
            else:
                break
        else:
            return inputs
    raise NotBuilt(last)


def _sets_of_names(model: Any) -> Iterator[list[str]]:
    """What the model says that it needs; with what is usual beside it; text alone."""
    accepted = inspect.signature(model.forward).parameters
    needed = [name for name, p in accepted.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    main = getattr(model, "main_input_name", "input_ids")
    wanted = [main if isinstance(main, str) else main[0], *needed]
    if getattr(model.config, "is_encoder_decoder", False):
        wanted.append("decoder_input_ids")
    text = ["input_ids", "attention_mask"]
    sets = [
        [*wanted, *(["attention_mask"] if "input_ids" in wanted else [])],
        [*wanted, f"{wanted[0]}_mask", "feature_attention_mask"],
        [*text, *needed],
        ["pixel_values", *text],
        ["pixel_values", *needed],
        ["input_features", *text],
        [*text, "decoder_input_ids"],
        ["states", "actions", "rewards", "returns_to_go", "timesteps"],
    ]
    seen = []
    for names in sets:
        kept = [name for name in dict.fromkeys(names) if name in accepted]
        if kept and kept not in seen:
            seen.append(kept)
            yield kept


def _bins_asked(message: str, layout: Layout) -> int | None:
    """The number of bins that a product of matrices of other shapes asks for."""
    found = re.search(r"\(\d+x(\d+) and (\d+)x\d+\)", message)
    if not found:
        return None
    given, wanted = map(int, found.groups())
    whole = given % layout.bins == 0 and layout.bins * wanted % given == 0
    return layout.bins * wanted // given if whole else None


def made(name: str, config: Any, layout: Layout) -> Tensor:
    """An input by its name.

    Raises:
        NotBuilt: nobody knows what it is.
    """
    if name not in MAKERS:
        raise NotBuilt(f"inputs: nobody knows what {name} is")
    try:
        return MAKERS[name](config, layout)
    except AttributeError as error:  # a setting that this configuration has under another name
        raise NotBuilt(f"inputs: {short(error)}") from error


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def _part(config: Any, *names: str) -> Any:
    return next((part for n in names if (part := getattr(config, n, None)) is not None), config)


def _tokens(config: Any, layout: Layout) -> Tensor:
    words = getattr(_part(config, "text_config", "text_encoder", "decoder"), "vocab_size", WORDS)
    most = min(words if isinstance(words, int) else WORDS, WORDS)
    return torch.randint(3, most, (BATCH, LENGTH), generator=torch.Generator().manual_seed(2))


def _mask(config: Any, layout: Layout) -> Tensor:
    return torch.ones(BATCH, LENGTH, dtype=torch.long)


def _image(config: Any, layout: Layout) -> Tensor:
    part = _part(config, "vision_config", "vision_encoder_config")
    size = getattr(part, "image_size", None) or layout.image
    if layout.image != IMAGE:
        size = layout.image
    channels = next((n for k in ("num_channels", "in_channels", "in_chans") if (n := getattr(part, k, None))), 3)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    frames = getattr(part, "num_frames", None) or FRAMES
    several = {"pair": (2,), "video": (frames,)}.get(layout.order, ())
    return _random(BATCH, *several, channels, height, width)


def _sound(config: Any, layout: Layout) -> Tensor:
    if layout.order == "spectrogram":
        return _random(BATCH, getattr(config, "max_length", 0) or 64, _bins(config, layout))
    return _random(BATCH, *((1,) if layout.order == "swapped" else ()), SAMPLES)


def _bins(config: Any, layout: Layout) -> int:
    if layout.bins != Layout.bins:
        return layout.bins
    part = _part(config, "audio_config", "encoder_config")
    return next((n for k in BINS if isinstance(n := getattr(part, k, None), int)), layout.bins)


def _features(config: Any, layout: Layout) -> Tensor:
    part = _part(config, "audio_config", "encoder_config")
    steps = min(2 * (getattr(part, "max_source_positions", None) or 32), 3000)
    features = _random(BATCH, _bins(config, layout), steps)
    return features.transpose(1, 2).contiguous() if layout.order == "swapped" else features


def _steps_mask(config: Any, layout: Layout) -> Tensor:
    steps = _features(config, layout).shape[1 if layout.order == "swapped" else 2]
    return torch.ones(BATCH, steps, dtype=torch.long)


def _steps_before(config: Any) -> int:
    return config.context_length + max(getattr(config, "lags_sequence", None) or [0])


def _channels(config: Any) -> tuple[int, ...]:
    count = getattr(config, "num_input_channels", None) or getattr(config, "input_size", 1)
    return () if count == 1 else (count,)


def _times(config: Any, steps: int) -> Tensor:
    return _random(BATCH, steps, getattr(config, "num_time_features", 0))


def _grid(config: Any, layout: Layout) -> Tensor:
    return torch.tensor([[1, 4, 4]])


def _patches(config: Any, layout: Layout) -> Tensor:
    """Of an image of 4 by 4 patches, flattened."""
    part = _part(config, "vision_config")
    if not isinstance(patch := getattr(part, "patch_size", None), int):
        raise NotBuilt("inputs: nobody knows what hidden_states is")
    channels = getattr(part, "in_channels", None) or getattr(part, "num_channels", 3)
    return _random(16, channels * (getattr(part, "temporal_patch_size", None) or 1) * patch**2)


def _boxes(config: Any, layout: Layout) -> Tensor:
    return torch.tensor([1, 2, 5, 7]).expand(BATCH, LENGTH, 4).contiguous()


def _queries(config: Any, layout: Layout) -> Tensor:
    return _random(BATCH, LENGTH, config.hidden_size)


def _acts(setting: str) -> Callable[[Any, Layout], Tensor]:
    return lambda config, layout: _random(BATCH, LENGTH, getattr(config, setting, 1))


MAKERS: dict[str, Callable[[Any, Layout], Tensor]] = {
    **dict.fromkeys(("input_ids", "decoder_input_ids"), _tokens),
    **dict.fromkeys(("attention_mask", "decoder_attention_mask"), _mask),
    **dict.fromkeys(("token_type_ids", "mm_token_type_ids"), lambda c, at: 0 * _mask(c, at)),
    "pixel_values": _image,
    "pixel_mask": lambda c, at: torch.ones(BATCH, *_image(c, at).shape[-2:], dtype=torch.long),
    "input_values": _sound,
    "input_features": _features,
    **dict.fromkeys(("input_features_mask", "feature_attention_mask"), _steps_mask),
    "inputs_embeds": _queries,
    "query_embeds": _queries,
    "bbox": _boxes,
    **dict.fromkeys(("grid_thw", "image_grid_thw"), _grid),
    "hidden_states": _patches,
    # series of values in time
    "past_values": lambda c, at: _random(BATCH, _steps_before(c), *_channels(c)),
    "past_observed_mask": lambda c, at: torch.ones(BATCH, _steps_before(c), *_channels(c)),
    "past_time_features": lambda c, at: _times(c, _steps_before(c)),
    "future_values": lambda c, at: _random(BATCH, c.prediction_length, *_channels(c)),
    "future_time_features": lambda c, at: _times(c, c.prediction_length),
    # states and actions
    "states": _acts("state_dim"),
    "actions": _acts("act_dim"),
    "rewards": _acts(""),
    "returns_to_go": _acts(""),
    "timesteps": lambda c, at: torch.arange(LENGTH).expand(BATCH, LENGTH).contiguous(),
}


def sections_asked(message: str) -> int | None:
    """The half of a head that the sections of rotary positions have to fill, from the complaint of the split."""
    found = re.search(r"split_sizes to sum exactly to (\d+)", message)
    return math.trunc(float(found.group(1))) if found else None

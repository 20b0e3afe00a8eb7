"""Inputs for any model of transformers, from the names of its arguments, its configuration and its own complaints."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from regauge.capture.export_paths import require_one_function
from regauge.errors import CaptureError
from zoos.cases import NotBuilt, out_of_memory, short
from zoos.transformers_layouts import INSTEAD, LAYOUTS, SHORT, Layout, arguments_asked, layout_asked
from zoos.transformers_sizes import IMAGE, LENGTH, WORDS

BATCH, FRAMES = 2, 2
TRIES = 20  # of each set of names
SECONDS = 10  # of processor time, after which no further inputs are tried
BINS = (
    *("num_mel_bins", "input_feat_size", "feature_size", "input_dim", "n_mels", "input_size", "mel_bins"),
    *("input_feat_per_channel", "num_features", "feature_projection_input_dim"),
)
STEPS = 3000  # of spectrograms at most
ROWS = COLUMNS = 4  # patches of an image that is given as patches


def accepted_inputs(model: nn.Module) -> dict[str, Tensor]:
    """Inputs that the model runs with in both modes: what it asks for, what its errors name, and other layouts of it.

    Where there are none for training, those for evaluation: the capture then says what the model refuses.

    Raises:
        NotBuilt: with the model's own message.
    """
    first, until = None, time.process_time() + SECONDS
    evaluated: list[dict[str, Tensor]] = []
    for names in _sets_of_names(model):
        try:
            return _completed(model, names, until, evaluated)
        except NotBuilt as error:
            first = first or error
    if evaluated:
        return evaluated[0]
    raise first or NotBuilt("inputs: the model takes none")


def _completed(model: Any, names: list[str], until: float, evaluated: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    accepted = inspect.signature(model.forward).parameters
    layouts, complaint = iter(LAYOUTS), ""
    layout = usual = next(layouts)
    for _ in range(TRIES):
        inputs = {name: made(name, model.config, layout) for name in names}
        try:
            with torch.no_grad():
                model.eval()(**inputs)
                evaluated.append(inputs)
                _train(model, inputs)
        except Exception as error:
            if out_of_memory(error):
                raise
            if layout == usual or not complaint:
                complaint = f"inputs: {short(error)}"
            if time.process_time() > until:
                break
            if named := arguments_asked(error, [n for n in accepted if n in MAKERS and n not in names]):
                names = [*names, named[0]]
            elif (asked := layout_asked(str(error), layout)) != layout:
                layout = asked
                usual = asked if layout.order == usual.order and layout.image == usual.image else usual
            elif (following := next(layouts, None)) is not None:
                layout = replace(layout, order=following.order, image=following.image)
            else:
                break
        else:
            return inputs
    raise NotBuilt(complaint)


def with_padding(model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs, with padding where the model computes something else for a mask without any while it is exported."""
    mask = inputs.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return inputs

    def called() -> Any:
        with torch.no_grad(), torch.random.fork_rng():
            return model.eval()(**inputs)

    try:
        require_one_function(called(), called, "")
    except CaptureError:
        padded = mask.clone()
        padded[-1, -1] = 0
        return {**inputs, "attention_mask": padded}
    return inputs


def _train(model: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Run the model in training, and leave its statistics as they were."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        model.train()(**inputs)
    finally:
        for name, buffer in model.named_buffers():
            if name in before and buffer.shape == before[name].shape:
                buffer.copy_(before[name])


def _sets_of_names(model: Any) -> Iterator[list[str]]:
    """What the model says that it needs; with what is usual beside it; text alone."""
    accepted = inspect.signature(model.forward).parameters
    needed = [name for name, p in accepted.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    main = getattr(model, "main_input_name", "input_ids")
    wanted = [main if isinstance(main, str) else main[0], *needed]
    if getattr(model.config, "is_encoder_decoder", False):
        wanted += ["decoder_input_ids", "decoder_input_values"]
    if main == "past_values":
        wanted += ["future_values", "future_time_features"]
    if "context_hidden_states" in needed:  # exported, the model forgets these steps in a mask of its own
        wanted += ["attention_mask"]
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
        [*text, "spectrogram_labels", "duration_labels", "pitch_labels", "energy_labels"],
        [name for name in accepted if name in MAKERS and not INSTEAD.search(name)],
    ]
    seen = []
    for names in sets:
        kept = [name for name in dict.fromkeys(names) if name in accepted]
        if kept and kept not in seen:
            seen.append(kept)
            yield kept


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
    books = getattr(_part(config, "decoder"), "num_codebooks", 1) if layout.order == "swapped" else 1
    shape: tuple[int, ...] = (BATCH * books, layout.length)
    if hasattr(config, "audio_pad_token_id") and hasattr(config, "num_codebooks"):
        shape = (BATCH, layout.length, 1 + config.num_codebooks)  # a word and codes of sound in each step
    return torch.randint(3, most, shape, generator=torch.Generator().manual_seed(2))


def _mask(config: Any, layout: Layout) -> Tensor:
    parts = 2 if hasattr(config, "target_layer_ids") else 1  # hidden states of another model stand before the own ones
    return torch.ones(BATCH, parts * layout.length, dtype=torch.long)


def _image(config: Any, layout: Layout) -> Tensor:
    if layout.order in PATCHES:
        return PATCHES[layout.order](config, layout)
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
    samples = math.ceil(layout.samples / layout.multiple) * layout.multiple
    return _random(BATCH, *((1,) if layout.order == "swapped" else ()), samples)


def _bins(config: Any, layout: Layout) -> int:
    if layout.bins != Layout.bins:
        return layout.bins
    part = _part(config, "audio_config", "encoder_config")
    return next((n for k in BINS if isinstance(n := getattr(part, k, None), int)), layout.bins)


def _features(config: Any, layout: Layout) -> Tensor:
    part = _part(config, "audio_config", "encoder_config")
    steps = 2 * (getattr(part, "max_source_positions", None) or SHORT // 2)
    steps = layout.steps or (
        steps if steps <= STEPS else SHORT
    )  # what is no length of its own is the most there can be
    steps = math.ceil(steps / layout.multiple) * layout.multiple
    features = _random(BATCH, _bins(config, layout), steps)
    if layout.order == "spectrogram":
        return features.transpose(1, 2)[:, None].contiguous()
    return features.transpose(1, 2).contiguous() if layout.order == "swapped" else features


def _steps_mask(config: Any, layout: Layout) -> Tensor:
    steps = _features(config, layout).shape[1 if layout.order == "swapped" else 2]
    return torch.ones(BATCH, steps, dtype=torch.long)


def _steps_before(config: Any) -> int:
    return config.context_length + max(getattr(config, "lags_sequence", None) or [0])


def _channels(config: Any) -> tuple[int, ...]:
    if count := getattr(config, "num_input_channels", None):
        return (count,)
    count = getattr(config, "input_size", 1)
    return () if count == 1 else (count,)


def _times(config: Any, steps: int) -> Tensor:
    return _random(BATCH, steps, getattr(config, "num_time_features", 0))


def _grid(config: Any, layout: Layout) -> Tensor:
    return torch.tensor([[1, ROWS, COLUMNS]])


def _grids(config: Any, layout: Layout) -> Tensor:
    """Rows and columns of each image; a strip is one image."""
    return torch.tensor([[ROWS, COLUMNS]]).expand(1 if layout.order == "strip" else BATCH, 2).contiguous()


def _places(config: Any, layout: Layout) -> Tensor:
    """Column and row of each patch."""
    rows, columns = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    return torch.stack((columns, rows), -1).reshape(-1, 2).expand(BATCH, -1, -1).contiguous()


def _square(config: Any) -> tuple[int, int, int]:
    """Channels, height and width of a patch."""
    part = _part(config, "vision_config")
    size = getattr(part, "patch_size", None)
    height, width = size if isinstance(size, list | tuple) and len(size) == 2 else (size, size)
    if not isinstance(height, int) or not isinstance(width, int):
        height = width = 8
    channels = (getattr(part, name, None) for name in ("in_channels", "num_channels"))
    return next((n for n in channels if isinstance(n, int)), 3), height, width


def _patches(config: Any, layout: Layout) -> Tensor:
    """Of an image, flattened."""
    frames = getattr(_part(config, "vision_config"), "temporal_patch_size", None) or 1
    return _random(ROWS * COLUMNS, layout.patch or frames * math.prod(_square(config)))


def _strip(config: Any, layout: Layout) -> Tensor:
    channels, height, width = _square(config)
    return _random(1, channels, height, ROWS * COLUMNS * width)


def _merged_squares(config: Any, layout: Layout) -> Tensor:
    """Patches side by side that become one token, channels last."""
    channels, height, width = _square(config)
    merged = getattr(config, "spatial_merge_size", 1)
    return _random(ROWS * COLUMNS, merged * height, merged * width, channels)


PATCHES: dict[str, Callable[[Any, Layout], Tensor]] = {
    "patches": _patches,
    "patches of each": lambda c, at: _random(BATCH, ROWS * COLUMNS, _patches(c, at).shape[1]),
    "squares": lambda c, at: _random(ROWS * COLUMNS, *_square(c)),
    "strip": _strip,
    "merged squares": _merged_squares,
}


def _boxes(config: Any, layout: Layout) -> Tensor:
    return torch.tensor([1, 2, 5, 7]).expand(BATCH, LENGTH, 4).contiguous()


def _queries(config: Any, layout: Layout) -> Tensor:
    return _random(BATCH, LENGTH, _width(config))


def _width(config: Any) -> int:
    part = _part(config, "text_config", "decoder", "dit_config")
    return next(n for k in ("hidden_size", "d_model", "dim") if isinstance(n := getattr(part, k, None), int))


def _regions(config: Any, setting: str) -> Tensor:
    return _random(BATCH, LENGTH, getattr(config, setting))


def _acts(setting: str) -> Callable[[Any, Layout], Tensor]:
    return lambda config, layout: _random(BATCH, LENGTH, getattr(config, setting, 1))


MAKERS: dict[str, Callable[[Any, Layout], Tensor]] = {
    **dict.fromkeys(("input_ids", "decoder_input_ids"), _tokens),
    **dict.fromkeys(("attention_mask", "decoder_attention_mask"), _mask),
    **dict.fromkeys(("token_type_ids", "mm_token_type_ids"), lambda c, at: 0 * _mask(c, at)),
    **dict.fromkeys(("classes_input_ids", "tasks_input_ids", "text_inputs"), _tokens),
    "qformer_input_ids": lambda c, at: _tokens(_part(c, "qformer_config"), at),
    **dict.fromkeys(("classes_attention_mask", "tasks_attention_mask", "entity_attention_mask"), _mask),
    "qformer_attention_mask": _mask,
    "classes_structure": lambda c, at: torch.ones(BATCH, dtype=torch.long),
    "task_inputs": lambda c, at: _random(BATCH, c.task_seq_len),
    "lang_ids": lambda c, at: torch.zeros(BATCH, dtype=torch.long),
    **dict.fromkeys(("pixel_values", "prompt_pixel_values", "prompt_masks"), _image),
    "pixel_values_videos": lambda c, at: _image(c, replace(at, order="video")),
    "pixel_attention_mask": lambda c, at: torch.ones(BATCH, ROWS * COLUMNS, dtype=torch.long),
    "image_attention_mask": lambda c, at: torch.ones(BATCH, LENGTH, _image(c, at).shape[1], dtype=torch.long),
    "pixel_position_ids": _places,
    **dict.fromkeys(("spatial_shapes", "target_sizes"), _grids),
    "merge_sizes": lambda c, at: torch.ones(1, dtype=torch.long),
    "pixel_mask": lambda c, at: torch.ones(BATCH, *_image(c, at).shape[-2:], dtype=torch.long),
    "input_values": _sound,
    "input_features": _features,
    **dict.fromkeys(("input_features_mask", "feature_attention_mask"), _steps_mask),
    "audio_mel": lambda c, at: _features(c, replace(at, order="swapped")),
    "audio_mel_mask": lambda c, at: 0 * _steps_mask(c, replace(at, order="swapped")) > 0,
    "decoder_input_values": lambda c, at: _random(BATCH, LENGTH, _bins(c, at)),
    **dict.fromkeys(("inputs_embeds", "query_embeds", "noise_embeds", "action_embeds", "inputs"), _queries),
    "context_hidden_states": lambda c, at: _random(BATCH, LENGTH, at.patch or _width(c)),
    "image_embeds_position_mask": lambda c, at: (torch.arange(LENGTH) < c.latent_query_num).long().repeat(BATCH, 1),
    "encoder_hidden_states": lambda c, at: _random(
        BATCH,
        LENGTH,
        getattr(c, "encoder_hidden_size", None) or getattr(c, "cross_attention_hidden_size", None) or _width(c),
    ),
    "latents": lambda c, at: _queries(c, at).transpose(1, 2).contiguous(),
    "visual_feats": lambda c, at: _regions(c, "visual_feat_dim"),
    "visual_pos": lambda c, at: _regions(c, "visual_pos_dim"),
    "bbox": _boxes,
    **dict.fromkeys(("grid_thw", "image_grid_thw"), _grid),
    "hidden_states": lambda c, at: made("latents", c, at) if at.order == "swapped" else _patches(c, at),
    # series of values in time
    "past_values": lambda c, at: _random(BATCH, _steps_before(c), *_channels(c)),
    "past_observed_mask": lambda c, at: torch.ones(BATCH, _steps_before(c), *_channels(c)),
    "past_time_features": lambda c, at: _times(c, _steps_before(c)),
    "past_values_padding": lambda c, at: torch.zeros(BATCH, _steps_before(c)),
    "freq": lambda c, at: torch.zeros(BATCH, 1, dtype=torch.long),
    "future_values": lambda c, at: _random(BATCH, c.prediction_length, *_channels(c)),
    "future_time_features": lambda c, at: _times(c, c.prediction_length),
    # speech of text, one step for each token
    "spectrogram_labels": lambda c, at: _random(BATCH, LENGTH, c.num_mel_bins),
    "duration_labels": lambda c, at: torch.ones(BATCH, LENGTH, dtype=torch.long),
    **dict.fromkeys(("pitch_labels", "energy_labels"), lambda c, at: _random(BATCH, LENGTH, 1)),
    # states and actions
    "states": _acts("state_dim"),
    "actions": _acts("act_dim"),
    "rewards": _acts(""),
    "returns_to_go": _acts(""),
    "timesteps": lambda c, at: torch.arange(LENGTH).expand(BATCH, LENGTH).contiguous(),
}

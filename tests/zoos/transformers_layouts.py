"""What differs between models that call an input by the same name, read off their complaints."""

from __future__ import annotations

import linecache
import re
import traceback
from dataclasses import dataclass, replace

from zoos.transformers_sizes import IMAGE, LENGTH

SAMPLES = 2000  # of a sound
SHORT = 64  # steps of a spectrogram, where nothing says how many


@dataclass(frozen=True)
class Layout:
    """What may differ between models that call an input by the same name.

    Attributes:
        order: of the dimensions: usual, swapped, pair, video or spectrogram; for an image as patches, flat ones, flat
            ones of each example, patches with height and width, those of a token together, and a strip of them.
        image: height and width where the configuration has none.
        bins: of spectrograms where the configuration has none.
        patch: numbers in a flat patch, or in a state, where the model asks for others than its configuration says.
        multiple: of which the length of a sound has to be one.
        length: of a text.
        steps: of a spectrogram, where a model asks for others.
        samples: of a sound, at least.
    """

    order: str = "usual"
    image: int = IMAGE
    bins: int = 80
    patch: int = 0
    multiple: int = 1
    length: int = LENGTH
    steps: int = 0
    samples: int = SAMPLES


LAYOUTS = (
    *(Layout(order) for order in ("usual", "swapped", "pair", "video", "spectrogram")),
    *(Layout(image=size) for size in (64, 128, 224)),
    *(Layout(order) for order in ("patches", "patches of each", "strip", "squares", "merged squares")),
)
# Inputs that stand for others, are made by the model itself, or are the results that training compares with.
INSTEAD = re.compile(r"embeds|labels|encoder_hidden_states|^hidden_states|^noise|_indices|^input$|^inputs$")


def arguments_asked(error: Exception, optional: list[str]) -> list[str]:
    """Arguments that an error asks for: by name, or by a line of code that found None in their place."""
    texts = [str(error)]
    if "NoneType" in str(error):
        texts += [_statement(frame) for frame in reversed(traceback.extract_tb(error.__traceback__))]
    for place, text in enumerate(texts):
        found = [name for name in optional if re.search(rf"\b{name}\b", text)]
        if found := [name for name in found if place == 0 or name.endswith("mask") or not INSTEAD.search(name)]:
            return found
    return []


def _statement(frame: traceback.FrameSummary) -> str:
    """All lines of the call that was running."""
    first = frame.lineno or 0
    return "".join(linecache.getline(frame.filename, line) for line in range(first, (frame.end_lineno or first) + 1))


def layout_asked(message: str, layout: Layout) -> Layout:
    """The layout with the length, the bins or the patch that a complaint about shapes asks for."""
    if (found := re.search(r"multiple of (?:`[^`]*` )?\(?(\d+)", message)) and layout.multiple == 1:
        return replace(layout, multiple=int(found.group(1)))
    if found := re.search(r"normalized_shape=\[(\d+)\]", message):
        return replace(layout, bins=int(found.group(1)))
    found = re.search(r"weight of size \[\d+, (\d+), .* channels, but got (\d+) channels", message)
    if found and int(found.group(2)) == layout.bins:
        return replace(layout, bins=int(found.group(1)))
    if found := re.search(r"tensor a \((\d+)\) must match .* tensor b \((\d+)\) at .* dimension ([134])", message):
        return _of_axis(layout, *map(int, found.groups()))
    if "greater than actual input size" in message:
        return replace(layout, samples=4 * SAMPLES)
    if found := re.search(r"in dimension 1\. Expected size (\d+) but got size (\d+) for tensor number 1", message):
        return _of_axis(layout, int(found.group(1)), int(found.group(2)), 1)
    if found := re.search(r"tensor b \((\d+)\) at non-singleton dimension 2", message):
        return replace(layout, bins=int(found.group(1)))
    if found := re.search(r"doesn't match model \((?:\d+\*)?(\d+)\)", message):
        return replace(layout, image=int(found.group(1)))
    if not (found := re.search(r"\(\d+x(\d+) and (\d+)x\d+\)", message)):
        return layout
    given, wanted = map(int, found.groups())
    if given == SHORT and not layout.order.startswith("patches"):  # steps where bins are asked for: another order
        return layout
    whole = given % layout.bins == 0 and layout.bins * wanted % given == 0
    if layout.order.startswith("patches") or not whole:
        return replace(layout, patch=wanted)
    return replace(layout, bins=layout.bins * wanted // given)


def _of_axis(layout: Layout, own: int, other: int, axis: int) -> Layout:
    """The layout with the size of an axis that another tensor has: of an image, of a text or of a spectrogram."""
    if axis > 1:
        return replace(layout, image=other) if own == layout.image else layout
    if own == layout.length:
        return replace(layout, length=other)
    return replace(layout, steps=other) if own == SHORT and not layout.steps else layout

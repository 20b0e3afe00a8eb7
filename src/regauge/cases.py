"""The built-in cases, as data: reading the list imports no framework."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltIn:
    """A case that regauge ships: its reference, what it is, and the extra that it needs."""

    reference: str
    summary: str
    extra: str


BUILT_IN: dict[str, BuiltIn] = {
    "digits": BuiltIn(
        "regauge.projects.vision.digits:case",
        "a small ResNet with batch norm and dropout on scikit-learn's handwritten digits",
        "vision",
    ),
    "minilm": BuiltIn(
        "regauge.projects.language.minilm:case",
        "the pretrained all-MiniLM-L6-v2 on real sentences, with a contrastive training step",
        "language",
    ),
}

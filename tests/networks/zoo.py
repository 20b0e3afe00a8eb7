"""The networks that regauge must convert: what tests and the coverage page go through."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

_OWN = ("unet", "lstm", "gru", "packed", "packed_lstm", "mixer", "autoencoder")
_TRANSFORMERS = ("resnet", "efficientnet", "convnext", "bert", "gpt2", "llama", "t5", "vit", "swin")

# case reference by name
NETWORKS: dict[str, str] = {name: f"{_HERE / 'own_cases.py'}:{name}" for name in _OWN}
NETWORKS |= {name: f"{_HERE / 'transformers_cases.py'}:{name}" for name in _TRANSFORMERS}

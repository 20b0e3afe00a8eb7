"""The networks that regauge must convert: what tests and the coverage pages go through."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

_TORCH = {
    "own_cases": ("unet", "lstm", "gru", "packed", "packed_lstm", "mixer", "autoencoder"),
    "transformers_cases": ("resnet", "efficientnet", "convnext", "bert", "gpt2", "llama", "t5", "vit", "swin"),
}
_JAX = {
    "nnx_cases": ("nnx_transformer", "nnx_resnet", "nnx_diffusion", "nnx_mamba_scan", "nnx_mamba_parallel"),
    "linen_cases": (
        "linen_cnn", "linen_lstm", "linen_gru", "linen_transformer", "linen_ppo_discrete", "linen_ppo_continuous",
    ),
    "equinox_cases": (
        "equinox_mlp", "equinox_cnn", "equinox_attention", "equinox_rnn", "equinox_realnvp", "equinox_spline_flow",
    ),
    "function_cases": ("haiku_cnn", "pinn_burgers", "pinn_helmholtz", "pinn_wave"),
    "keras_cases": ("keras_cnn", "keras_mobilenet", "keras_resnet"),
}  # fmt: skip


def _references(files: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {name: f"{_HERE / file}.py:{name}" for file, names in files.items() for name in names}


# case references by name: originals of PyTorch, and originals of JAX
NETWORKS = _references(_TORCH)
JAX_NETWORKS = _references(_JAX)

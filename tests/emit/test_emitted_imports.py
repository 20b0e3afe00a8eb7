"""Emitted files import what their code reads: a docstring may name the other framework, which need not be installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import torch

import regauge
from regauge.emit.imports import import_lines

KNOWN = (("math", "import math"), ("", ""), ("jax", "import jax"), ("torch", "import torch"))


def test_names_of_docstrings_comments_and_attributes_are_not_imported() -> None:
    code = 'def f(x):\n    """As `jax.numpy` does, and math.exp."""\n    return torch.exp(x.jax)  # math.pi\n'
    assert import_lines(KNOWN, code) == "import torch"
    assert import_lines(KNOWN, "def f(x: jax.Array):\n    return math.pi\n") == "import math\n\nimport jax"


def draws(key: jax.Array, x: jax.Array) -> jax.Array:
    first, second = jax.random.split(key)
    return jax.random.normal(first, x.shape) + jax.random.categorical(second, x)


def test_a_saved_model_with_random_numbers_runs_without_jax(tmp_path: Path) -> None:
    made = regauge.to_torch(draws, (jax.random.PRNGKey(3), jnp.ones((4,))))
    assert "as `jax.random.key_data` gives them" in made.sources["ops"]
    made.save(tmp_path / "draws")
    runs_without(tmp_path / "draws", "jax", "regauge")


class Gathers(torch.nn.Module):
    """x: float32[batch, 4], places: int64[rows, 2]: of the first rows"""

    def forward(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return x.gather(1, places)


def test_a_saved_model_runs_without_torch(tmp_path: Path) -> None:
    made = regauge.to_jax(Gathers(), (torch.ones(3, 4), torch.zeros(2, 2, dtype=torch.int64)))
    assert "Tensor self" in made.sources["ops"]  # the schema
    made.save(tmp_path / "gathers")
    runs_without(tmp_path / "gathers", "torch", "regauge")


def runs_without(folder: Path, *packages: str) -> None:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({packages})); import model; model.load()"
    subprocess.run([sys.executable, "-c", hidden], cwd=folder, check=True, timeout=120)

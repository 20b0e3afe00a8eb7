"""The tables: what is generated is current, and what JAX is said to have is there."""

from __future__ import annotations

import importlib
import re

import pytest

from regauge.decide.audit.areas import AREAS
from regauge.decide.audit.hazards import KINDS
from regauge.decide.audit.tables import lookup
from regauge.decide.audit.tables.generate import JAX, TORCH, generate, text_of
from regauge.optimizers import OPTIMIZERS
from regauge.rules.aten_to_jax import TABLE

ROOMS = ("jax.numpy.", "jax.lax.", "jax.nn.", "jax.random.", "optax.", "flax.nnx.")
SHORT = {"jnp": "jax.numpy", "nnx": "flax.nnx", "np": "numpy"}


def test_what_converts_has_rules_and_what_lacks_one_has_none() -> None:
    """A new rule makes the generated table stale: ``python -m regauge.decide.audit.tables.generate``."""
    for name, entry in lookup.data("api_torch.json")["names"].items():
        assert all(TABLE.get(op) is not None for op in entry.get("ops", ())), name
        if not entry["converts"]:
            lacking = [op for op in entry["lacks"] if op.startswith("aten.")]
            assert not lacking or any(TABLE.get(op) is None or TABLE.get(op).limits for op in lacking), name  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_generated_tables_are_current() -> None:
    for path, data in zip((TORCH, JAX), generate(), strict=True):
        assert path.read_text(encoding="utf-8") == text_of(data)


def test_automatic_names_are_those_of_the_rules() -> None:
    table = lookup.torch_table()
    for name in ("torch.cat", "torch.Tensor.view", "torch.nn.Linear", "torch.nn.CrossEntropyLoss", "torch.Tensor.to"):
        assert table.find(name).degree == "automatic"  # type: ignore[union-attr]
    for name in ("torch.hash_tensor", "torch.nonzero", "torch.unique", "torch.bincount"):
        assert table.find(name).degree != "automatic"  # type: ignore[union-attr]
    optimizers = {name.rpartition(".")[2] for name in lookup.data("api_torch.json")["optimizers"]}
    assert optimizers == set(OPTIMIZERS)


def test_the_longest_known_prefix_decides() -> None:
    table = lookup.torch_table()
    assert table.find("torch.distributed.get_rank").degree == "equivalent"  # type: ignore[union-attr]
    assert table.find("torch.distributed.rpc.rpc_async").degree == "manual"  # type: ignore[union-attr]
    assert table.find("torch.float32.itemsize").area == "type"  # type: ignore[union-attr]
    assert table.find("torch.no_such_thing") is None


def test_areas_and_degrees_are_known() -> None:
    for framework in ("pytorch", "jax"):
        table = lookup.table_of(framework)
        assert table is not None
        for name, entry in {**table.entries, **table.below}.items():
            assert entry.area in AREAS, name
            assert entry.degree in ("automatic", "equivalent", "manual", "none"), name
            assert entry.why, name
            assert entry.degree != "equivalent" or entry.counterpart, name
    assert all(kind.title and kind.why and kind.instead for kind in KINDS.values())


def test_nothing_is_automatic_from_jax() -> None:
    assert {entry.degree for entry in lookup.jax_table().entries.values()} == {"equivalent", "manual"}


def resolves(path: str) -> bool:
    head, _, rest = path.partition(".")
    parts = f"{SHORT.get(head, head)}.{rest}".split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_counterparts_in_jax_exist() -> None:
    table = lookup.torch_table()
    named = {
        path
        for entry in {**table.entries, **table.below}.values()
        for path in re.findall(r"\b(?:jnp|jax|nnx|optax)\.[\w.]*\w", entry.counterpart)
    }
    assert len(named) > 250
    assert sorted(path for path in named if not resolves(path)) == []


def test_names_of_jax_exist() -> None:
    named = {name.removesuffix(".*") for group in lookup.JAX_GROUPS for name in group.names}
    named = {name for name in named if name.startswith(ROOMS)}
    assert sorted(name for name in named if not resolves(name)) == []


# Gone from PyTorch, optional, of devices that have no build here, or names of this package for what has none.
NOT_HERE = re.compile(
    r"torch\.(_six|tpu|npu|hpu|mlu|musa|sdaa|neuron|supa|privateuseone|_foreach|utils\.(_cxx_pytree|tensorboard))\b"
    r"|torch\.(Tensor\.grad\.setter|optim\.Optimizer\.param_groups|optim\.ParamsT|optim\.optimizer\._params_t)$"
)


def test_names_of_torch_exist() -> None:
    named = {name.partition("(")[0].removesuffix(".*") for group in lookup.TORCH_GROUPS for name in group.names}
    assert len(named) > 400
    assert sorted(name for name in named if not NOT_HERE.match(name) and not resolves(name)) == []


def test_counterparts_in_torch_exist() -> None:
    table = lookup.jax_table()
    named = {
        path
        for entry in {**table.entries, **table.below}.values()
        for path in re.findall(r"\btorch\.[\w.]*\w", entry.counterpart)
    }
    assert len(named) > 150
    assert sorted(path for path in named if not resolves(path)) == []

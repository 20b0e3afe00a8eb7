"""Who may import what: no module sees both frameworks, and the core sees neither."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "regauge"
TORCH = {"torch", "torchvision", "transformers", "sklearn"}
JAX = {"jax", "jaxlib", "flax", "optax"}

# Where a framework may be imported; every other module is core.
TORCH_ROOMS = (
    *(
        "capture/",
        "run/torch_",
        "projects/",
        "rules/lax_to_torch/",
        "rules/modules/torch_",
        "emit/torch_",
        "lower/torch_",
    ),
)
JAX_ROOMS = (
    *("capture/jax", "rules/aten_to_jax/", "rules/modules/", "emit/nnx_", "emit/package.py", "lower/lower.py"),
    *("run/jax_", "projects/"),
)

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports, at its head or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_scan_sees_the_package() -> None:
    names = {name_of(path) for path in MODULES}
    assert {"__init__.py", "pipeline.py", "run/launch.py", "cli/main.py"} <= names
    assert "torch" in imported(PACKAGE / "run" / "torch_subject.py")
    assert "jax" in imported(PACKAGE / "run" / "jax_subject.py")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_imports_both_frameworks(path: Path) -> None:
    found = imported(path)
    assert not (found & TORCH and found & JAX), f"{name_of(path)} imports {sorted(found & (TORCH | JAX))}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_frameworks_stay_in_their_rooms(path: Path) -> None:
    name, found = name_of(path), imported(path)
    if not name.startswith(TORCH_ROOMS):
        assert not found & TORCH, f"{name} is not a torch room, yet imports {sorted(found & TORCH)}"
    if not name.startswith(JAX_ROOMS):
        assert not found & JAX, f"{name} is not a JAX room, yet imports {sorted(found & JAX)}"


# What the parent process loads: public names, the command line with all its commands, every stage of the pipeline.
PARENT = ("regauge", "regauge.case", "regauge.optimizers", "regauge.pipeline", "regauge.cli.main", "regauge.run.launch")


@pytest.mark.parametrize("module", PARENT)
def test_the_parent_process_loads_no_framework(module: str) -> None:
    assert not loaded_by(f"import {module}") & (TORCH | JAX)


def test_the_subprocess_would_see_a_framework() -> None:
    assert "flax" in loaded_by("import regauge.run.jax_subject")


def test_writing_torch_loads_no_jax() -> None:
    """Emission is one code for both directions; the side that writes torch may run where JAX is not installed."""
    assert not loaded_by("import regauge.run.torch_model") & JAX


def test_reading_public_names_loads_no_framework() -> None:
    assert not loaded_by("import regauge; regauge.Case, regauge.optimizers.AdamW, regauge.check") & (TORCH | JAX)


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in sys.modules after a statement, in a fresh interpreter."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{n.partition('.')[0] for n in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))

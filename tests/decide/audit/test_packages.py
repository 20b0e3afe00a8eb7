"""Code bases that others wrote, as they are installed: read without a finding, nearly every name known."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from regauge.decide.audit import Audit, audit_tree


def place_of(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))


def recorded(audit: Audit) -> float:
    """Share of the uses that the tables know."""
    return sum(name.uses for name in audit.names if name.recorded) / sum(name.uses for name in audit.names)


@pytest.mark.parametrize(("name", "uses"), [("flax", 1500), ("optax", 3000)])
def test_packages_of_jax(name: str, uses: int) -> None:
    audit = audit_tree(place_of(name))
    assert (audit.source, audit.target) == ("jax", "torch")
    assert audit.findings == ()
    assert audit.totals.automatic == 0
    assert audit.totals.equivalent > audit.totals.manual
    assert sum(item.uses for item in audit.names) > uses
    assert recorded(audit) > 0.9


def test_models_of_transformers(tmp_path: Path) -> None:
    models = place_of("transformers") / "models"
    for name in ("bert", "gpt2", "llama", "vit", "wav2vec2", "mixtral"):
        shutil.copytree(models / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    audit = audit_tree(tmp_path)
    assert (audit.source, audit.target) == ("pytorch", "jax")
    assert audit.findings == ()
    assert recorded(audit) > 0.99
    assert (audit.totals.share("automatic") or 0) > 0.8
    kinds = {item.kind for item in audit.hazards}
    assert {"shape", "branch"} <= kinds  # the experts of Mixtral are chosen by values
    assert {step.step for step in audit.work} == set(range(1, len(audit.work) + 1))


def test_work_in_this_package_follows_its_imports() -> None:
    """regauge's own capture: what imports what is known here."""
    audit = audit_tree(place_of("regauge") / "capture")
    step_of = {path: step.step for step in audit.work for path in step.files}
    assert step_of["weights.py"] < step_of["torch_export.py"]

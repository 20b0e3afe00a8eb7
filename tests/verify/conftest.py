"""Hand-made conversions, built once, and a memory of what their originals computed: mutants differ on one side only."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regauge.run import launch as launching
from regauge.verify import Check, CheckOptions, check_folder, subjects

TESTS = Path(__file__).parents[1]
SMALL_NET = TESTS / "fixtures" / "handmade"
ENCODER = TESTS / "verify" / "transformer"

Launch = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Handmade:
    """A conversion written by hand: the case it was made of, and its folder."""

    case: str
    folder: Path

    def copy(self, directory: Path) -> Handmade:
        return Handmade(self.case, Path(shutil.copytree(self.folder, directory)))

    def check(self, work: Path, **options: Any) -> Check:
        return check_folder(self.case, self.folder, work, options=CheckOptions(**options))


def build(source: Path, directory: Path, name: str) -> Handmade:
    subprocess.run([sys.executable, str(source / "build.py"), str(directory), name], check=True, timeout=300)
    return Handmade(f"{source / 'original.py'}:{name}", directory)


@pytest.fixture(scope="session")
def handmade(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Handmade]:
    """The conversion by name: small net (adamw, sgd), encoder, encoder without loss."""
    sources = {
        "adamw": (SMALL_NET, "case"),
        "sgd": (SMALL_NET, "sgd_case"),
        "encoder": (ENCODER, "case"),
        "without loss": (ENCODER, "without_loss"),
    }
    built: dict[str, Handmade] = {}

    def get(name: str) -> Handmade:
        if name not in built:
            source, case = sources[name]
            built[name] = build(source, tmp_path_factory.mktemp("handmade") / case, case)
        return built[name]

    return get


@pytest.fixture(scope="session")
def original_once(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """`launch` that evaluates an original once per list of tasks."""
    memory: dict[str, tuple[Path, dict[str, Any]]] = {}

    def launch(framework: str, job: dict[str, Any], **rest: Any) -> dict[str, Any]:
        if framework == "jax":
            return launching.launch("jax", job, **rest)
        key = json.dumps([job["case"], job["widen"], job["tasks"], sorted(job["sets"]["files"])])
        if key not in memory:
            reply = launching.launch("torch", job, **rest)
            kept = tmp_path_factory.mktemp("original") / "out"
            memory[key] = Path(shutil.copytree(job["out"], kept)), reply
        kept, reply = memory[key]
        shutil.copytree(kept, job["out"], dirs_exist_ok=True)
        return reply

    return launch


@pytest.fixture
def shared_original(monkeypatch: pytest.MonkeyPatch, original_once: Launch) -> None:
    """Cheap checks of many conversions: originals are evaluated once, and XLA does not optimise what it compiles."""
    monkeypatch.setattr(subjects, "launch", original_once)
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")

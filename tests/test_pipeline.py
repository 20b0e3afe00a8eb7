"""The pipeline's own work: which stages run, which are resumed, what stops the next one. Workers are stand-ins."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import regauge
import regauge.conversion
import regauge.measure.runner
import regauge.verify
from regauge.errors import BadResult, OutputError, UnsupportedOps
from regauge.measure.result import Measurement
from regauge.pipeline import Options, compare
from regauge.verify.result import Check, Tier


@dataclass
class Stages:
    """Stand-ins for the workers that write what workers write, and count their calls."""

    calls: list[str] = field(default_factory=list)
    verdict: str = "equal"
    failure: Exception | None = None
    seen: dict[str, Any] = field(default_factory=dict)

    def launch(self, side: str, job: dict[str, Any], **_options: Any) -> dict[str, Any]:
        self.calls.append(job["job"])
        if self.failure is not None:
            raise self.failure
        if job["job"] == "emit":
            folder = Path(job["folder"])
            stored = {"schema": 1, "name": "Small", "has_loss": True, "optimizer": {"type": "SGD"}, "findings": []}
            (folder / "conversion.json").write_text(json.dumps(stored))
            (folder / "model.py").write_text("class Small: ...\n")
        return {}

    def check_folder(self, case: str, folder: Path, work: Path, **options: Any) -> Check:
        self.calls.append("check")
        self.seen["check"] = options
        return Check(case, self.verdict, (Tier("tier 1 outputs", self.verdict, "eval", 1),))  # type: ignore[arg-type]

    def run_plan(self, plan: Any, case: str, folder: Path, store: Any, **options: Any) -> list[Measurement]:
        self.calls.append("measure")
        self.seen["plan"] = plan
        launched = [
            Measurement("key", task, variant.name, "time", block, 0, "ok", samples=(0.01 + 0.001 * block,) * 5)
            for block in range(plan.blocks)
            for task in plan.tasks
            for variant in plan.variants
        ]
        options["progress"](1, 1, 0.0, "done")
        return launched


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stages = Stages()
    monkeypatch.setattr(regauge.conversion, "launch", stages.launch)
    monkeypatch.setattr(regauge.verify, "check_folder", stages.check_folder)
    monkeypatch.setattr(regauge.measure.runner, "run_plan", stages.run_plan)
    return stages


@pytest.fixture
def case(tmp_path: Path) -> str:
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" / "model.py"
    file.write_text("import torch\n\ncase = None\n")
    return f"{file}:case"


def run(case: str, tmp_path: Path, **options: Any) -> Any:
    return compare(case, tmp_path / "out", Options(**options))


ALL = ["capture", "emit", "check", "measure"]


def test_every_stage_leaves_its_result(stages: Stages, case: str, tmp_path: Path) -> None:
    comparison = run(case, tmp_path, quick=True)
    assert stages.calls == ALL
    assert comparison.exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "conversion",
        "check.json",
        "document.json",
        "report.html",
        "run.json",
    }
    assert Check.from_json(json.loads((tmp_path / "out" / "check.json").read_text())) == comparison.check
    assert stages.seen["check"]["options"].quick
    assert stages.seen["plan"].quick


def test_a_second_run_converts_and_checks_nothing_again(stages: Stages, case: str, tmp_path: Path) -> None:
    run(case, tmp_path)
    stages.calls.clear()
    again = run(case, tmp_path)
    assert stages.calls == ["measure"]  # which itself makes only the launches that are missing
    assert again.conversion.reused


def edit_the_case(case: str, out: Path) -> None:
    Path(case.rpartition(":")[0]).write_text("import torch\n\ncase = 1\n")


def edit_beside_the_case(case: str, out: Path) -> None:
    (Path(case.rpartition(":")[0]).parent / "layers.py").write_text("x = 1\n")


def older_version(case: str, out: Path) -> None:
    run = json.loads((out / "run.json").read_text())
    run["conversion"]["regauge"] = "0.0.1"
    (out / "run.json").write_text(json.dumps(run))


def lose_the_conversion(case: str, out: Path) -> None:
    shutil.rmtree(out / "conversion")


@pytest.mark.parametrize("change", [edit_the_case, edit_beside_the_case, older_version, lose_the_conversion])
def test_what_makes_a_conversion_stale(
    change: Callable[[str, Path], None], stages: Stages, case: str, tmp_path: Path
) -> None:
    run(case, tmp_path)
    change(case, tmp_path / "out")
    stages.calls.clear()
    run(case, tmp_path)
    assert stages.calls == ALL


def test_an_edited_conversion_is_checked_again(stages: Stages, case: str, tmp_path: Path) -> None:
    run(case, tmp_path)
    (tmp_path / "out" / "conversion" / "model.py").write_text("class Small: pass\n")
    stages.calls.clear()
    run(case, tmp_path)
    assert stages.calls == ["check", "measure"]


def test_a_quick_check_does_not_stand_for_a_full_one(stages: Stages, case: str, tmp_path: Path) -> None:
    run(case, tmp_path, quick=True)
    stages.calls.clear()
    run(case, tmp_path, quick=False)
    assert stages.calls == ["check", "measure"]


def test_fresh_starts_over(stages: Stages, case: str, tmp_path: Path) -> None:
    run(case, tmp_path)
    stages.calls.clear()
    run(case, tmp_path, fresh=True)
    assert stages.calls == ALL


@pytest.mark.parametrize("verdict", ["different", "not checked"])
def test_what_is_not_equal_is_not_measured(verdict: str, stages: Stages, case: str, tmp_path: Path) -> None:
    stages.verdict = verdict
    comparison = run(case, tmp_path)
    assert stages.calls == ["capture", "emit", "check"]
    assert comparison.exit_code == 1
    assert comparison.plan is None
    assert (tmp_path / "out" / "report.html").is_file()


def test_an_interrupted_conversion_is_not_taken_for_whole(stages: Stages, case: str, tmp_path: Path) -> None:
    run(case, tmp_path)
    edit_the_case(case, tmp_path)
    stages.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(case, tmp_path)
    stages.failure = None
    stages.calls.clear()
    run(case, tmp_path)
    assert stages.calls == ALL


def test_a_refused_conversion_keeps_the_older_one(stages: Stages, case: str, tmp_path: Path) -> None:
    run(case, tmp_path)
    edit_the_case(case, tmp_path)
    stages.failure = UnsupportedOps("unsupported operators: 1 of 3 nodes cannot be converted")
    with pytest.raises(UnsupportedOps):
        run(case, tmp_path)
    assert (tmp_path / "out" / "conversion" / "model.py").is_file()
    assert not (tmp_path / "out" / ".conversion.partial").exists()


def test_a_failed_launch_is_not_a_success(
    stages: Stages, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(plan: Any, *args: Any, **options: Any) -> list[Measurement]:
        good = stages.run_plan(plan, *args, **options)
        return [*good, Measurement("key", "train", "jax jit", "time", 99, 0, "failed", error={"what": "crashed"})]

    monkeypatch.setattr(regauge.measure.runner, "run_plan", failing)
    comparison = run(case, tmp_path)
    assert comparison.exit_code == 1
    assert len(comparison.failures) == 1


def test_results_of_another_version_are_refused(stages: Stages, case: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text('{"schema": 99}')
    with pytest.raises(BadResult, match="another version") as caught:
        run(case, tmp_path)
    assert "schema 99" in caught.value.received
    (out / "run.json").write_text("{")
    with pytest.raises(BadResult, match="cannot be read"):
        run(case, tmp_path)


def test_a_directory_of_somebody_else_is_not_replaced(stages: Stages, case: str, tmp_path: Path) -> None:
    theirs = tmp_path / "out" / "conversion" / "thesis.tex"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    with pytest.raises(OutputError, match="not a conversion"):
        run(case, tmp_path)
    assert theirs.read_text() == "years of work"


def test_without_a_report_the_document_is_still_written(stages: Stages, case: str, tmp_path: Path) -> None:
    comparison = run(case, tmp_path, report=False)
    assert comparison.html is None
    assert (tmp_path / "out" / "document.json").is_file()
    assert not (tmp_path / "out" / "report.html").exists()


def test_the_python_functions_do_what_the_commands_do(stages: Stages, case: str, tmp_path: Path) -> None:
    assert regauge.check(case, out=tmp_path / "out").equal
    assert regauge.compare(case, tmp_path / "out", report=False).exit_code == 0
    assert stages.calls == ALL

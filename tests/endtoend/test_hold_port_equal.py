"""The example that holds a port equal: its workflow as GitHub reads it, its commands as they stand, its test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "hold-port-equal"
WORKFLOW = EXAMPLE / ".github" / "workflows" / "port.yml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project"))


def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def command(name: str) -> str:
    return next(step["run"] for step in workflow()["jobs"]["equal"]["steps"] if step.get("name") == name)


def run(line: str, place: Path) -> subprocess.CompletedProcess[str]:
    """A line of the workflow, with this interpreter for ``regauge`` and ``pytest``."""
    binaries = place / "bin"
    binaries.mkdir(exist_ok=True)
    for name, module in (("regauge", "regauge.cli.main"), ("pytest", "pytest")):
        script = binaries / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-e", "-c", line]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=500, check=False)


def test_the_workflow_has_what_github_needs() -> None:
    found = workflow()
    assert set(found[True]) == {"push", "pull_request", "schedule"}  # YAML reads the key `on` as true
    steps = found["jobs"]["equal"]["steps"]
    used = [step["uses"] for step in steps if "uses" in step]
    assert [use.partition("@")[0] for use in used] == [
        "actions/checkout",
        "actions/setup-python",
        "actions/upload-artifact",
    ]
    assert all(use.partition("@")[2] for use in used)
    assert steps[1]["with"]["cache"] == "pip"
    keep = steps[-1]
    assert keep["if"] == "always()"
    assert "build/check.html" in keep["with"]["path"].split()
    assert "--fail-on different" in command("Check")
    assert "-r requirements.txt" in command("Install")


def quick() -> str:
    return command("Check").replace("--fail-on", "--quick --fail-on")


def test_a_change_of_the_port_fails_the_job_and_leaves_what_the_artefact_names(project: Path) -> None:
    port = project / "port.py"
    port.write_text(port.read_text(encoding="utf-8").replace("epsilon=1e-5", "epsilon=1e-6"), encoding="utf-8")
    done = run(quick(), project)
    assert done.returncode == 1, done.stdout + done.stderr
    data = json.loads((project / "check.json").read_text(encoding="utf-8"))
    assert (data["ok"], data["check"]["first_difference"]) == (False, "norm")
    assert (project / "build" / "reproduce.py").is_file()
    assert "norm" in (project / "build" / "check.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_job_passes_as_long_as_the_two_are_equal(project: Path) -> None:
    done = run(quick(), project)
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads((project / "check.json").read_text(encoding="utf-8"))
    assert (data["ok"], data["check"]["verdict"]) == (True, "equal")
    assert (project / "build" / "check.html").is_file()
    assert not (project / "build" / "reproduce.py").exists()


@pytest.mark.slow
def test_the_test_of_the_example_passes_and_says_what_is_wrong(project: Path) -> None:
    done = run("pytest -q test_port.py -p no:cacheprovider", project)
    assert done.returncode == 0, done.stdout + done.stderr
    port = project / "port.py"
    port.write_text(port.read_text(encoding="utf-8").replace("approximate=False", "approximate=True"), encoding="utf-8")
    done = run("pytest -q test_port.py -p no:cacheprovider", project)
    assert done.returncode == 1
    assert "are not the same function; the first difference is in" in done.stdout
    assert "next: python build/port/reproduce.py" in done.stdout

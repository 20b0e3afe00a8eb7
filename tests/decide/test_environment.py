"""The files that set up a stack: valid for their readers, the same every time, and the notebook runs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from regauge.decide import packages
from regauge.decide.environment import environment_files, write_environment
from regauge.decide.libraries import KINDS, load
from regauge.decide.stack import CHOICES, HARDWARE, SYSTEMS, Stack, stack_for
from regauge.errors import OutputError
from regauge.language import use_language

ROOT = Path(__file__).parents[2]
CHINESE = re.compile(r"[\u4e00-\u9fff]")
NAMES = {
    "requirements.txt",
    "environment.yml",
    "Dockerfile",
    "start.ipynb",
    "test_start.py",
    ".github/workflows/ci.yml",
}


def stack(framework: str = "jax", hardware: str = "cpu", kind: str = "vision", os: str = "linux") -> Stack:
    return stack_for(framework, kind=kind, train=[hardware], devices=1, nodes=1, serve=["cpu"], os=os)


def every_stack() -> Iterator[Stack]:
    for framework, hardware, kind, os in product(CHOICES, HARDWARE, KINDS, SYSTEMS):
        yield stack(framework, hardware, kind, os)


def requirements_of(text: str) -> list[Requirement]:
    lines = [line.partition("  #")[0] for line in text.splitlines() if not line.startswith(("#", "--"))]
    return [Requirement(line) for line in lines]


def test_requirements_of_every_stack_parse_and_name_a_package_once() -> None:
    for found in every_stack():
        for name, text in environment_files(found).items():
            if name.startswith("requirements"):
                names = [requirement.name for requirement in requirements_of(text)]
                assert len(names) == len(set(names)), (found.framework, found.kind, names)
                by_package = {library.package: library for library in load().by_name.values()}
                assert all(by_package[each].status != "archived" for each in names)
                options = [line for line in text.splitlines() if line.startswith("--")]
                assert options in ([], [f"--extra-index-url {packages.TORCH_CPU_INDEX}"])


def test_the_framework_comes_with_the_build_for_the_hardware() -> None:
    def first(framework: str, hardware: str, os: str = "linux") -> str:
        lines = environment_files(stack(framework, hardware, os=os))["requirements.txt"].splitlines()
        return next(line for line in lines if not line.startswith(("#", "--"))).partition("  #")[0]

    assert first("jax", "cpu") == "jax>=0.10"
    assert first("jax", "nvidia-gpu") == "jax[cuda13]>=0.10"
    assert first("jax", "tpu") == "jax[tpu]>=0.10"
    assert first("jax", "nvidia-gpu", "windows") == "jax>=0.10"
    assert first("tensorflow", "nvidia-gpu") == "tensorflow[and-cuda]"
    assert first("pytorch", "nvidia-gpu") == "torch>=2.11"
    assert packages.TORCH_CPU_INDEX in environment_files(stack("pytorch"))["requirements.txt"]
    assert "--extra-index-url" not in environment_files(stack("pytorch", "nvidia-gpu"))["requirements.txt"]
    assert packages.TORCH_SELECTOR in environment_files(stack("pytorch", "amd-gpu"))["requirements.txt"]


def test_keras_gets_a_backend_that_reaches_the_hardware() -> None:
    for hardware, os, backend in (
        ("cpu", "linux", "jax"),
        ("nvidia-gpu", "linux", "jax"),
        ("nvidia-gpu", "windows", "torch"),
        ("apple-gpu", "macos", "torch"),
    ):
        files = environment_files(stack("keras", hardware, os=os))
        assert f"\n{backend}" in files["requirements.txt"]
        assert f'\\"KERAS_BACKEND\\", \\"{backend}\\"' in files["start.ipynb"]


def test_floors_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = {Requirement(line) for extra in ("torch", "jax") for line in project["optional-dependencies"][extra]}
    assert {each.name: str(each.specifier).removeprefix(">=") for each in stated} == packages.FLOORS


def test_a_runner_without_an_accelerator_installs_the_plain_build() -> None:
    files = environment_files(stack("jax", "nvidia-gpu"))
    assert set(files) == NAMES | {"requirements-cpu.txt"}
    assert "cuda" not in files["requirements-cpu.txt"]
    assert "requirements-cpu.txt" in files[".github/workflows/ci.yml"]
    assert set(environment_files(stack())) == NAMES


def test_conda_and_workflow_are_what_their_readers_expect() -> None:
    for found in every_stack():
        files = environment_files(found)
        conda = yaml.safe_load(files["environment.yml"])
        assert conda["dependencies"] == [f"python={packages.PYTHON}", "pip", {"pip": ["-r requirements.txt"]}]
        workflow = yaml.load(files[".github/workflows/ci.yml"], Loader=yaml.BaseLoader)  # BaseLoader keeps `on`
        assert set(workflow["on"]) == {"push", "pull_request"}
        steps = workflow["jobs"]["test"]["steps"]
        assert all(set(step) & {"uses", "run"} for step in steps)
        installed = next(step["run"] for step in steps if "--requirement" in step.get("run", "")).split()[-1]
        assert installed in files


def test_the_python_version_suits_the_frameworks() -> None:
    """The facts name the oldest one for JAX and PyTorch and the newest one for TensorFlow."""
    from regauge.decide.facts import load as load_facts

    python = Version(packages.PYTHON)
    assert Version(str(load_facts().by_id("jx-python-versions").value)) <= python
    assert Version(str(load_facts().by_id("pt-python-versions").value)) <= python
    assert python <= Version(str(load_facts().by_id("tf-python").value))


@pytest.mark.parametrize("framework", CHOICES)
def test_the_dockerfile_is_built_of_instructions(framework: str) -> None:
    for hardware in HARDWARE:
        files = environment_files(stack(framework, hardware))
        text = files["Dockerfile"].replace("\\\n", " ")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert lines[0] == f"FROM python:{packages.PYTHON}-slim"
        assert all(line.split()[0] in ("FROM", "RUN", "WORKDIR", "COPY", "USER", "CMD") for line in lines)
        assert lines.index("COPY requirements.txt .") < lines.index("COPY --chown=app . .")
        assert json.loads(lines[-1].removeprefix("CMD ")) == ["python", "-m", "pytest", "-q"]
        names = {requirement.name for requirement in requirements_of(files["requirements.txt"])}
        assert ("g++" in text) == ("torch" in names)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("framework", CHOICES)
def test_the_notebook_is_one(framework: str, language: str) -> None:
    with use_language(language):
        found = json.loads(environment_files(stack(framework))["start.ipynb"])
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    for cell in found["cells"]:
        text = "".join(cell["source"])
        assert "$" not in text
        if cell["cell_type"] == "code":
            assert set(cell) == {"cell_type", "execution_count", "id", "metadata", "outputs", "source"}
            ast.parse(text)
        else:
            assert set(cell) == {"cell_type", "id", "metadata", "source"}
            assert bool(CHINESE.search(text)) == (language == "zh")


def run_the_test(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory / "test_start.py")]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)


def test_the_starter_of_jax_runs_and_its_loss_falls(tmp_path: Path) -> None:
    write_environment(stack("jax"), tmp_path)
    done = run_the_test(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.slow
def test_the_starter_of_pytorch_runs_and_its_loss_falls(tmp_path: Path) -> None:
    write_environment(stack("pytorch"), tmp_path)
    done = run_the_test(tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_test_of_the_starter_can_fail(tmp_path: Path) -> None:
    write_environment(stack("jax"), tmp_path)
    path = tmp_path / "start.ipynb"
    content = json.loads(path.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        cell["source"] = ["losses = [1.0, 2.0]"] if cell["cell_type"] == "code" else cell["source"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert run_the_test(tmp_path).returncode == 1


def test_the_same_stack_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_environment(stack("pytorch", "nvidia-gpu"), tmp_path / "a" / "deep")
    second = write_environment(stack("pytorch", "nvidia-gpu"), tmp_path / "b")
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    again = write_environment(stack("pytorch", "nvidia-gpu"), tmp_path / "b")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in first]


def test_remarks_are_in_the_language_that_is_shown() -> None:
    english = environment_files(stack("pytorch", "nvidia-gpu"))
    with use_language("zh"):
        chinese = environment_files(stack("pytorch", "nvidia-gpu"))
    for name in NAMES:
        assert not CHINESE.search(english[name]), name
        assert CHINESE.search(chinese[name]), name
    assert requirements_of(english["requirements.txt"]) == requirements_of(chinese["requirements.txt"])


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the environment files cannot be written") as caught:
        write_environment(stack(), tmp_path / "file")
    assert caught.value.where == str(tmp_path / "file")

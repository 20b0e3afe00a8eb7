"""Files that set up a stack: pip, conda, Docker, a starter notebook with its test, continuous integration."""

from __future__ import annotations

import json
import string
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from regauge.decide.packages import PYTHON, accelerator, backend_of_keras, requirements, uses_torch
from regauge.decide.stack import Stack
from regauge.decide.tables import Strict, read_rows
from regauge.errors import OutputError
from regauge.language import _, language

REQUIREMENTS = "requirements.txt"
REQUIREMENTS_CPU = "requirements-cpu.txt"
NOTEBOOK = "start.ipynb"
NOTEBOOK_TEST = "test_start.py"


class _Cell(Strict):
    en: str = ""
    zh: str = ""
    code: str = ""


class _Starter(Strict):
    framework: str
    cells: tuple[_Cell, ...] = Field(min_length=1)


def write_environment(stack: Stack, directory: Path) -> tuple[Path, ...]:
    """Write the files of a stack into `directory`, which is made if it is not there.

    ``requirements.txt`` (pip), ``environment.yml`` (conda), ``Dockerfile``, ``start.ipynb`` with ``test_start.py``, and
    ``.github/workflows/ci.yml``; ``requirements-cpu.txt`` besides where training runs on an accelerator that a runner
    has not. The same stack in the same language always gives the same bytes; files of these names are replaced.

    Returns:
        The paths that were written.

    Raises:
        OutputError: the directory cannot be written.
    """
    written = []
    try:
        for name, text in environment_files(stack).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise OutputError(
            "the environment files cannot be written",
            where=str(directory),
            received=str(error),
            next="name another directory",
        ) from error
    return tuple(written)


def environment_files(stack: Stack) -> dict[str, str]:
    """The text of every file by its path inside the directory."""
    files = {
        REQUIREMENTS: requirements(stack).text(),
        "environment.yml": conda(stack),
        "Dockerfile": dockerfile(stack),
        NOTEBOOK: notebook(stack),
        NOTEBOOK_TEST: notebook_test(),
        ".github/workflows/ci.yml": workflow(stack),
    }
    if accelerator(stack) != "cpu":
        files[REQUIREMENTS_CPU] = requirements(stack, "cpu").text()
    return files


def conda(stack: Stack) -> str:
    """environment.yml: Python by conda-forge, the frameworks by pip from requirements.txt."""
    content = {
        "name": f"{stack.framework}-{stack.kind}",
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": [f"python={PYTHON}", "pip", {"pip": [f"-r {REQUIREMENTS}"]}],
    }
    remark = _("Python comes from conda-forge, the packages from requirements.txt: the same versions as with pip.")
    return f"{_comment(remark)}\n{yaml.safe_dump(content, sort_keys=False)}"


def dockerfile(stack: Stack) -> str:
    """Dockerfile: a slim Python image; CUDA libraries come with the wheels, the driver from the host."""
    hardware = accelerator(stack)
    lines = [f"FROM python:{PYTHON}-slim"]
    if stack.os != "linux":
        lines.insert(0, _comment(_("The image runs Linux, while requirements.txt is for the system that was named.")))
    elif hardware == "nvidia-gpu":
        lines.insert(0, _comment(_("start it with: docker run --gpus all")))
    if uses_torch(stack, hardware):
        lines += [
            _comment(_("torch.compile on the CPU needs a C++ compiler")),
            "RUN apt-get update && apt-get install --yes --no-install-recommends g++ \\",
            "    && rm -rf /var/lib/apt/lists/*",
        ]
    lines += [
        "WORKDIR /app",
        f"COPY {REQUIREMENTS} .",
        f"RUN pip install --no-cache-dir --requirement {REQUIREMENTS}",
        "RUN useradd --create-home app && chown app /app",
        "USER app",
        "COPY --chown=app . .",
        'CMD ["python", "-m", "pytest", "-q"]',
    ]
    return "\n".join([*lines, ""])


def workflow(stack: Stack) -> str:
    """.github/workflows/ci.yml: install on a runner without an accelerator, and run the tests."""
    file = REQUIREMENTS if accelerator(stack) == "cpu" else REQUIREMENTS_CPU
    runner = {"linux": "ubuntu-latest", "macos": "macos-latest", "windows": "windows-latest"}[stack.os]
    steps = [
        {"uses": "actions/checkout@v4"},
        {
            "uses": "actions/setup-python@v5",
            "with": {"python-version": PYTHON, "cache": "pip", "cache-dependency-path": file},
        },
        {"run": f"python -m pip install --requirement {file}"},
        {"run": "python -m pytest -q"},
    ]
    content = {
        "name": "CI",
        "on": {"push": {"branches": ["main"]}, "pull_request": None},
        "permissions": {"contents": "read"},
        "jobs": {"test": {"runs-on": runner, "timeout-minutes": 30, "steps": steps}},
    }
    text = yaml.safe_dump(content, sort_keys=False)
    # YAML 1.1 reads a bare `on` as a truth value, so the dump quotes it; the service wants the plain word.
    text = text.replace("'on':", "on:").replace("pull_request: null", "pull_request:")
    remark = _("Runners have no accelerator: the tests run on the CPU.")
    return f"{_comment(remark)}\n{text}"


def notebook(stack: Stack) -> str:
    """start.ipynb (nbformat 4.5): a small model that trains and is saved, in the current language."""
    starter = next(row for row in _starters() if row.framework == stack.framework)
    backend = {"backend": backend_of_keras(stack, accelerator(stack))}
    cells: list[dict[str, Any]] = []
    for number, cell in enumerate(starter.cells, start=1):
        text = cell.code or getattr(cell, language())
        common = {
            "id": f"cell-{number}",
            "metadata": {},
            "source": string.Template(text.rstrip("\n")).substitute(backend).splitlines(keepends=True),
        }
        code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "outputs": []}
        cells.append({**code, **common} if cell.code else {"cell_type": "markdown", **common})
    content = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def notebook_test() -> str:
    """test_start.py: runs the code cells of the notebook and looks at the loss."""
    title = _("The starter notebook runs, and its loss falls.")
    return f'''"""{title}"""

import json
from pathlib import Path

NOTEBOOK = Path(__file__).with_name("{NOTEBOOK}")


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {{}}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["losses"][-1] < names["losses"][0]
'''


def _comment(text: str) -> str:
    return f"# {text}"


@lru_cache(maxsize=1)
def _starters() -> tuple[_Starter, ...]:
    return read_rows("starter.yaml", tuple[_Starter, ...])

"""What the documents say is there: links, commands, quoted source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from regauge.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
NAMES = {command.__name__ for command, _summary in COMMANDS}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_named_commands_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")  # in code only: prose may say "regauge refuses"
    found = re.findall(r"(?:^    (?:\$ )?|`)regauge ([a-z]+)", text, re.MULTILINE)
    assert set(found) <= NAMES


def test_the_walk_through_quotes_the_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "def case()" in block)
    example = (ROOT / "examples" / "my_model.py").read_text(encoding="utf-8")
    example = re.sub(r'    """What regauge needs.*\n', "", example)
    assert quoted.strip() in example


def test_the_makefile_has_the_targets_that_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {
        target
        for path in DOCUMENTS
        for target in re.findall(r"^    make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"compare", "test"} <= named
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()

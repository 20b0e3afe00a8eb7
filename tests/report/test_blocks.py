"""Tables of the terminal: side by side where that can be read, else row by row; nothing is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from regauge.language import use_language
from regauge.report.blocks import print_table, table_of

HEADS = ("step", "files", "lines", "automatic", "equivalent", "manual", "no counterpart", "hazards", "needs step")
PATHS = "src/package/models/encoder_blocks.py, src/package/training/loop.py"
ROWS = [("1", PATHS, "120", "60", "40", "19", "1", "3", ""), ("12", "train.py", "8", "8", "", "", "", "", "1")]
NUMBERS = (0, *range(2, 8))


def _printed(width: int, heads: tuple[str, ...] = HEADS, rows: list[tuple[str, ...]] = ROWS) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, soft_wrap=True)
    print_table(console, table_of("Work, in order", heads, rows, NUMBERS))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 50, 80, 120, 200])
def test_no_width_loses_a_cell_or_folds_a_path(width: int) -> None:
    printed = _printed(width)
    words = printed.replace(",", " ").replace(":", " ").split()
    assert all(word in words for row in ROWS for cell in row for word in cell.replace(",", " ").split())
    assert all(word in words for head in HEADS[2:] for word in head.split())
    assert max(len(line) for line in printed.splitlines()) <= width


def test_a_wide_terminal_shows_columns_and_a_narrow_one_rows() -> None:
    assert len(_printed(200).splitlines()) == 2 + len(ROWS)
    lines = _printed(80).splitlines()
    assert lines[1] == f"1  {PATHS}"
    assert lines[2] == "    lines: 120 · automatic: 60 · equivalent: 40 · manual: 19 · no counterpart: 1"
    assert lines[-1] == "    lines: 8 · automatic: 8 · needs step: 1"


def test_chinese_breaks_anywhere() -> None:
    sentence = "这个名称没有记录请查看另一侧是否有对应的名称再决定如何改写这一行"
    with use_language("zh"):
        lines = _printed(60, ("名称", "原因"), [("torch.ops.aten", sentence)]).splitlines()
    assert lines[2].startswith("torch.ops.aten  ")
    assert sentence == "".join(line.split()[-1] for line in lines[2:])

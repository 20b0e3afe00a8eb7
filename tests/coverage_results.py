"""Results behind the pages of docs/coverage: a line of JSON for each model, in files that are committed.

The long suites run for hours, in parts and on different days. What a page says can so be made again from what is kept
beside it, and a later run goes on where an earlier one stopped, in any clone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "coverage" / "results"


@dataclass(frozen=True)
class Results:
    """The results of one suite.

    Attributes:
        file: JSON Lines, one record for each `name`, sorted by it.
    """

    file: Path

    def load(self) -> dict[str, dict[str, Any]]:
        """The records by their names; empty before the first run."""
        if not self.file.is_file():
            return {}
        records = map(json.loads, self.file.read_text(encoding="utf-8").splitlines())
        return {record["name"]: record for record in records}

    def put(self, record: Mapping[str, Any]) -> None:
        """Keep a record, in place of an earlier one of its name. One process writes a file at a time."""
        found = self.load() | {record["name"]: dict(record)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(found[name], ensure_ascii=False) + "\n" for name in sorted(found)]
        half = self.file.with_suffix(".part")
        half.write_text("".join(lines), encoding="utf-8")
        half.replace(self.file)  # a run that is stopped here leaves the old file whole

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A conversion as far as the parent reads it: its name and that it can be trained."""
    path = tmp_path / "conversion"
    path.mkdir()
    (path / "conversion.json").write_text(
        json.dumps({"schema": 1, "name": "case", "has_loss": True, "optimizer": {}}), encoding="utf-8"
    )
    return path

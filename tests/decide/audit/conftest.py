"""The code base of these tests, written once, and its audit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from regauge.decide.audit import Audit, audit_tree

sys.path.insert(0, str(Path(__file__).parent))

import code_base


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return code_base.write(tmp_path_factory.mktemp("shapes_project"))


@pytest.fixture(scope="session")
def audit(tree: Path) -> Audit:
    return audit_tree(tree)

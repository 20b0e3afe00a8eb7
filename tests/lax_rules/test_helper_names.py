"""Names of what rules from lax to torch are written with."""

from __future__ import annotations

import ast
import inspect

from regauge.rules.lax_to_torch import FAMILIES


def test_helpers_have_names_of_their_own() -> None:
    """Emitted helpers stand side by side in one file, so a name has one meaning in all families."""
    seen: dict[str, str] = {}
    for family in FAMILIES:
        source = inspect.getsource(family)
        for node in ast.parse(source).body:
            # rules, which have a decorator, bear the names of functions of torch, some in two families
            if isinstance(node, ast.FunctionDef) and not node.decorator_list and not node.name.startswith("_"):
                text = ast.get_source_segment(source, node) or ""
                assert seen.setdefault(node.name, text) == text, f"{node.name} stands in two files with two meanings"
    assert len(seen) > len(FAMILIES)

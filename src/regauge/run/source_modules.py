"""Source texts as modules of this process, which import each other under their own names."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def executed(
    texts: Mapping[str, str],
    directory: str,
    rewriting: ast.NodeTransformer | None = None,
    given: Mapping[str, Any] | None = None,
) -> dict[str, ModuleType]:
    """Execute files by module name, in order; each may import those before it.

    Args:
        texts: source text by module name.
        directory: where the files are, for tracebacks and for what they load from beside themselves.
        rewriting: changes every file before it is executed.
        given: names that every file has before it is executed.
    """
    made: dict[str, ModuleType] = {}
    hidden = {name: sys.modules.pop(name) for name in texts if name in sys.modules}
    try:
        for name, text in texts.items():
            tree = ast.parse(text)
            if rewriting is not None:
                tree = ast.fix_missing_locations(rewriting.visit(tree))
            module = ModuleType(name)
            module.__file__ = f"{directory}/{name}.py"
            module.__dict__.update(given or {})
            sys.modules[name] = module
            made[name] = module
            exec(compile(tree, module.__file__, "exec"), module.__dict__)
    finally:
        for name in made:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)
    return made

"""Emitted torch source, executed: the text of model.py, ops.py and train.py as modules of this process.

With `widen` every low float dtype that the text names becomes float64, so that the float64 tier runs the emitted file
itself.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from itertools import count
from types import ModuleType

from regauge.run.source_modules import executed

_NUMBERS = count()
_LOW_FLOATS = frozenset({"float32", "bfloat16", "float16"})


def load_sources(texts: Mapping[str, str], directory: str = "<regauge>", widen: bool = False) -> dict[str, ModuleType]:
    """Execute files by module name, in order; each may import those before it.

    Args:
        texts: source text by module name, ``{"ops": ..., "model": ..., "train": ...}``.
        directory: where the files are, for tracebacks and for loading weights beside them.
        widen: read low float dtypes as float64.
    """
    made = executed(texts, directory, _Widen() if widen else None)
    for name, module in made.items():  # torch.compile imports the module of a function by its name
        module.__name__ = f"regauge_{next(_NUMBERS)}_{name}"
        sys.modules[module.__name__] = module
    return made


class _Widen(ast.NodeTransformer):
    """`torch.float32` as `torch.float64`, `torch.complex64` as `torch.complex128`."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "torch":
            node.attr = "float64" if node.attr in _LOW_FLOATS else node.attr
            node.attr = "complex128" if node.attr == "complex64" else node.attr
        return node

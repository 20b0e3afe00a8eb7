"""Emitted source, executed: the text of model.py, ops.py and train.py as modules of this process.

With `widen` every low float dtype that the text names becomes float64, and the one library function that narrows its
inputs by itself gives way to the same formula in float64, so that the float64 tier runs the emitted file itself.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import ModuleType

from regauge.run.jax_attention import dot_product_attention
from regauge.run.source_modules import executed

_WIDE_ATTENTION = "_regauge_float64_attention"  # one underscore: two would be mangled in a class
_LOW_FLOATS = frozenset({"float32", "bfloat16", "float16"})


def load_sources(texts: Mapping[str, str], directory: str = "<regauge>", widen: bool = False) -> dict[str, ModuleType]:
    """Execute files by module name, in order; each may import those before it.

    Args:
        texts: source text by module name, ``{"ops": ..., "model": ..., "train": ...}``.
        directory: where the files are, for tracebacks and for loading weights beside them.
        widen: read low float dtypes as float64.
    """
    if not widen:
        return executed(texts, directory)
    return executed(texts, directory, _Widen(), {_WIDE_ATTENTION: dot_product_attention})


class _Widen(ast.NodeTransformer):
    """`jnp.float32` as `jnp.float64`, `jax.nn.dot_product_attention` as the one that keeps float64."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if ast.unparse(node) == "jax.nn.dot_product_attention":
            return ast.Name(_WIDE_ATTENTION, ast.Load())
        self.generic_visit(node)
        if node.attr in _LOW_FLOATS and isinstance(node.value, ast.Name) and node.value.id == "jnp":
            node.attr = "float64"
        return node

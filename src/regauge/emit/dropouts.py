"""Calls of an `nnx.Dropout`; one that evaluation does not switch off gets the switch with the call."""

from __future__ import annotations

import ast


def dropped(attribute: str, expression: ast.expr, always: bool) -> ast.expr:
    """``self.dropout(x)``, or ``self.dropout(x, deterministic=False)``."""
    keywords = [ast.keyword("deterministic", ast.Constant(False))] if always else []
    return ast.Call(_member(attribute), [expression], keywords)


def dropout_function(attribute: str, always: bool) -> ast.expr:
    """The same as a function of an array, for helpers that drop inside."""
    if not always:
        return _member(attribute)
    return ast.parse(f"lambda x: self.{attribute}(x, deterministic=False)", mode="eval").body


def _member(attribute: str) -> ast.expr:
    return ast.parse(f"self.{attribute}", mode="eval").body

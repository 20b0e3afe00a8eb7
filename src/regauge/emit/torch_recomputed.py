"""Calls that are computed again for the gradient: `checkpoint(self.block, x, use_reentrant=False)`.

Until a file is written such a call is `self.block(x, use_reentrant=False)`, so that loops and everything else that
looks at calls of modules find it as they find any other.
"""

from __future__ import annotations

import ast

_MARK = "use_reentrant"  # the keyword that no module's own call has


def recomputing(call: ast.Call) -> ast.Call:
    """The call with the mark."""
    return ast.Call(call.func, call.args, [*call.keywords, ast.keyword(_MARK, ast.Constant(False))])


def with_checkpoints(line: str) -> str:
    """A line of code in which `checkpoint` runs the calls that have the mark."""
    if f"{_MARK}=" not in line:
        return line
    code = line.lstrip()
    return line[: len(line) - len(code)] + ast.unparse(_Checkpoints().visit(ast.parse(code)))


class _Checkpoints(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        marked = any(keyword.arg == _MARK for keyword in node.keywords)
        if not marked or (isinstance(node.func, ast.Name) and node.func.id == "checkpoint"):
            return node
        return ast.Call(ast.Name("checkpoint", ast.Load()), [node.func, *node.args], node.keywords)

"""Names whose class an argument decides: ``torch.autocast(enabled=False)`` is left out, ``torch.autocast`` is not.

The use of such a call carries the argument in its name, where a table has an entry of that name.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from regauge.decide.audit.tables.lookup import FRAMEWORK_OF, table_of


@dataclass(frozen=True)
class Argument:
    """The argument that is looked at.

    Attributes:
        keyword: its name; empty if it has none.
        position: where it stands without its name.
        absent: what stands for it when it is not given; empty if that says nothing.
    """

    keyword: str
    position: int
    absent: str = ""


_GROUP = Argument("group", 2, "None")
_DECIDING = {
    "torch.autocast": Argument("enabled", 2),
    "torch.amp.autocast": Argument("enabled", 2),
    "torch.cuda.amp.autocast": Argument("enabled", 0),
    "torch.distributed.broadcast": _GROUP,
    "torch.distributed.all_gather": _GROUP,
    "torch.distributed.all_gather_into_tensor": _GROUP,
    "torch.distributed.monitored_barrier": Argument("group", 0, "None"),
    "jax.config.update": Argument("", 0),
    "jax.config.read": Argument("", 0),
}


def plain(name: str) -> str:
    """The name without the argument."""
    return name.partition("(")[0]


def with_argument(name: str, call: ast.Call) -> str:
    """The name of a use with the argument that decides its class, if one does and a table knows its value."""
    argument = _DECIDING.get(name)
    table = table_of(FRAMEWORK_OF[name.partition(".")[0]]) if argument is not None else None
    if argument is None or table is None:
        return name
    value = _value(argument, call)
    given = f"{name}({argument.keyword}={value})" if argument.keyword else f"{name}({value})"
    return given if value and given in table.entries else name


def _value(argument: Argument, call: ast.Call) -> str:
    """The argument as it is written, if it is a constant; empty if it cannot be told."""
    if any(isinstance(item, ast.Starred) for item in call.args) or any(item.arg is None for item in call.keywords):
        return ""
    named = {item.arg: item.value for item in call.keywords}
    node = named.get(argument.keyword)
    if node is None and len(call.args) > argument.position:
        node = call.args[argument.position]
    if node is None:
        return argument.absent
    return repr(node.value) if isinstance(node, ast.Constant) else ""

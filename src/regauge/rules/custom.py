"""Rules of a person's own: the JAX counterparts of operators that nobody else has (`torch.library`)."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from regauge.errors import BadCase
from regauge.rules.table import Promotes, Rule, RuleTable

Function = TypeVar("Function", bound=Callable[..., Any])

_OWN: dict[str, Rule] = {}


def rule(
    *operators: str, promotes: Literal["none", "default", "int_to_float", "always_bool", "bool_to_long"] = "none"
) -> Callable[[Function], Function]:
    """Decorator: the function is what operators of torch are in JAX.

    The function takes the operator's arguments under the names of its schema: arrays for tensors, Python values for
    the rest. Its source text travels into the emitted code, so it may use only `jax`, `jnp`, `lax`, `np`, `math`,
    builtins and functions of the same file; JAX differentiates it. A rule of regauge's own for the same operator gives
    way to it.

    Args:
        operators: ``"mylib::my_op"``, with ``.overload`` where there is more than one.
        promotes: how operands are brought to one dtype before: not at all, to their common dtype, ...

    Raises:
        BadCase: a name is none of an operator.

    Example:
        >>> @regauge.rule("mylib::scaled_tanh")
        ... def scaled_tanh(x, scale: float):
        ...     return scale * jnp.tanh(x)
    """
    names = [_qualified(operator) for operator in operators]

    def register(fn: Function) -> Function:
        for name in names:
            _OWN[name] = Rule(name, fn, Promotes(promotes))
        return fn

    return register


def _qualified(operator: str) -> str:
    library, separator, name = operator.partition("::")
    if not separator or not library.isidentifier() or not all(part.isidentifier() for part in name.split(".")):
        raise BadCase("a rule is for an operator of torch, by its name", received=operator, next='write "mylib::my_op"')
    return f"{library}.{name}" if "." in name else f"{library}.{name}.default"


def with_own(table: RuleTable) -> RuleTable:
    """A table with the person's rules, which win over those of the same operators."""
    if not _OWN:
        return table
    joined = RuleTable(table.name)
    for found in {**{known.op: known for known in table}, **_OWN}.values():
        joined.add(found)
    return joined


def load_rules(path: Path) -> None:
    """Run a file of rules.

    Raises:
        BadCase: there is no such file, or it raises.
    """
    spec = importlib.util.spec_from_file_location(f"rules_of_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise BadCase(f"no such file of rules: {path}", next="give rules= of the case as a path beside its own file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise BadCase(
            f"running {path.name} raised {type(error).__name__}: {error}",
            where=f"{frame.filename}:{frame.lineno}",
            next="mend the line that is named, then run the same command again",
        ) from error

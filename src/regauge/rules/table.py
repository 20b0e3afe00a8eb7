"""Rules and limits as data: what a node of one framework is in the other, and where that ends.

A rule is a plain typed function of arrays (positional) and attributes (keyword) named as in the operator's
schema. Emission partially evaluates its *source text* with the attributes of a node, so a rule is written once
and is at the same time the tested function, the emitted expression and, where it stays longer than one
expression, the helper in `ops.py`.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from regauge.errors import GraphError

Function = TypeVar("Function", bound=Callable[..., Any])
Effect = Literal["unsupported", "approximate", "slower"]


class Promotes(enum.Enum):
    """How torch brings an operator's operands to one dtype before it computes (torch's own kinds)."""

    NONE = "none"  # operands are passed as they are
    DEFAULT = "default"  # common dtype of all operands
    INT_TO_FLOAT = "int_to_float"  # as default; integers and booleans become the default float dtype
    ALWAYS_BOOL = "always_bool"  # operands as default, the result is boolean
    BOOL_TO_LONG = "bool_to_long"  # as default; integers and booleans become int64


@dataclass(frozen=True)
class Limit:
    """A use of an operator that is not, or not exactly, supported.

    `applies` receives the node's arguments by name, with tensors as `TensorSpec`.
    """

    when: str
    applies: Callable[[Mapping[str, Any]], bool]
    effect: Effect
    reason: str
    url: str = ""


# How functions of rules say that they give several arrays.
_LISTS = ("list[", "tuple[Array, ...", "tuple[Tensor, ...", "tuple[Operand, ...")


@dataclass(frozen=True)
class Rule:
    """One operator overload's counterpart in the target framework."""

    op: str
    fn: Callable[..., Any]
    promotes: Promotes = Promotes.NONE
    limits: tuple[Limit, ...] = ()

    @property
    def draws(self) -> bool:
        """Whether the rule is random: it takes a key, which torch's schema does not have."""
        return "rng_key" in inspect.signature(self.fn).parameters

    @property
    def gives_list(self) -> bool:
        """Whether the result is a list of arrays even where it has one alone."""
        return str(inspect.signature(self.fn).return_annotation).startswith(_LISTS)

    @property
    def place(self) -> str:
        """``file.py:line`` of the rule's function."""
        code = inspect.unwrap(self.fn).__code__
        return f"{code.co_filename.rsplit('/', 1)[-1]}:{code.co_firstlineno}"


def inlined(fn: Function) -> Function:
    """Decorator for a helper of rules: emitted code has its one expression where a rule calls it, not the call."""
    fn.__inlined__ = True  # type: ignore[attr-defined]
    return fn


class RuleTable:
    """The rules of one family. A second rule for an operator raises and names both places."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rules: dict[str, Rule] = {}

    def rule(
        self, *ops: str, promotes: Promotes = Promotes.NONE, limits: Iterable[Limit] = ()
    ) -> Callable[[Function], Function]:
        """Decorator: the function is the counterpart of each of these overloads."""

        def register(fn: Function) -> Function:
            for op in ops:
                self.add(Rule(op, fn, promotes, tuple(limits)))
            return fn

        return register

    def add(self, rule: Rule) -> None:
        if rule.op in self._rules:
            raise GraphError(f"two rules for {rule.op}", where=f"{self._rules[rule.op].place} and {rule.place}")
        self._rules[rule.op] = rule

    def get(self, op: str) -> Rule | None:
        return self._rules.get(op)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)


def merge(name: str, tables: Iterable[RuleTable]) -> RuleTable:
    """One table of all families; an operator in two families raises."""
    merged = RuleTable(name)
    for table in tables:
        for rule in table:
            merged.add(rule)
    return merged


def called(fn: Function) -> Function:
    """Decorator for a function of a rule that is emitted as a call of ops.py, never written out where it is used."""
    fn.__called__ = True  # type: ignore[attr-defined]
    return fn

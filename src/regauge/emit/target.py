"""The framework that is written: everything about emission that is not the same for JAX and for PyTorch.

Emission is one code for both directions. What it asks the framework stands here as a protocol; `nnx_target` and
`torch_target` answer. The target under way is a context variable: literals and casts are written far below the
functions that know what file is being made.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from regauge.ir.graph import Graph, Node, Ref, TensorSpec

if TYPE_CHECKING:
    from regauge.emit.extended_layers import Extension
    from regauge.emit.holders import Holder
    from regauge.emit.layers import Context, Layer
    from regauge.emit.lines import Line
    from regauge.emit.scopes import Scope
    from regauge.lower.plan import Plan
    from regauge.rules.table import RuleTable

Use = Callable[[Ref], ast.expr]


class Target(Protocol):
    """What emission asks the framework that it writes."""

    framework: str
    library: str  # what its modules are written with
    array_type: type | None  # what `isinstance` in a rule asks of an array
    libraries: frozenset[str]  # names whose calls make arrays, but for `static_calls`
    static_calls: frozenset[str]  # functions of these libraries that ask about dtypes and sizes
    file_names: frozenset[str]  # names that its files import
    sequential: str  # its chain of modules
    sequences: frozenset[str]  # chains of the original's libraries, by qualified name
    chain: tuple[str, ...]  # the attribute in which a chain keeps its parts, if it has one
    reserved: frozenset[str]  # attributes that no module may use
    dict_names: frozenset[str]  # keys that its container of named modules cannot have
    copied_prefix: str  # before the name of a copied class where the person has a class of that name
    evaluates: str  # the condition that a module is in evaluation
    flow_calls: Mapping[str, Callable[[Any], ast.expr]]  # how operators with functions are called; JAX's own by default
    follows_device: bool  # whether what is made of numbers alone must be told where its arrays are
    stores_in_place: bool  # whether what was read of a buffer changes when a new value is stored
    scans: bool  # whether equal layers in a row can become a scan over stacked weights
    own_gradient: Any  # writes functions with a derivative of their own; JAX's way by default
    original_method: str  # what the method of the original's modules that computes is called

    def dtype(self, name: str) -> Any:
        """The dtype object that rules compare with."""

    def dtype_argument(self, name: str) -> Any:
        """What a rule receives for a dtype attribute."""

    def dtype_expression(self, name: str) -> ast.expr:
        """How a dtype is written."""

    def special_float(self, text: str) -> ast.expr:
        """How ``nan``, ``inf`` and ``-inf`` are written."""

    def cast(self, expression: ast.expr, dtype: str) -> ast.expr:
        """The expression with another dtype."""

    def permuted(self, expression: ast.expr, axes: tuple[int, ...]) -> ast.expr:
        """The expression with its axes in this order."""

    def simplify(self, expression: ast.expr) -> ast.expr:
        """What a person would write for it."""

    def indexing(self, node: Node, spec: TensorSpec | None, use: Use) -> ast.expr | None:
        """A node as ``x[...]``; None for nodes that are no indexing."""

    def weight(self, attribute: str) -> ast.expr:
        """A weight as it is read, from the text of its attribute."""

    def store(self, attribute: str, value: str) -> str:
        """The statement that stores a new value of a buffer."""

    def old_value(self, read: ast.expr) -> ast.expr:
        """The value of a buffer that stays when a new one is stored, from the expression that reads it."""

    def array_text(self, value: np.ndarray) -> str:
        """A literal array with its dtype."""

    def placed(self, constant: ast.expr, device: ast.expr | None) -> ast.expr:
        """A literal array where an expression says that the others are; `device` is None where nothing says."""

    def module_call(self, name: str, arguments: str = "") -> str:
        """The expression that constructs a module of an emitted class."""

    def recomputing(self, call: ast.expr) -> ast.expr:
        """The call of a module whose inside is computed again for the gradient."""

    def list_text(self, items: Sequence[str]) -> str:
        """A container of modules or weights without names."""

    def dict_text(self, items: Mapping[str, str]) -> str:
        """A container of modules or weights with names."""

    def init_lines(self, emission: Any, holder: Holder, constructors: Mapping[str, str]) -> list[Line]:
        """The statements of `__init__`."""

    def layer_text(self, emission: Any, layer: Layer) -> str:
        """The constructor call of a recognised layer."""

    def recognise(self, scope: Scope, context: Context) -> Layer | None:
        """The library's layer that a call is, or None."""

    def extension(self, scope: Scope, context: Context) -> Extension | None:
        """The library's layer that a call of a person's own class extends, or None."""

    def is_library_type(self, name: str) -> bool:
        """Whether a class, by its qualified name, is of the original's library, not of the person's."""

    def is_function(self, node: Node) -> bool:
        """Whether an operator can be a part of a chain."""

    def function_module(self, node: Node) -> str | None:
        """The module that an operator is in a chain, where functions are no parts of one."""

    def rewritten(self, graph: Graph) -> Graph:
        """The graph after the passes that make it read well in this framework."""

    def check_specs(self, graph: Graph, plan: Plan) -> dict[str, str]:
        """Casts that the results of rules need, by value; raises SpecMismatch where a rule is wrong."""

    def table(self) -> RuleTable:
        """The rules from the original's operators to this framework."""

    def emit_train(self, **parts: Any) -> str:
        """The text of train.py."""

    def load_sources(self, texts: Mapping[str, str], directory: str) -> dict[str, ModuleType]:
        """Execute the emitted files."""

    def check_map(self, conversion: Any, model: ModuleType) -> None:
        """Raise WeightMismatch where the weight map is not total and one-to-one with the emitted module."""

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that the emitted code uses."""

    def readme_text(self, conversion: Any) -> str:
        """README.md of a saved folder."""

    def test_text(self, conversion: Any, inputs: Any) -> str:
        """test_equivalence.py of a saved folder."""

    def model_text(self, emission: Any, root: str, title: str) -> Any:
        """The text of model.py, and the places of its lines."""


_CURRENT: ContextVar[Target | None] = ContextVar("target", default=None)


def target() -> Target:
    """The framework that is written; JAX where nothing else was asked."""
    current = _CURRENT.get()
    if current is None:
        from regauge.emit.nnx_target import NNX

        current = NNX
        _CURRENT.set(current)
    return current


@contextmanager
def writing(chosen: Target) -> Iterator[None]:
    """Within the block emission writes for this framework."""
    token = _CURRENT.set(chosen)
    try:
        yield
    finally:
        _CURRENT.reset(token)

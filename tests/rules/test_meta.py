"""What holds for every rule: its text equals torch's schema, its name is its own, it has samples, its limits too."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from harness import LimitSample, Sample
from samples import arguments_of, default_of, spec_of, torch_op

from regauge.rules.aten_to_jax import FAMILIES, TABLE
from regauge.rules.table import Rule

RULES = sorted(TABLE, key=lambda rule: rule.op)
FUNCTIONS = {rule.fn.__name__: rule.fn for rule in RULES}

# Keywords that rules have beside torch's, always last.
EXTRAS = ("channels_last", "dropout", "rng_key", "parts")

# Rules without a sample, and why; none may be listed that has one.
NO_SAMPLE = {
    "aten.empty.memory_format": "torch leaves the values undefined",
    "aten.empty_strided.default": "torch leaves the values undefined",
    "aten.empty_like.default": "torch leaves the values undefined",
    "aten.new_empty.default": "torch leaves the values undefined",
    "aten.empty_permuted.default": "torch leaves the values undefined",
    "aten.new_empty_strided.default": "torch leaves the values undefined",
    "aten._grouped_mm.default": "torch has no kernel of float64; test_grouped compares float32",
    "aten.masked_select.default": "within its limit: self has elements",
}


def _test_modules() -> list[ModuleType]:
    here = Path(__file__).parent
    names = sorted(path.stem for path in here.glob("test_*.py") if path.stem != "test_meta")
    return [importlib.import_module(name) for name in names]


def _samples() -> list[Sample]:
    return [s for module in _test_modules() for s in getattr(module, "SAMPLES", ()) if isinstance(s, Sample)]


def _limit_samples() -> list[LimitSample]:
    return [s for module in _test_modules() for s in getattr(module, "LIMITS", ()) if isinstance(s, LimitSample)]


def _drawn() -> set[str]:
    """Operators of randomness, whose laws are tested in place of their values."""
    source = inspect.getsource(importlib.import_module("test_random"))
    return {
        rule.op
        for rule in RULES
        if "rng_key" in inspect.signature(rule.fn).parameters
        and (f'"{rule.op.removeprefix("aten.")}"' in source or f"random.{rule.fn.__name__}(" in source)
    }


def _schema(op: str) -> str:
    return str(torch_op(op)._schema).split("::", 1)[1]


def _names(rule: Rule) -> list[str]:
    """Parameters of the rule without the keywords that torch does not have."""
    own = {argument.name for argument in torch_op(rule.op)._schema.arguments}
    return [name for name in inspect.signature(rule.fn).parameters if name in own or name not in EXTRAS]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.op)
def test_docstring_is_the_schema(rule: Rule) -> None:
    """The docstring begins with the schema of the first overload, and has the others unless only the name differs."""
    doc = " ".join((rule.fn.__doc__ or "").split())
    served = [other.op for other in TABLE if other.fn is rule.fn]
    assert doc.startswith(_schema(served[0]))
    for op in served[1:]:
        same = _schema(op).split("(", 1)[1] == _schema(served[0]).split("(", 1)[1]
        assert same or _schema(op) in doc


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.op)
def test_parameters_are_those_of_the_schema(rule: Rule) -> None:
    arguments = torch_op(rule.op)._schema.arguments
    expected = [{"from": "from_"}.get(argument.name, argument.name) for argument in arguments]
    assert _names(rule) == expected
    parameters = inspect.signature(rule.fn).parameters
    for name, argument in zip(expected, arguments, strict=True):
        default = parameters[name].default
        if not argument.has_default_value():
            assert default is inspect.Parameter.empty, f"{name} has no default in torch"
            continue
        wanted = default_of(argument)
        if argument.name == "dtype" and wanted is not None:
            assert default is int
        else:
            assert _is_same_default(default, wanted), name


def _is_same_default(default: Any, wanted: Any) -> bool:
    """torch writes one number for a list of equal numbers, as rules may."""
    if isinstance(wanted, list):
        return default == tuple(wanted) or (all(default == item for item in wanted) and bool(wanted))
    return bool(default == wanted)


def test_every_rule_has_a_sample() -> None:
    sampled = {s.op for s in _samples()}
    missing = {rule.op for rule in RULES} - sampled - set(NO_SAMPLE) - _drawn()
    assert not missing, sorted(missing)
    assert not set(NO_SAMPLE) & sampled
    assert set(NO_SAMPLE) <= {rule.op for rule in RULES}


def test_every_limit_is_reached() -> None:
    limits = {(rule.op, limit.when) for rule in RULES for limit in rule.limits}
    reached = {(s.op, s.when) for s in _limit_samples()}
    assert not limits - reached, sorted(limits - reached)


def test_no_sample_is_within_an_unsupported_limit() -> None:
    inside = []
    for s in _samples():
        rule = TABLE.get(s.op)
        specs = spec_of(arguments_of(s.op, s.args, s.kwargs))
        if rule is not None:
            inside += [str(s) for limit in rule.limits if limit.effect == "unsupported" and limit.applies(specs)]
    assert not inside


def test_functions_have_names_of_their_own() -> None:
    """Emitted helpers stand side by side in one file, so a name has one meaning in all families."""
    seen: dict[str, str] = {}
    for family in FAMILIES:
        source = inspect.getsource(family)
        for node in ast.parse(source).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            text = ast.get_source_segment(source, node) or ""
            assert node.name not in dir(builtins), f"{node.name} hides a builtin"
            assert seen.setdefault(node.name, text) == text, f"{node.name} stands in two files with two meanings"


def test_rules_name_only_what_can_travel() -> None:
    """A rule's text may name array libraries, builtins, its own file's functions and constants."""
    allowed = {"jax", "jnp", "lax", "np", "math", "nnx"}
    for rule in RULES:
        names = set(inspect.unwrap(rule.fn).__code__.co_names) & set(rule.fn.__globals__)
        for name in names - allowed:
            value = rule.fn.__globals__[name]
            own = getattr(value, "__module__", None) == rule.fn.__module__
            assert own or isinstance(value, int | float | str | tuple | dict | frozenset), f"{rule.op} names {name}"

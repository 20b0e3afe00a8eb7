"""Two models of this process as the sides of a check; each framework is loaded where a side needs it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from regauge.case import Case
from regauge.errors import BadCase
from regauge.run.frameworks import framework_of
from regauge.run.launch import Framework
from regauge.run.protocol import flatten_tree, unflatten_tree
from regauge.verify.evaluations import Side
from regauge.verify.reproduction import Sources
from regauge.verify.subjects import ROLES, Role, role_of

_MODULES: dict[Framework, str] = {"torch": "regauge.run.torch_live:LiveTorch", "jax": "regauge.run.jax_live:LiveJax"}


class Live(Protocol):
    """One model of this process."""

    def describe(self, out: Path) -> dict[str, Any]:
        """What a side is, as `run/describing.py` writes it."""

    def evaluate(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The tasks of a job."""


@dataclass(frozen=True)
class LiveSides:
    """Two models of this process."""

    label: str
    names: tuple[str, str]
    frameworks: Mapping[Role, Framework]
    models: Mapping[Role, Live]
    jobs: Mapping[Role, Mapping[str, Any]]
    cases: tuple[Case, Case]
    symbols: list[dict[str, Any]] | None = None
    separate: bool = False

    @property
    def sources(self) -> Sources:
        """The models themselves: nothing else names them."""
        return Sources(models=self.cases)

    def describe(self, role: Role, out: Path, timeout: float | None) -> dict[str, Any]:
        return self.models[role].describe(out)

    def execute(self, side: Side, job: Mapping[str, Any], out: Path, timeout: float | None) -> dict[str, Any]:
        return self.models[role_of(side)].evaluate({**job, "out": str(out)})


def sides_of_models(
    original: Any,
    converted: Any,
    args: tuple[Any, ...] | None,
    kwargs: Mapping[str, Any] | None,
    converted_args: tuple[Any, ...] | None,
    frameworks: tuple[str, str] | None,
) -> LiveSides:
    """Two models, or cases with loss and optimizer, as sides.

    Args:
        original: a model as `Case` takes it, or a Case.
        converted: the same.
        args: positional arguments of both, arrays of any framework; None if both are cases.
        kwargs: keyword arguments of both.
        converted_args: positional arguments of the converted side, where its layout is another one.
        frameworks: ``("torch", "jax")`` where functions do not tell.

    Raises:
        BadCase: it cannot be told which framework a function belongs to, or the arguments are missing.
    """
    models: dict[Role, Live] = {}
    found: dict[Role, Framework] = {}
    names: list[str] = []
    cases: list[Case] = []
    for index, (role, model) in enumerate(zip(ROLES, (original, converted), strict=True)):
        inner = model.model if isinstance(model, Case) else model
        framework = frameworks[index] if frameworks else framework_of(inner)
        if framework not in _MODULES:
            raise BadCase(
                f"it cannot be told whether the {role} model is PyTorch's or JAX's",
                received=getattr(inner, "__name__", type(inner).__name__),
                next='say it: frameworks=("torch", "jax")',
            )
        chosen: Framework = "torch" if framework == "torch" else "jax"
        module, _, name = _MODULES[chosen].partition(":")
        loaded = importlib.import_module(module)
        given = converted_args if role == "converted" and converted_args is not None else args
        case = model if isinstance(model, Case) else Case(inner, _inputs(given, kwargs, loaded))
        models[role], found[role] = getattr(loaded, name)(case), chosen
        names.append(case.name or role)
        cases.append(case)
    jobs: dict[Role, dict[str, Any]] = {role: {"case": name} for role, name in zip(ROLES, names, strict=True)}
    if found["original"] == "jax" and _is_converted(cases[1].model):
        jobs["original"]["own_draws"] = True  # of which its conversion draws the same numbers
    return LiveSides(" ".join(names), (names[0], names[1]), found, models, jobs, (cases[0], cases[1]))


def _is_converted(model: Any) -> bool:
    """Whether a model is what `regauge.to_torch` gave."""
    if framework_of(model) != "torch":
        return False
    from regauge.run.torch_model import Converted

    return isinstance(model, Converted)


def _inputs(args: tuple[Any, ...] | None, kwargs: Mapping[str, Any] | None, module: Any) -> Any:
    if args is None and not kwargs:
        raise BadCase("the arguments of the models are missing", next="regauge.check(original, converted, (x,))")
    if not isinstance(args, tuple | None):
        raise BadCase("args must be a tuple of positional arguments", received=type(args).__name__, next="(x,)")
    if args and kwargs:
        raise BadCase(
            "give all arguments by position or all by name",
            received=f"{len(args)} by position, {', '.join(kwargs)} by name",
        )
    tree = dict(kwargs) if kwargs else args
    skeleton, leaves = flatten_tree(tree, _is_array)
    return module.arrays_of(unflatten_tree(skeleton, {name: _numpy(leaf) for name, leaf in leaves.items()}))


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "__array__") and not isinstance(leaf, bool | int | float | str)


def _numpy(leaf: Any) -> np.ndarray:
    """An array of either framework; a key of `jax.random.key` as its words, which `jax.random` takes too."""
    if str(getattr(leaf, "dtype", "")).startswith("key<"):
        leaf = importlib.import_module("jax").random.key_data(leaf)
    return leaf.detach().cpu().numpy().copy() if hasattr(leaf, "detach") else np.array(leaf)

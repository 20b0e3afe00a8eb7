"""Modules of Equinox that a function holds: `jax.vmap(module)`, `eqx.filter_vmap(module)`, `lambda x: module(x)`.

What such a function computes with other arrays is what it computes while its modules have other fields. A jitted
function among those that it calls would answer with the trace of an earlier call: what it wraps takes its place.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CellType, CodeType, FunctionType
from typing import Any

import jax

from regauge.run.jax_equinox import has_equinox, is_equinox
from regauge.run.jax_trees import KEY_ARGUMENTS, MODE_ARGUMENTS, signature_of

_LIBRARIES = ("jax", "equinox", "flax", "optax", "numpy")
_VMAP = "vmap_f"  # what `jax.vmap` calls the function that it returns

Put = Callable[[Any], None]


class Wrapped:
    """A function that calls modules of Equinox which it holds.

    Attributes:
        function: without `jax.jit` and `eqx.filter_jit` around it.
        modules: by the names of the variables that hold them; a single one has none.
        name: of the module that is transformed, or of the function.
        signature: of what is called, without arguments that no `jax.vmap` takes.
        keeps_mode: whether the modules are in inference by the person's own choice, inside code of the person's.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = _without_jit(function)
        self._found = _Found()
        self._found.visit(self.function, "", None)
        self._depth, core = _core(self.function)
        held = list(self._found.modules.items())
        self.modules = {"": held[0][1]} if len(held) == 1 else dict(held)
        if is_equinox(core) and "func" in vars(core):  # an eqx.Partial, of which Python knows no signature
            core = functools.partial(core.func, *core.args, **core.keywords)
        of_module = is_equinox(core) or (isinstance(core, functools.partial) and is_equinox(core.func))
        named = next(iter(self.modules.values()), core) if of_module else core
        self.name = type(named).__name__ if of_module else getattr(core, "__name__", type(core).__name__)
        self.keeps_mode = not of_module and _in_inference(self.tree)
        signature = signature_of(core)
        taken = [p for n, p in signature.parameters.items() if not (self._depth and n in MODE_ARGUMENTS)]
        self.signature = signature.replace(parameters=taken)

    @property
    def tree(self) -> Any:
        """The module, or the modules by name."""
        return self.modules.get("", self.modules)

    def call(self, given: Any, *args: Any, **kwargs: Any) -> Any:
        """The function with the arrays of other modules: `given` is as `tree`.

        A key among the keyword arguments becomes one for each example of each `vmap`.
        """
        others = {"": given} if "" in self.modules else given
        keys = {name: kwargs.pop(name) for name in KEY_ARGUMENTS if _is_one_key(kwargs.get(name)) and self._depth}
        sizes = _leading((args, kwargs), self._depth)
        keys = {name: jax.random.split(key, sizes) if sizes else key for name, key in keys.items()}
        with self._found.as_they_are_given(others, self.modules):
            function = _taking_keys(self.function) if _is_filter_vmap(self.function) else self.function
            return function(*args, **kwargs, **keys)


def wrapped(function: Any) -> Wrapped | None:
    """The function with the modules that it holds; None for a module itself, and where there are none."""
    inner = _without_jit(function)
    if (is_equinox(inner) and not _is_around(inner)) or not callable(inner):
        return None
    found = Wrapped(function)
    return found if found.modules else None


def completes(function: Any) -> bool:
    """Whether a function holds what `eqx.partition` leaves of modules, to put them together with `eqx.combine`."""
    function = _without_jit(function)
    held = [value for _, value, _ in _variables(function, "")] if isinstance(function, FunctionType) else []
    return any(has_equinox(value) and not any(map(_is_inexact, jax.tree.leaves(value))) for value in held)


def is_jitted(function: Any) -> bool:
    """Whether a function is what `jax.jit` or `eqx.filter_jit` returns."""
    return hasattr(function, "__wrapped__") and hasattr(function, "lower")


def _without_jit(function: Any) -> Any:
    while is_jitted(function):
        function = function.__wrapped__
    return function


def _is_around(module: Any) -> bool:
    """Whether a module of Equinox's own stands around a callable: `eqx.filter_vmap(f)`, `eqx.Partial(f)`, `m.f`."""
    equinox = sys.modules["equinox"]
    own = type(module).__module__.partition(".")[0] == "equinox" and hasattr(module, "__wrapped__")
    return own or isinstance(module, equinox.Partial)


# what a function holds --------------------------------------------------------------------------------------------


class _Found:
    """The modules that a function reaches, by name, and the functions on the way that others must stand for."""

    def __init__(self) -> None:
        self.modules: dict[str, Any] = {}
        self._others: list[tuple[Put, Any, Any]] = []  # places, what stands there, and what is called instead
        self._leads: dict[int, bool] = {}  # by identity
        self._alive: list[Any] = []  # what has been visited keeps its identity

    def visit(self, value: Any, name: str, put: Put | None) -> bool:
        """Follow a value, which `put` replaces where it stands; whether it leads to a module."""
        if is_jitted(value):
            first, inner = len(self._others), _without_jit(value)
            leads = self.visit(inner, name, put)
            if leads and put is not None:
                self._others.insert(first, (put, value, inner))
            return leads
        if id(value) not in self._leads:
            self._alive.append(value)
            self._leads[id(value)] = False  # a function may reach itself
            found = [self.visit(inner, part, place) for part, inner, place in self._parts(value, name)]
            self._leads[id(value)] = any(found) or any(value is module for module in self.modules.values())
        if self._leads[id(value)] and put is not None and _is_filter_vmap(value):
            self._others.append((put, value, _taking_keys(value)))
        return self._leads[id(value)]

    def _parts(self, value: Any, name: str) -> Iterator[tuple[str, Any, Put | None]]:
        if is_equinox(value):
            if _is_around(value):
                fields = vars(value)
                for field in [field for field in fields if field in ("_fun", "func", "__self__", "args", "keywords")]:
                    yield name, fields[field], functools.partial(fields.__setitem__, field)
            elif any(map(_is_inexact, jax.tree.leaves(value))):  # `eqx.partition` leaves one without
                self.modules[_free(name or type(value).__name__, self.modules)] = value
        elif isinstance(value, functools.partial):
            yield name, value.func, functools.partial(_put_function, value)
            yield name, (value.args, value.keywords), None
        elif isinstance(value, FunctionType):
            yield from _variables(value, name)
        elif isinstance(value, list | tuple):
            yield from ((f"{name}_{n}" if name else name, item, None) for n, item in enumerate(value))
        elif isinstance(value, dict):
            yield from ((str(key), item, None) for key, item in value.items())
        elif inspect.ismethod(value):
            yield name, value.__self__, None
            yield name, value.__func__, None

    @contextmanager
    def as_they_are_given(self, others: Mapping[str, Any], modules: Mapping[str, Any]) -> Iterator[None]:
        """Within the block the modules have the fields of others, and nothing on the way to them is jitted."""
        own = [(vars(module), dict(vars(module)), others[name]) for name, module in modules.items()]
        for put, _, other in self._others:
            put(other)
        for fields, _, given in own:  # a frozen dataclass keeps its fields here
            fields.update(vars(given))
        try:
            yield
        finally:
            for fields, before, _ in own:
                fields.clear()
                fields.update(before)
            for put, replaced, _ in reversed(self._others):
                put(replaced)


def _variables(function: FunctionType, name: str) -> Iterator[tuple[str, Any, Put | None]]:
    """The variables around a function; those of a library's file are the library's own."""
    own = (function.__module__ or "").partition(".")[0] not in _LIBRARIES
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # assigned after the function was made
            continue
        yield (variable if own else name), value, functools.partial(_fill, cell)
    if own:
        space = function.__globals__
        for variable in dict.fromkeys(_names(function.__code__)):
            if variable in space:
                yield variable, space[variable], functools.partial(space.__setitem__, variable)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _fill(cell: CellType, value: Any) -> None:
    cell.cell_contents = value


def _put_function(partial: functools.partial[Any], function: Any) -> None:
    partial.__setstate__((function, partial.args, partial.keywords, partial.__dict__))  # type: ignore[attr-defined]


def _is_inexact(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, found = 1, name
    while found in taken:
        number, found = number + 1, f"{name}_{number}"
    return found


def _in_inference(tree: Any) -> bool:
    """Whether every layer that knows inference is in it, and there is one."""
    flags: list[bool] = []

    def look(node: Any) -> bool:
        if is_equinox(node) and isinstance(flag := getattr(node, "inference", None), bool):
            flags.append(flag)
        return False

    jax.tree.leaves(tree, is_leaf=look)
    return bool(flags) and all(flags)


# how it is called -------------------------------------------------------------------------------------------------


def _core(function: Any) -> tuple[int, Any]:
    """How often a function is mapped over examples, and what is mapped."""
    depth = 0
    while True:
        function = _without_jit(function)
        is_wrapper = is_equinox(function) and _is_around(function) and "_fun" in vars(function)
        is_function = isinstance(function, FunctionType) and hasattr(function, "__wrapped__")
        if not is_wrapper and not is_function:
            return depth, function
        depth += _is_filter_vmap(function) or (is_function and _is_vmap(function))
        function = function.__wrapped__


def _is_filter_vmap(function: Any) -> bool:
    return is_equinox(function) and "_in_axes" in vars(function)


def _is_vmap(function: FunctionType) -> bool:
    inner = [cell.cell_contents for cell in function.__closure__ or ()]
    return any(isinstance(i, FunctionType) and i.__code__.co_name == _VMAP for i in inner)


def _taking_keys(function: Any) -> Callable[..., Any]:
    """What `eqx.filter_vmap` returned, as a function that maps keys too: that takes no keyword arguments."""

    def call(*args: Any, **keys: Any) -> Any:
        if not keys or not set(keys) <= set(KEY_ARGUMENTS):
            return function(*args, **keys)
        default = sys.modules["equinox"].if_array(0)
        options = {"out_axes": function._out_axes, "axis_name": function._axis_name, "axis_size": function._axis_size}
        axes = (*_axes(function, len(args), default), default)
        mapped = sys.modules["equinox"].filter_vmap(_keys_last(function._fun), in_axes=axes, **options)
        return mapped(*args, keys)

    return call


def _keys_last(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given: function(*given[:-1], **given[-1])


def _axes(function: Any, count: int, default: Any) -> tuple[Any, ...]:
    """The mapped axes of each of some arguments."""
    axes = function._in_axes
    if isinstance(axes, dict):
        names = list(signature_of(function._fun).parameters)[:count]
        return tuple(axes.get(name, default) for name in names)
    return axes if isinstance(axes, tuple) else (axes,) * count


def _leading(tree: Any, depth: int) -> tuple[Any, ...]:
    """The first sizes of the first array that has so many and one example behind them; () for none."""
    shapes = [tuple(getattr(leaf, "shape", ())) for leaf in jax.tree.leaves(tree)]
    return next((shape[:depth] for shape in shapes if depth and len(shape) >= depth), ())


def _is_one_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim == 0

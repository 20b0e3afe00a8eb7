"""One uniform view of a person's JAX model, whichever library it was written with.

    program = program_of(model)
    outputs, new_state = program.call(program.params, program.state, inputs, "train", key)

Parameters and state are flat dicts; names are key paths joined by dots. Accepted: an nnx.Module, a bound Linen module
or ``(module, variables)``, an equinox.Module, a keras.Model on its JAX backend, Haiku's ``(transformed, params)`` and
``(transformed, params, state)``, ``(function, params)`` and ``(function, params, state)``, and a plain function without
weights.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from regauge.errors import BadCase
from regauge.run.jax_equinox import has_equinox, in_mode, is_equinox, is_equinox_class
from regauge.run.jax_haiku import haiku_function, is_haiku
from regauge.run.jax_linen_streams import Streams, applied, decided_modes, mutable_collections
from regauge.run.jax_modules import first_outputs, linen_outputs
from regauge.run.jax_nnx_parts import array_of, attributes, dotted, set_mode, with_array
from regauge.run.jax_trees import Leaves, Mode, Switches, TreeNames, apply, is_array, signature_of
from regauge.run.jax_wrapped import completes, is_jitted, wrapped
from regauge.run.keras_backend import backend_of

_ACCEPTED = (
    "an nnx.Module, (Linen module, variables), an equinox.Module, a keras.Model, (Haiku transform, params), "
    "(function, params)"
)

# a call, attributes by their owner, functions and classes
Effects = tuple[Callable[[], Any], Callable[[], Mapping[str, Mapping[str, Any]]], list[Any]]


class JaxProgram(ABC):
    """A model as a function of its parameters and state.

    Attributes:
        params: arrays that train, by name.
        state: every other array, by name: statistics, buffers, random streams.
        random: names in `state` that belong to random streams, which no two frameworks share.
        frozen: names in `state` that are weights which the person does not train.
        knows_mode: whether training and evaluation can differ.
        runs_compiled: whether its library compiles it whole where a person calls it on data.
        name: what to call the model.
        positions: names of the parameters that take the inputs, in order.
        tree: the pytree that a person gives an optimizer, of arrays as `params`.
        rewritten: the parameters to which the last call gave other values.
    """

    params: Leaves
    state: Leaves
    random: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()
    knows_mode: bool = False
    runs_compiled: bool = False
    name: str = ""
    positions: tuple[str, ...] = ()
    tree: Callable[[Mapping[str, Any]], Any] = dict
    rewritten: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def call(self, params: Mapping[str, Any], state: Mapping[str, Any], inputs: Any, mode: Mode, key: Any) -> Any:
        """``(outputs, new_state)``; pure, so it works under jit and grad.

        Args:
            params: as `self.params`.
            state: as `self.state`.
            inputs: tuple of positional or dict of keyword arguments.
            mode: training or evaluation; a model that knows no mode ignores it.
            key: of jax.random, for models that take one.
        """

    def modules(self, params: Leaves, state: Leaves, inputs: Any, mode: Mode, key: Any) -> Leaves:
        """The first array that each module returns, by path, where the library lets modules be observed."""
        return {}

    def effects(self, params: Leaves, state: Leaves, inputs: Any, mode: Mode) -> Effects:
        """A call without arguments, and where its side effects would show: attributes, functions and classes."""
        return lambda: self.call(params, state, inputs, mode, jax.random.key(0))[0], dict, self.sources

    @property
    def sources(self) -> list[Any]:
        """The person's functions and classes that the model consists of, as far as they are known."""
        return []


def program_of(model: Any) -> JaxProgram:
    """The program of a model.

    Raises:
        BadCase: what was given is none of the accepted forms; the text says which part is missing.
    """
    if backend_of(model):
        from regauge.run.jax_keras_model import KerasProgram  # which is a program itself

        return KerasProgram(model)
    if isinstance(model, nnx.Module):
        return NnxProgram(model)
    if isinstance(model, linen.Module):
        if model.scope is None:
            raise BadCase(
                "a Linen module has no weights of its own",
                received=type(model).__name__,
                next="give model=(module, variables), with the variables of module.init",
            )
        return LinenProgram(*model.unbind())
    if is_haiku(model):
        raise BadCase(
            "a Haiku transform has no weights of its own",
            received=type(model).__name__,
            next="give model=(transformed, params) or (transformed, params, state)",
        )
    if isinstance(model, tuple) and 2 <= len(model) <= 3:
        head, *rest = model
        if isinstance(head, linen.Module) and len(rest) == 1:
            return LinenProgram(head, rest[0])
        if is_haiku(head):
            return HaikuProgram(head, *rest)
        if callable(head):
            return FunctionProgram(head, *rest)
    if is_jitted(model) and is_equinox(model.__wrapped__):
        return program_of(model.__wrapped__)
    if callable(model) and (found := wrapped(model)) is not None:
        return FunctionProgram(
            found.call, found.tree, name=found.name, signature=found.signature, keeps_mode=found.keeps_mode,
            source=found.function,
        )  # fmt: skip
    if is_equinox(model):
        return FunctionProgram(_call_module, model, name=type(model).__name__, signature=inspect.signature(model))
    if callable(model):
        return FunctionProgram(model)
    raise BadCase("the case's model is no JAX model", received=type(model).__name__, next=f"give {_ACCEPTED}")


def _call_module(module: Any, *args: Any, **kwargs: Any) -> Any:
    return module(*args, **kwargs)


class FunctionProgram(JaxProgram):
    """A function of its parameters, of its parameters and state, or of its inputs alone.

    With state it returns ``(outputs, new_state)``. Equinox modules among the parameters are put into the mode.

    Attributes:
        met: is told the modules of each call, where someone asks for their paths.
    """

    met: Callable[[Any], None] | None = None

    def __init__(
        self,
        function: Callable[..., Any],
        *trees: Any,
        name: str = "",
        signature: inspect.Signature | None = None,
        keeps_mode: bool = False,
        source: Any = None,
    ) -> None:
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self._function = function
        self._source = source or function
        self._given = trees
        self.trees = [TreeNames(tree) for tree in trees]
        found = self.trees[0].arrays if trees else {}
        self.params = {n: array for n, array in found.items() if jnp.issubdtype(array.dtype, jnp.inexact)}
        self._constants = {n: array for n, array in found.items() if n not in self.params}
        self.tree = self.trees[0].trained if trees else dict
        own = self.trees[1].arrays if len(trees) == 2 else {}
        self._prefix = "state." if set(own) & set(found) else ""
        self.state = {**self._constants, **{f"{self._prefix}{n}": array for n, array in own.items()}}
        self._skip = 0 if signature else len(trees)
        self._switches = Switches(signature or signature_of(function))
        self.positions = tuple(self._switches.positions[self._skip :])
        equinox = any(has_equinox(tree) for tree in trees) and not keeps_mode
        self.knows_mode = bool(self._switches.modes) or equinox
        self._has_flags = equinox
        self._in_parts = equinox and completes(function)  # both parts have to stay alike

    def call(self, params: Mapping[str, Any], state: Mapping[str, Any], inputs: Any, mode: Mode, key: Any) -> Any:
        first = []
        if self.trees:
            constants = {name: state[name] for name in self._constants}
            first = [self._in_mode(self.trees[0].tree({**params, **constants}), mode)]
        if len(self.trees) == 2:
            arrays = {name.removeprefix(self._prefix): array for name, array in state.items()}
            first.append(self.trees[1].tree(arrays))
        if self.met is not None and first and not self._in_parts:
            self.met(first[0])
        switches = self._switches.chosen(inputs, mode, key, self._skip)
        found = apply(self._function, tuple(first), inputs, switches)
        if len(self.trees) < 2:
            return found, dict(state)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError("a function with state must return (outputs, new_state)")
        updated = {f"{self._prefix}{name}": array for name, array in TreeNames(found[1]).arrays.items()}
        return found[0], {**state, **updated}

    @property
    def sources(self) -> list[Any]:
        found = [type(leaf) for tree in self._given for leaf in jax.tree.leaves(tree, is_leaf=is_equinox)]
        return [self._source, *(cls for cls in found if is_equinox_class(cls))]

    def _in_mode(self, tree: Any, mode: Mode) -> Any:
        return in_mode(tree, mode == "eval") if self._has_flags else tree


class LinenProgram(JaxProgram):
    """A Linen module with its variables: ``params`` trains, every other collection is state."""

    def __init__(self, module: linen.Module, variables: Any) -> None:
        self.name = type(module).__name__
        self.module = module
        found = linen.meta.unbox(dict(variables))
        bare = [name for name, tree in found.items() if is_array(tree)]
        if bare:
            raise BadCase(
                f"the variables of {self.name} name no collection",
                received=", ".join(map(str, found)),
                next="give what module.init returns, {'params': ..., 'batch_stats': ...}; not its 'params' alone",
            )
        self._collections = {name: TreeNames(tree) for name, tree in found.items()}
        self.params = {}
        if "params" in found:
            self.params, self.tree = self._collections["params"].arrays, self._collections["params"].tree
        every = [n for c, names in self._collections.items() if c != "params" for n in names.arrays]
        clash = len(set(every)) < len(every) or set(every) & set(self.params)
        self._prefix = {name: f"{name}." if clash else "" for name in found}
        self.state = {
            f"{self._prefix[collection]}{name}": array
            for collection, names in self._collections.items()
            if collection != "params"
            for name, array in names.arrays.items()
        }
        self._switches = Switches(signature_of(module), decided_modes(module))
        self.positions = tuple(self._switches.positions)
        self.knows_mode = bool(self._switches.modes)

    def call(self, params: Mapping[str, Any], state: Mapping[str, Any], inputs: Any, mode: Mode, key: Any) -> Any:
        variables = self._variables(params, state)
        mutable = mutable_collections(variables, mode)
        switches = self._switches.chosen(inputs, mode, key)

        def run(rngs: Streams) -> Any:
            call = partial(self.module.apply, rngs=rngs, mutable=mutable or False)
            return apply(call, (variables,), inputs, switches)

        found = applied(run, mode, key, lambda: setattr(self, "knows_mode", True))
        if not mutable:
            return found, dict(state)
        updated = {
            f"{self._prefix[collection]}{name}": array
            for collection, tree in linen.meta.unbox(dict(found[1])).items()
            if collection in self._collections
            for name, array in TreeNames(tree).arrays.items()
        }
        return found[0], {**state, **updated}

    @property
    def sources(self) -> list[Any]:
        return [type(self.module)]

    def _variables(self, params: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
        variables = {}
        for collection, names in self._collections.items():
            prefix = self._prefix[collection]
            source = params if collection == "params" else {n.removeprefix(prefix): a for n, a in state.items()}
            variables[collection] = names.tree(source)
        return variables

    def modules(self, params: Leaves, state: Leaves, inputs: Any, mode: Mode, key: Any) -> Leaves:
        return linen_outputs(lambda: self.call(params, state, inputs, mode, key))


class HaikuProgram(JaxProgram):
    """A Haiku transform with its parameters, and its state if it has one."""

    def __init__(self, transformed: Any, params: Any, state: Any = None) -> None:
        self._apply = transformed.apply
        self._params = TreeNames(dict(params))
        self._state = None if state is None else TreeNames(dict(state))
        self.params, self.tree = self._params.arrays, self._params.tree
        own = {} if self._state is None else self._state.arrays
        self._prefix = "state." if set(own) & set(self.params) else ""
        self.state = {f"{self._prefix}{name}": array for name, array in own.items()}
        wrapped = inspect.unwrap(transformed.apply)
        self._own = haiku_function(wrapped)
        name = getattr(self._own, "__name__", "")
        self.name = name if name.isidentifier() else "HaikuModel"  # a lambda has no name to call a class by
        self._takes_key = "rng" in signature_of(wrapped).parameters
        self._switches = Switches(inspect.signature(self._own) if self._own else inspect.Signature())
        self.positions = tuple(self._switches.positions)
        self.knows_mode = bool(self._switches.modes)

    def call(self, params: Mapping[str, Any], state: Mapping[str, Any], inputs: Any, mode: Mode, key: Any) -> Any:
        first = [self._params.tree(params)]
        if self._state is not None:
            first.append(self._state.tree({n.removeprefix(self._prefix): a for n, a in state.items()}))
        if self._takes_key:
            first.append(key)
        switches = self._switches.chosen(inputs, mode, None)
        found = apply(self._apply, tuple(first), inputs, {n: v for n, v in switches.items() if v is not None})
        if self._state is None:
            return found, dict(state)
        updated = {f"{self._prefix}{name}": array for name, array in TreeNames(dict(found[1])).arrays.items()}
        return found[0], {**state, **updated}

    @property
    def sources(self) -> list[Any]:
        return [self._own]


class NnxProgram(JaxProgram):
    """An nnx.Module: nnx.Param trains, every other variable is state."""

    def __init__(self, module: nnx.Module, trains: Any = nnx.Param) -> None:
        self.name = type(module).__name__
        self.module = module
        self.trains = trains
        self.sown: set[str] = set()  # what calls put aside with nnx.Module.sow
        # made now: inside a trace the module must not be changed
        self._graphdefs: dict[Mode, Any] = {"train": self.split("train")[0], "eval": self.split("eval")[0]}
        self._templates: tuple[Any, Any] = self.split("eval")[1:]
        self.params, self.state = (self.flat(part) for part in self._templates)
        self.tree = partial(self.nested, trainable=True)
        flat = nnx.to_flat_state(self._templates[1])
        self.random = frozenset(dotted(path) for path, variable in flat if isinstance(variable, nnx.RngState))
        self._switches = Switches(signature_of(type(module).__call__))
        self.positions = tuple(self._switches.positions[1:])
        self.knows_mode = True

    def split(self, mode: Mode) -> tuple[Any, Any, Any]:
        """The module in a mode as nnx has it: (graphdef, params, state)."""
        set_mode(self.module, mode)
        split: Any = nnx.split
        graphdef, params, state = split(self.module, self.trains, ...)
        return graphdef, params, state

    @staticmethod
    def flat(state: Any) -> Leaves:
        """The arrays of an nnx.State, of variables or of bare arrays, by dotted name."""
        return {dotted(path): array_of(leaf) for path, leaf in nnx.to_flat_state(state)}

    def nested(self, arrays: Mapping[str, Any], trainable: bool) -> Any:
        """The nnx.State of parameters, or of the rest, with these arrays."""
        template = self._templates[0 if trainable else 1]
        flat = [(path, with_array(leaf, arrays[dotted(path)])) for path, leaf in nnx.to_flat_state(template)]
        return nnx.from_flat_state(flat)

    def graphdef(self, mode: Mode) -> Any:
        return self._graphdefs[mode]

    def call(self, params: Mapping[str, Any], state: Mapping[str, Any], inputs: Any, mode: Mode, key: Any) -> Any:
        nested = self.nested(params, True), self.nested(state, False)
        model = nnx.merge(self.graphdef(mode), *nested, copy=True)
        switches = self._switches.chosen(inputs, mode, key, skip=1)
        outputs = apply(model, (), inputs, switches)  # type: ignore[arg-type]
        found = nnx.to_flat_state(nnx.state(model, nnx.Intermediate))
        self.sown |= {dotted(path) for path, _ in found}
        after = self.flat(nnx.state(model, self.trains))
        self.rewritten = {name: array for name, array in after.items() if array is not params.get(name)}
        return outputs, self.flat(nnx.state(model, nnx.Not(nnx.Any(self.trains, nnx.Intermediate))))

    def effects(self, params: Leaves, state: Leaves, inputs: Any, mode: Mode) -> Effects:
        """What a call leaves in the attributes of the module is there at the next call, as it is for its person.

        Evaluations each have a copy of their own. A copy is made within the trace, where its variables may change.
        """
        nested = self.nested(params, True), self.nested(state, False)
        left: dict[str, Any] = {"graphdef": self.graphdef(mode), "attributes": {}}

        def call() -> Any:
            model: Any = nnx.merge(left["graphdef"], *nested, copy=True)
            outputs = apply(model, (), inputs, self._switches.chosen(inputs, mode, jax.random.key(0), skip=1))
            nnx.pop(model, nnx.Intermediate)  # what is sown is no part of the module's next call
            left["attributes"] = attributes(model)
            left["graphdef"] = nnx.split(model, self.trains, ...)[0]
            return outputs

        return call, lambda: left["attributes"], self.sources

    @property
    def sources(self) -> list[Any]:
        return list(dict.fromkeys([type(self.module), *(type(m) for _, m in nnx.iter_modules(self.module))]))

    def modules(self, params: Leaves, state: Leaves, inputs: Any, mode: Mode, key: Any) -> Leaves:
        nested = self.nested(params, True), self.nested(state, False)
        model = nnx.merge(self.graphdef(mode), *nested, copy=True)
        switches = self._switches.chosen(inputs, mode, key, skip=1)
        return first_outputs(model, lambda: apply(model, (), inputs, switches))  # type: ignore[arg-type]

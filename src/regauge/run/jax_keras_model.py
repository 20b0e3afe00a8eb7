"""A Keras model on its JAX backend as a program: its variables by the paths of the layers that own them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from regauge.errors import BadCase
from regauge.run.jax_program import JaxProgram
from regauge.run.jax_trees import Leaves, Mode, Switches, apply
from regauge.run.keras_backend import refuse_backend

# around a call: the layer's path, the layer, and the call without its arguments
Around = Callable[[str, Any, Callable[[], Any]], Any]

_AUTOMATIC = re.compile(r"(functional|sequential|model)(_\d+)?")  # names that Keras gives
_MASK = "_keras_mask"  # what a layer puts on its result
_ACTIVATED = re.compile(r"Dense|EinsumDense|(Depthwise|Separable)?Conv[123]D(Transpose)?")
# Variables of one layer that are those of two layers of torch: their names have both.
_PARTS = {"depthwise_kernel": "depthwise.kernel", "pointwise_kernel": "pointwise.kernel", "bias": "pointwise.bias"}


class KerasProgram(JaxProgram):
    """A Keras model: its trainable variables train, all others are state, the seeds of its generators among them.

    Attributes:
        layers: the layers below the model by path; a layer that stands in several places has the first one's path.
    """

    runs_compiled = True  # by `predict`; operator by operator, each size of each is compiled on its own

    def __init__(self, model: Any) -> None:
        refuse_backend(model)
        if not model.built:
            raise BadCase(
                f"the Keras model {model.name} has no variables yet",
                code="B115",
                received=type(model).__name__,
                next="call it once on its inputs, model(x), or begin a Sequential with keras.Input(shape)",
            )
        self._model = model
        self.name = model_name(model)
        self.layers = layers_of(model)
        names, self.random = _variable_names(model, self.layers)
        self._trained = [names[id(variable)] for variable in model.trainable_variables]
        self._others = [names[id(variable)] for variable in model.non_trainable_variables]
        held = {id(v) for layer in (model, *self.layers.values()) for v in layer._trainable_variables}
        others = zip(self._others, model.non_trainable_variables, strict=True)
        self.frozen = frozenset(name for name, variable in others if id(variable) in held)
        self.params = _values(self._trained, model.trainable_variables)
        self.state = _values(self._others, model.non_trainable_variables)
        self._switches = Switches(inspect.signature(model.call))
        self.positions = tuple(self._switches.positions)
        self.knows_mode = bool(self._switches.modes)

    def call(self, params: Mapping[str, Any], state: Mapping[str, Any], inputs: Any, mode: Mode, key: Any) -> Any:
        trained = [params[name] for name in self._trained]
        others = [state[name] for name in self._others]
        switches = self._switches.chosen(inputs, mode, None)
        run = partial(self._model.stateless_call, trained, others)
        outputs, updated = apply(run, (), inputs, {n: v for n, v in switches.items() if v is not None})
        return outputs, dict(zip(self._others, updated, strict=True))

    @property
    def sources(self) -> list[Any]:
        found = [type(self._model), *map(type, self.layers.values())]
        return [cls for cls in dict.fromkeys(found) if not is_own_class(cls)]

    def modules(self, params: Leaves, state: Leaves, inputs: Any, mode: Mode, key: Any) -> Leaves:
        found: Leaves = {}

        def note(path: str, layer: Any, call: Callable[[], Any]) -> Any:
            output = call()
            arrays = [leaf for leaf in jax.tree.leaves(output) if isinstance(leaf, jax.Array)]
            if arrays:
                found.setdefault(path, arrays[0])
            return output

        with layer_calls(self.layers, note):
            self.call(params, state, inputs, mode, key)
        return found


def is_own_class(cls: type) -> bool:
    """Whether a class is Keras's own."""
    return cls.__module__.partition(".")[0] == "keras"


@contextmanager
def layer_calls(layers: Mapping[str, Any], around: Around) -> Iterator[None]:
    """Within the block every call of one of these layers is what `around` makes of it.

    Args:
        layers: by path.
        around: is given the path, the layer and its call.
    """
    cls = sys.modules["keras"].Layer
    paths = {id(layer): path for path, layer in layers.items()}
    own = cls.__call__

    def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        path = paths.get(id(self))
        call = partial(own, self, *args, **kwargs)
        return call() if path is None else around(path, self, call)

    with mock.patch.object(cls, "__call__", replaced):
        yield


@contextmanager
def layer_scopes(layers: Mapping[str, Any], scope: Callable[[str, Any], Any]) -> Iterator[None]:
    """Within the block every call of a layer is a scope, but for Keras's layers without variables.

    Those read better as the functions that they are. The activation of a layer is called after its scope: torch's
    layers have none.

    Args:
        layers: by path.
        scope: makes the scope of a path and a layer.
    """

    def around(path: str, layer: Any, call: Callable[[], Any]) -> Any:
        activation = layer.activation if _activates(layer) else None
        if activation is None:
            with scope(path, layer):
                return call()
        with scope(path, layer), _set_aside(layer):
            features = call()
        outputs = activation(features)
        if hasattr(features, _MASK):
            setattr(outputs, _MASK, getattr(features, _MASK))
        return outputs

    seen = {path: layer for path, layer in layers.items() if layer.variables or not is_own_class(type(layer))}
    with layer_calls(seen, around):
        yield


def _activates(layer: Any) -> bool:
    """Whether a layer of Keras's own does nothing with its activation but call it on its result."""
    return is_own_class(type(layer)) and _ACTIVATED.fullmatch(type(layer).__name__) is not None


@contextmanager
def _set_aside(layer: Any) -> Iterator[None]:
    """Within the block a layer has no activation; its attributes are not tracked meanwhile."""
    own = vars(layer)["activation"]
    vars(layer)["activation"] = None
    try:
        yield
    finally:
        vars(layer)["activation"] = own


def model_name(model: Any) -> str:
    """What to call a model: its class, or where that is Keras's own the name that its person gave it."""
    if not is_own_class(type(model)):
        return type(model).__name__
    if _AUTOMATIC.fullmatch(model.name):
        return "Model"
    name = ""
    for word in re.split(r"[\W_]+", model.name):
        between = "_" if name[-1:].isdigit() and word[:1].isdigit() else ""
        name += between + word[:1].upper() + word[1:]
    return name if name.isidentifier() else f"Model{name}"


def layers_of(model: Any) -> dict[str, Any]:
    """The layers below a model by path, each once.

    Layers of a functional or sequential model have the names that Keras gives them; those of a class the attributes
    that hold them, ``blocks.0.norm``.
    """
    found: dict[str, Any] = {}
    seen = {id(model)}

    def visit(layer: Any, path: str) -> None:
        taken: set[str] = set()
        for name, child in _children(layer):
            if id(child) in seen:
                continue
            seen.add(id(child))
            own = _unique(name, taken)
            place = f"{path}.{own}" if path else own
            found[place] = child
            visit(child, place)

    visit(model, "")
    return found


def _children(layer: Any) -> Iterator[tuple[str, Any]]:
    keras: Any = sys.modules["keras"]
    named = isinstance(layer, keras.Sequential) or hasattr(layer, "_operations")  # a graph of layers
    attributes = {} if named else dict(_held(vars(layer).items()))
    for child in layer._layers:
        yield attributes.get(id(child)) or _identifier(child.name), child


def _held(attributes: Iterable[tuple[Any, Any]]) -> Iterator[tuple[int, str]]:
    """The layers in public attributes, lists and dicts: identity and name."""
    layer = sys.modules["keras"].Layer
    for name, value in attributes:
        if str(name).startswith("_"):
            continue
        items = (
            enumerate(value) if isinstance(value, list | tuple) else value.items() if isinstance(value, dict) else ()
        )
        if isinstance(value, layer):
            yield id(value), str(name)
        for key, item in items:
            if isinstance(item, layer):
                yield id(item), f"{name}.{_identifier(str(key), digits=True)}"


def _variable_names(model: Any, layers: Mapping[str, Any]) -> tuple[dict[int, str], frozenset[str]]:
    """Names of all variables by identity, and those of them that are seeds."""
    names: dict[int, str] = {}
    seeds: set[str] = set()
    taken: set[str] = set()
    for path, layer in (("", model), *layers.items()):
        own = [(variable, False) for variable in (*layer._trainable_variables, *layer._non_trainable_variables)]
        for variable, is_seed in (*own, *((generator.state, True) for generator in layer._seed_generators)):
            if id(variable) not in names:
                leaf = _PARTS.get(variable.name, variable.name) if _is_separable(layer) else variable.name
                name = ".".join(_identifier(part) for part in leaf.split("."))
                names[id(variable)] = _unique(f"{path}.{name}" if path else name, taken)
                seeds |= {names[id(variable)]} if is_seed else set()
    return names, frozenset(seeds)


def _is_separable(layer: Any) -> bool:
    return is_own_class(type(layer)) and type(layer).__name__ in ("SeparableConv1D", "SeparableConv2D")


def _identifier(name: str, digits: bool = False) -> str:
    """A name that Python takes; `digits` leaves a number, which is a place in a list."""
    name = re.sub(r"\W", "_", name)
    return name if name.isidentifier() or (digits and name.isdigit()) else f"layer_{name}"


def _unique(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number, found = number + 1, f"{name}_{number}"
    taken.add(found)
    return found


def _values(names: Iterable[str], variables: Iterable[Any]) -> Leaves:
    return {name: jnp.asarray(variable.value) for name, variable in zip(names, variables, strict=True)}

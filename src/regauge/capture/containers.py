"""What holds the tensors that a model takes or returns: dataclasses, caches, classes that torch's pytree knows."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from regauge.capture import dynamic as sizes_of_inputs
from regauge.findings import Finding


def register_dataclasses(*trees: Any) -> None:
    """Make the dataclasses in inputs and outputs known, as ``torch.export.register_dataclass`` does.

    They stay known for the life of the process: torch has no way back.
    """
    for tree in trees:
        for cls in _unknown(tree):
            if cls not in pytree.SUPPORTED_NODES:
                torch.export.register_dataclass(cls)


def _unknown(tree: Any) -> Iterator[type]:
    if isinstance(tree, Mapping):
        children = list(tree.values())
    elif isinstance(tree, tuple | list):
        children = list(tree)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        children = [getattr(tree, field.name) for field in dataclasses.fields(tree)]
        yield type(tree)
    else:
        return
    for child in children:
        yield from _unknown(child)


# objects with tensors in them -----------------------------------------------------------------------------------------


def plain(outputs: Any) -> Any:
    """Outputs with lists and dicts of tensors in the place of objects that hold them.

    These are caches of transformers, which become a list with a dict of tensors for each layer, and objects of classes
    that are registered with torch's pytree, of which the children are taken. Dataclasses, named tuples and mappings
    stay.
    """
    register_dataclasses(outputs)
    if not any(map(_is_object, pytree.tree_leaves(outputs, is_leaf=_is_object))):
        return outputs
    return pytree.tree_map(lambda leaf: _taken_apart(leaf) if _is_object(leaf) else leaf, outputs, is_leaf=_is_object)


@contextmanager
def plain_outputs(model: nn.Module, findings: list[Finding]) -> Iterator[None]:
    """Within the block forward returns `plain` outputs, which a trace can give back.

    Args:
        model: that is going to be traced.
        findings: gets one for each object that is taken apart.
    """

    def around(forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def plainly(*args: Any, **kwargs: Any) -> Any:
            outputs = forward(*args, **kwargs)
            findings.extend(_findings(outputs))
            return plain(outputs)

        return plainly

    with forward_replaced(model, around):
        yield


@contextmanager
def forward_replaced(model: nn.Module, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Within the block the model's forward is what `around` makes of it."""
    own = vars(model).get("forward")
    vars(model)["forward"] = around(model.forward)
    try:
        yield
    finally:
        del vars(model)["forward"]
        if own is not None:
            vars(model)["forward"] = own


@contextmanager
def named_keywords(model: nn.Module, inputs: Any) -> Iterator[None]:
    """Within the block forward names the inputs that it takes through ``**kwargs``: export has symbols for those alone.

    Args:
        model: that is going to be traced.
        inputs: tuple of positional or dict of keyword arguments.
    """
    unnamed = sizes_of_inputs.unnamed(model, inputs)

    def around(forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def named(*args: Any, **kwargs: Any) -> Any:
            return forward(*args, **kwargs)

        own = inspect.signature(forward).parameters.values()
        added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in unnamed]
        kept = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        vars(named)["__signature__"] = inspect.Signature([*kept, *added])
        return named

    with forward_replaced(model, around) if unnamed else nullcontext():
        yield


def _findings(outputs: Any) -> list[Finding]:
    register_dataclasses(outputs)
    found = []
    for path, leaf in pytree.tree_flatten_with_path(outputs, is_leaf=_is_object)[0]:
        if _is_object(leaf):
            name = ".".join(map(_key, path)) or "the output"
            kind = type(leaf).__name__
            text = (
                f"The original returns a {kind} in {name}: the converted model returns its keys and values, layer by "
                "layer. To leave them out, pass use_cache=False, or set model.config.use_cache = False."
                if _is_cache(leaf)
                else f"The original returns a {kind} in {name}: the converted model returns its parts in a list or "
                "dict."
            )
            found.append(Finding("C242", "info", name, text))
    return found


def _is_object(node: Any) -> bool:
    """Whether something holds tensors as neither tuples, lists, mappings nor dataclasses do."""
    if isinstance(node, tuple | list | Mapping | Tensor) or dataclasses.is_dataclass(node):
        return False
    return type(node) in pytree.SUPPORTED_NODES or _is_cache(node)


def _is_cache(node: Any) -> bool:
    return type(node).__module__.startswith("transformers.") and type(node).__name__.endswith("Cache")


def _taken_apart(node: Any) -> Any:
    if _is_cache(node):
        return _tensors_of(node)
    definition = pytree.SUPPORTED_NODES[type(node)]
    if definition.flatten_with_keys_fn is None:
        return plain(list(definition.flatten_fn(node)[0]))
    pairs = definition.flatten_with_keys_fn(node)[0]
    if all(isinstance(key, pytree.SequenceKey) for key, _ in pairs):
        return plain([child for _, child in pairs])
    return plain({_key(key): child for key, child in pairs})


def _key(key: Any) -> str:
    """What an element of a path is called: a key, the name of an attribute, a number."""
    found = next((getattr(key, name) for name in ("key", "name", "idx") if hasattr(key, name)), key)
    return str(found)


def _tensors_of(cache: Any) -> Any:
    """The tensors of a cache: a list of what each layer holds, or a dict of its attributes that hold tensors."""
    layers = getattr(cache, "layers", None)
    if isinstance(layers, list):
        return [_held(vars(layer)) for layer in layers]
    return _held(vars(cache))


def _held(node: Any) -> Any:
    """The tensors in an attribute of a cache; None where it has none."""
    if isinstance(node, Tensor):
        return node
    if _is_cache(node):
        return _tensors_of(node)
    if isinstance(node, tuple | list):
        found = [_held(item) for item in node]
        return found if any(item is not None for item in found) else None
    if isinstance(node, Mapping):
        pairs = {str(name): _held(item) for name, item in node.items()}
        return {name: item for name, item in pairs.items() if item is not None}
    return None

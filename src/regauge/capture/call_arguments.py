"""Which argument of a module's forward each tensor was passed for, and which of its results it is.

Noted while torch.export traces the call; the exported graph has lost it: it says which operator reads a tensor, not
under which name forward got it. A guess from the source can put a mask's name on hidden states, which is worse than no
name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn
from torch.fx.experimental import proxy_tensor
from torch.utils import _pytree as pytree

from regauge.capture.choices import scalars, settings
from regauge.ir.graph import Call, Node, Scalar, Setting, node_inputs

# Keys of a node's metadata, which later passes of torch.export keep.
_ARGUMENT, _RESULT, _SETTINGS = "regauge_argument", "regauge_result", "regauge_settings"
_ROOT = ("_export_root", "L__self__")  # what the tracer and the exported program call the outermost module


@contextmanager
def noted(at_root: Callable[[Mapping[str, Any]], None] = lambda arguments: None) -> Iterator[None]:
    """Within the block, calls of modules leave a note at the nodes of the tensors that they are passed.

    Args:
        at_root: gets the arguments of the outermost module by their names, as they are in the trace.
    """
    tracer: Any = getattr(proxy_tensor, "_ModuleStackTracer", None)
    if tracer is None:  # a torch whose tracer has another name: names are then guessed from the source
        yield
        return
    before = tracer.call_module

    def call_module(self: Any, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        def noting(*args: Any, **kwargs: Any) -> Any:
            if not self.module_stack:
                return forward(*args, **kwargs)
            call = next(reversed(self.module_stack)).replace(f"{_ROOT[0]}.", _ROOT[1]).replace(*_ROOT)
            bound = _bound(module, args, kwargs)
            if call == _ROOT[1]:
                at_root(bound)
            _note_arguments(self, call, bound)
            results = forward(*args, **kwargs)
            attributes = settings(module), scalars(module)  # which the call may have changed
            for place, tensor in enumerate(pytree.tree_leaves(results)):
                _note(self, tensor, _RESULT, (call, place))
                _note(self, tensor, _SETTINGS, (call, attributes))
            return results

        return before(self, module, noting, args, kwargs)

    tracer.call_module = call_module
    try:
        yield
    finally:
        tracer.call_module = before


def _note_arguments(tracer: Any, call: str, arguments: Mapping[str, Any]) -> None:
    for name, argument in arguments.items():
        tensors = [leaf for leaf in pytree.tree_leaves(argument) if isinstance(leaf, torch.Tensor)]
        for tensor in tensors:
            _note(tracer, tensor, _ARGUMENT, (call, name, len(tensors) == 1))


def _note(tracer: Any, tensor: Any, kind: str, note: tuple[Any, ...]) -> None:
    slot = proxy_tensor.get_proxy_slot(tensor, tracer, None) if isinstance(tensor, torch.Tensor) else None
    if slot is not None:
        slot.proxy.node.meta.setdefault(kind, []).append(note)  # type: ignore[union-attr]


def _bound(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What forward got, by the names of its parameters; arguments of ``**kwargs`` by their own names."""
    try:
        signature = inspect.signature(module.forward)
        bound = signature.bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # forward complains itself, or has no signature
        return {}
    rest = [name for name, parameter in signature.parameters.items() if parameter.kind is parameter.VAR_KEYWORD]
    return bound | {key: item for name in rest for key, item in bound.pop(name, {}).items()}


def calls(values: Mapping[fx.Node, str], nodes: Iterable[Node]) -> tuple[Call, ...]:
    """The calls of an exported graph.

    Args:
        values: the graph value that each node of torch.fx is.
        nodes: the operators of the graph, as they were captured.
    """
    read = _reads(nodes)
    arguments: dict[str, dict[str, str | None]] = {}
    results: dict[str, dict[int, str]] = {}
    held: dict[str, tuple[tuple[tuple[str, Setting], ...], tuple[tuple[str, Scalar], ...]]] = {}
    for node, value in values.items():
        for call, name, alone in node.meta.get(_ARGUMENT, ()):
            arguments.setdefault(call, {})[name] = value if alone and value in read.get(call, ()) else None
        for call, place in node.meta.get(_RESULT, ()):
            results.setdefault(call, {})[place] = value
        held |= dict(node.meta.get(_SETTINGS, ()))
    return tuple(
        Call(
            call,
            tuple(passed.items()),
            tuple(value for _, value in sorted(results.get(call, {}).items())),
            *held.get(call, ()),
        )
        for call, passed in arguments.items()
    )


def _reads(nodes: Iterable[Node]) -> dict[str, set[str]]:
    """The values that are read in each call."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        for step in node.origin.modules:
            found.setdefault(step.call, set()).update(node_inputs(node))
    return found

"""The statements of `__init__` of a torch module: sub-modules, parameters and buffers."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from regauge.emit.attributes import Path, container_text
from regauge.emit.holders import Drop, Holder
from regauge.emit.layers import Layer, Text
from regauge.emit.lines import Line
from regauge.emit.literals import literal
from regauge.ir.graph import WeightSpec
from regauge.rules.modules import torch_modules

_PARAMETER, _BUFFER = "nn.Parameter(", "nn.Buffer("
_GROUP = "Group("


def init_lines(emission: Any, holder: Holder, constructors: Mapping[str, str]) -> list[Line]:
    """The statements of `__init__`; `constructors` are the expressions that make the sub-modules, by path."""
    texts = {member.path: constructors[path] for path, member in holder.members.items()}
    for name, path in holder.weights.items():
        spec = next(w for w in emission.graph.weights if w.name == name)
        texts[path] = _variable(spec)
    groups: dict[str | int, dict[Path, str]] = {}
    for path, text in texts.items():
        groups.setdefault(path[0], {})[path[1:]] = text
    lines = [Line(f"self.{attribute} = {container_text(group)}") for attribute, group in groups.items()]
    drops = [drop for drop in dict.fromkeys(holder.dropouts.values()) if not drop.member]
    return lines + [Line(f"self.{drop.attribute} = {_dropout_text(emission, drop)}") for drop in drops]


def _dropout_text(emission: Any, drop: Drop) -> str:
    name = emission.library_class(torch_modules.SharedDropout) if drop.shared else "nn.Dropout"
    return f"{name}({drop.rate!r})"


def _variable(weight: WeightSpec) -> str:
    spec = weight.spec
    dtype = "" if spec.dtype == "float32" else f", dtype=torch.{spec.dtype}"
    shape = ", ".join(str(d) for d in spec.shape) if spec.shape else "()"
    if weight.role == "parameter":
        fixed = "" if weight.trainable else ", requires_grad=False"
        return f"{_PARAMETER}torch.empty({shape}{dtype}){fixed})"
    return f"{_BUFFER}torch.zeros({shape}{dtype}))"


def list_text(items: Sequence[str]) -> str:
    """A list of modules, or of parameters."""
    if all(item.startswith(_PARAMETER) for item in items):
        return f"nn.ParameterList([{', '.join(items)}])"
    if any(item.startswith((_PARAMETER, _BUFFER)) for item in items):
        return f"{_GROUP}**{{{', '.join(f'{str(i)!r}: {text}' for i, text in enumerate(items))}}})"
    if len(items) > 1 and len(set(items)) == 1:
        return f"nn.ModuleList([{items[0]} for _ in range({len(items)})])"
    return f"nn.ModuleList([{', '.join(items)}])"


def dict_text(items: Mapping[str, str]) -> str:
    """Modules, parameters or buffers by name."""
    texts = list(items.values())
    if any(text.startswith(_BUFFER) for text in texts):
        return f"{_GROUP}{', '.join(f'{key}={text}' for key, text in items.items())})"
    parameters = [text.startswith(_PARAMETER) for text in texts]
    entries = ", ".join(f"{key!r}: {text}" for key, text in items.items())
    if all(parameters):
        return f"nn.ParameterDict({{{entries}}})"
    if not any(parameters):
        return f"nn.ModuleDict({{{entries}}})"
    return f"{_GROUP}{', '.join(f'{key}={text}' for key, text in items.items())})"


def layer_text(emission: Any, layer: Layer) -> str:
    """The constructor call of a recognised layer."""
    constructor = layer.constructor
    if not constructor.startswith("nn."):
        constructor = emission.library_class(getattr(torch_modules, constructor))
    parts = [_value_text(v) for v in layer.arguments]
    parts += [f"{k}={_value_text(v)}" for k, v in layer.keywords.items()]
    frozen = ".requires_grad_(False)" if layer.frozen else ""
    return f"{constructor}({', '.join(parts)}){frozen}"


def _value_text(value: Any) -> str:
    return value.text if isinstance(value, Text) else ast.unparse(literal(value))

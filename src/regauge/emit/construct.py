"""The statements of `__init__`: sub-modules, weights and dropouts with every argument written."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Protocol

from regauge.emit.attributes import Path, container_text
from regauge.emit.holders import Holder
from regauge.emit.layers import Layer, Text
from regauge.emit.lines import Line
from regauge.emit.literals import literal
from regauge.ir.graph import Graph, TensorSpec, WeightSpec
from regauge.rules.modules import nnx_modules


class Emission(Protocol):
    """What construction needs of the emission under way: its graph, and the library classes that it copies."""

    @property
    def graph(self) -> Graph: ...

    @property
    def weights(self) -> Mapping[str, WeightSpec]:
        """The weights of the graph by name."""

    def library_class(self, cls: type) -> str:
        """The name under which the file gets a copy of this class."""


def init_lines(emission: Emission, holder: Holder, constructors: Mapping[str, str]) -> list[Line]:
    """The statements of `__init__`; `constructors` are the expressions that make the sub-modules, by path."""
    texts = {member.path: constructors[path] for path, member in holder.members.items()}
    for name, path in holder.weights.items():
        spec = emission.weights[name]
        texts[path] = _variable(emission, spec.spec, spec.role, spec.trainable, name)
    groups: dict[str | int, dict[Path, str]] = {}
    for path, text in texts.items():
        groups.setdefault(path[0], {})[path[1:]] = text
    lines = [Line(f"self.{attribute} = {container_text(group)}") for attribute, group in groups.items()]
    for drop in dict.fromkeys(holder.dropouts.values()):
        lines.append(Line(f"self.{drop.attribute} = nnx.Dropout({drop.rate!r}, rngs=rngs)"))
    if holder.rng:
        lines.append(Line(f"self.{holder.rng} = rngs.dropout.fork()"))
    return lines or [Line("pass")]


def layer_text(emission: Emission, layer: Layer) -> str:
    """The constructor call of a recognised layer."""
    constructor = layer.constructor
    if not constructor.startswith("nnx."):
        constructor = emission.library_class(getattr(nnx_modules, constructor))
    parts = [_value_text(v) for v in layer.arguments]
    parts += [f"{k}={_value_text(v)}" for k, v in layer.keywords.items()]
    if layer.rngs:
        parts.append("rngs=rngs")
    return f"{constructor}({', '.join(parts)})"


def _value_text(value: Any) -> str:
    return value.text if isinstance(value, Text) else ast.unparse(literal(value))


def _variable(emission: Emission, spec: TensorSpec, role: str, trainable: bool, name: str) -> str:
    dtype = {"int64": "int", "bool": "bool"}.get(spec.dtype, f"jnp.{spec.dtype}")
    shape = ", ".join(str(d) for d in spec.shape) + ("," if len(spec.shape) == 1 else "")
    zeros = f"jnp.zeros(({shape}), {dtype})"
    if role == "parameter":
        return f"nnx.Param({zeros})"
    if any(name == weight for weight, _ in emission.graph.mutations):
        return f"nnx.BatchStat({zeros})"
    return f"{emission.library_class(nnx_modules.Buffer)}({zeros})"

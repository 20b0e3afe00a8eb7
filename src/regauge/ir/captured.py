"""What capture hands to conversion: graphs, the tensors that become code, and the reference arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from regauge.findings import Finding
from regauge.ir.graph import Graph
from regauge.optax_specs import AnyOptimizer


@dataclass(frozen=True)
class CapturedModel:
    """A model, its loss and its optimizer, as graphs.

    Attributes:
        name: what reports call the case.
        graph: the model.
        constants: values of the graph's constant tensors, by name.
        graph_eval: the model in evaluation, where more than dropout and batch norm differs from `graph`.
        loss: the loss as a graph of (outputs, targets), or None.
        loss_constants: values of the tensors that the loss holds, by name.
        optimizer: its specification, or None.
        source: `file.py` of the original, for the title.
        findings: what capture noticed.
        layers: how equal layers in a row are converted (`regauge.case.LAYERS`).
    """

    name: str
    graph: Graph
    constants: Mapping[str, np.ndarray]
    graph_eval: Graph | None = None
    loss: Graph | None = None
    loss_constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    optimizer: AnyOptimizer | None = None
    source: str = ""
    findings: tuple[Finding, ...] = ()
    layers: str = "auto"


@dataclass(frozen=True)
class Reference:
    """What the original gave: the description of reference.safetensors.

    Attributes:
        case: reference of the case, or None.
        inputs, targets, outputs: skeletons (`regauge.run.protocol`) whose leaves name arrays; None: there is none.
        versions: of the original's framework.
        known: names of input arrays whose values are part of the code.
    """

    case: str | None
    inputs: Any
    targets: Any
    outputs: Any
    versions: Mapping[str, str]
    known: tuple[str, ...] = ()

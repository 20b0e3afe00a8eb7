"""A capture of a torch model on its way: what its traces change of torch, and what they find."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from regauge.capture import (
    assigned_buffers,
    attention_modules,
    call_arguments,
    containers,
    control_flow,
    data_reads,
    exchanged_parameters,
    flex_attention,
    known_inputs,
    own_gradients,
    packed,
    python_state,
    recurrent_shapes,
    size_decisions,
    training_mode,
    transformations,
    value_checks,
)
from regauge.capture.known_values import KnownValues, computed
from regauge.capture.module_casts import only_needed
from regauge.capture.number_values import Numbers
from regauge.capture.own_gradients import OwnGradients
from regauge.capture.quietness import quiet
from regauge.capture.source_lines import with_own_lines
from regauge.capture.tensor_places import by_index
from regauge.capture.untraceable import Respelled, plain_indices, sizes_in_tensors
from regauge.capture.value_branches import ValueBranches
from regauge.capture.written_inputs import Written
from regauge.findings import Finding
from regauge.run.torch_flow import fast_path


@dataclass
class Stages:
    """Wall time and findings, as they come."""

    seconds: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    reached: list[bool] = field(default_factory=list)  # what `packed.observed` finds
    gradients: OwnGradients = field(default_factory=OwnGradients)
    known: KnownValues = field(default_factory=KnownValues)
    places: tuple[known_inputs.Place, ...] = ()  # of known inputs
    varying: Collection[tuple[int, int]] = ()  # axes that are offered beside the usual ones, see `dynamic.shapes`
    branches: ValueBranches = field(default_factory=ValueBranches)
    numbers: Numbers = field(default_factory=Numbers)
    sizes: size_decisions.Sizes = field(default_factory=size_decisions.Sizes)  # in the newest trace
    decided: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)  # see `size_decisions.axes_of`
    given: Any = ()  # the inputs of the case
    written: tuple[Written, ...] = ()  # of them, those that the model writes to

    def add(self, stage: str, began: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


@contextmanager
def as_traced(model: nn.Module, inputs: Any, stages: Stages) -> Iterator[training_mode.Reads]:
    """Within the block the model and torch do what a trace can follow; gives what is read of the modes."""
    with ExitStack() as stack:
        stack.enter_context(python_state.kept(model))
        reads = stack.enter_context(training_mode.watched())
        for changed in (
            quiet(),
            fast_path(False),
            # it takes sizes for numbers, for a path that JAX finds itself
            torch.backends.opt_einsum.flags(enabled=False),
            attention_modules.written_out(),
            flex_attention.written_out(),
            with_own_lines(),
            assigned_buffers.kept(model, stages.findings),
            exchanged_parameters.refused(model),
            data_reads.as_detached(),
            value_checks.left_out(stages.findings),
            only_needed(),
            packed.replaced(stages.findings, stages.reached),
            own_gradients.traced(stages.gradients),
            Respelled(),
            by_index(),
            recurrent_shapes.of_any_length(),
            plain_indices(),
            sizes_in_tensors(),
            computed(model, stages.known),
            control_flow.as_regions(stages.findings),
            transformations.as_regions(stages.findings),
            call_arguments.noted(lambda arguments: _take(arguments, inputs, stages)),
            size_decisions.noted(stages.sizes, stages.branches.note_size),
            containers.named_keywords(model, inputs),
            known_inputs.given(model, inputs, stages.places),
            containers.plain_outputs(model, stages.findings),
            stages.branches.in_place(stages.findings),
            stages.numbers.in_place(),
        ):
            stack.enter_context(changed)
        yield reads


def _take(arguments: Mapping[str, Any], inputs: Any, stages: Stages) -> None:
    """Learn what the arguments of the outermost module are in a trace, by their names."""
    stages.known.take(arguments)
    names = [name for name in inputs if name in arguments] if isinstance(inputs, dict) else list(arguments)
    leaves = pytree.tree_leaves([arguments[name] for name in names])
    if len(leaves) == len(pytree.tree_leaves(inputs)):
        stages.sizes.take(leaves)

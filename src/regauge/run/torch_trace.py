"""One pass of a torch model, operation by operation: what `tracing` describes, made by eager execution.

Operators are seen below autograd, with composite ones taken apart; the calls of torch's functions that they belong to
are numbered, so that a substitution can name one. Nothing needs to be captured: any model that runs can be traced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from regauge.optimizers import to_json
from regauge.run.array_files import Arrays
from regauge.run.dropout_masks import DropoutCall
from regauge.run.protocol import flatten_tree
from regauge.run.torch_calls import CallCounter, ModuleStack, arguments_of, name_of, person_frame
from regauge.run.tracing import Trace, fingerprint

if TYPE_CHECKING:
    from regauge.run.torch_evaluate import TorchEvaluator

_LONGEST = 64  # of a list of arguments that is written down


class Recorder:
    """Writes a trace while a model runs within `recording` modes."""

    def __init__(self, model: nn.Module) -> None:
        self.trace = Trace()
        self.modules = ModuleStack()
        self.calls = _Calls(self)
        self.operators = _Operators(self)
        self.weights = {id(t): name for name, t in [*model.named_parameters(), *model.named_buffers()]}
        self.call = -1
        self._nodes: dict[int, int] = {}
        self._kept: list[Tensor] = []
        self.users: dict[str, int] = {}  # the last operator that used a weight
        for tensor in [*model.parameters(), *model.buffers()]:
            name = self.weights[id(tensor)]
            self.leaf(tensor, "weight", name.rpartition(".")[0])

    def leaf(self, tensor: Tensor, kind: str, module: str = "") -> None:
        """A tensor that the pass is given; kept, so that no other takes its identity."""
        self._nodes[id(tensor)] = self.trace.add(kind, module, -1, [], None)
        self._kept.append(tensor)

    def node_of(self, tensor: Tensor) -> int | None:
        return self._nodes.get(id(tensor))

    def record(self, operator: str, given: list[Tensor], made: list[Tensor]) -> None:
        """Write down what an operator made."""
        if self.trace.is_full:
            return
        origins = [self._nodes[id(t)] for t in given if id(t) in self._nodes]
        call = self.trace.calls[self.call] if self.call >= 0 else None
        module = call["module"] if call else self.modules.now
        frame = call["frame"] if call else self.trace.frame(*person_frame())
        for tensor in made:
            value = fingerprint(tensor.detach().resolve_conj().resolve_neg().numpy()) if _readable(tensor) else None
            node = self.trace.add(operator, module, frame, origins, value, call=self.call)
            self._nodes[id(tensor)] = node
        for tensor in given:
            if id(tensor) in self.weights and made:
                self.users[self.weights[id(tensor)]] = len(self.trace.nodes) - 1

    def begin(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A function of torch is called."""
        self.call = len(self.trace.calls)
        frame = self.trace.frame(*person_frame())
        described = {name: self._described(value) for name, value in arguments_of(func, args, kwargs).items()}
        entry = {"function": name_of(func), "module": self.modules.now, "frame": frame, "arguments": described}
        self.trace.calls.append(entry)

    def returned(self, path: str, output: Any) -> None:
        """A module returns."""
        tensor = next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)
        node = None if tensor is None else self.node_of(tensor)
        if node is not None:
            self.trace.modules.append([path, node])

    def result(self, name: str, tensor: Tensor) -> None:
        """What the pass gives: an output, the loss, a buffer afterwards."""
        node = self.node_of(tensor)
        if name.startswith("state."):
            user = self.users.get(name.removeprefix("state."))
            unknown: dict[str, Any] = {"module": "", "frame": -1, "call": -1}
            owner = self.trace.nodes[user] if user is not None else unknown
            value = fingerprint(tensor.numpy()) if _readable(tensor) else None
            origins = [] if user is None else [user]
            node = self.trace.add("state", owner["module"], owner["frame"], origins, value, call=owner["call"])
        if node is not None:
            self.trace.results[name] = node

    def _described(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return {
                "shape": list(value.shape),
                "weight": self.weights.get(id(value), ""),
                "float": value.dtype.is_floating_point,
            }
        if isinstance(value, nn.Parameter | bool | int | float | str | None):
            return value
        if isinstance(value, tuple | list) and len(value) <= _LONGEST:
            return [self._described(item) for item in value]
        return str(value) if isinstance(value, torch.dtype) else None


def trace(evaluator: TorchEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """One forward pass with its loss, as `tracing` describes it; results carry the original's names.

    Args:
        evaluator: of the side.
        task: ``mode``, ``input``, ``dropout``, and the original's ``calls`` of dropout.
    """
    given = [DropoutCall.from_json(call) for call in task["calls"]] if "calls" in task else None
    model, names = evaluator.model, evaluator.names
    with evaluator.keeper.kept(), evaluator.controlled(task["dropout"], 0, given), torch.no_grad():
        evaluator.prepare(task)
        recorder = Recorder(model)
        leaves, _ = evaluator.leaves(task["input"])
        for tensor in leaves.values():
            recorder.leaf(tensor, "input")
        with recorder.modules.watching(model, recorder.returned), recorder.operators, recorder.calls:
            outputs, loss = evaluator.evaluate(leaves)
        for name, tensor in flatten_tree(outputs, lambda leaf: isinstance(leaf, Tensor), "outputs")[1].items():
            recorder.result(names.output(name).source, tensor)
        recorder.result("loss", loss)
        for name, buffer in model.named_buffers():
            recorder.result(f"state.{name}", buffer)
    spec = evaluator.subject.optimizer
    return {}, {"trace": recorder.trace.to_json(), "optimizer": to_json(spec) if spec else None}


def _readable(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and tensor.dtype.is_floating_point


class _Calls(CallCounter):
    """Tells the recorder which function of torch runs."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def called(self, index: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._recorder.begin(func, args, kwargs)
        try:
            return func(*args, **kwargs)
        finally:
            self._recorder.call = -1


class _Operators(TorchDispatchMode):
    """Tells the recorder what operators make."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        # a converter of the dtype of a weight gives a tensor that nobody has seen: it is then an origin of its own
        self._recorder.record(str(func), given, [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)])
        return made

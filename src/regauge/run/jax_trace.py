"""One pass of a JAX model, equation by equation: what `tracing` describes, made by interpreting its jaxpr.

Functions that are called (jit, custom derivatives, remat) are gone through, short scans step by step, branches as they
are taken; a while loop or a long scan is one operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import source_info_util
from jax.extend import core

from regauge.run.array_files import Arrays
from regauge.run.jax_calls import Calls
from regauge.run.jax_equations import body_of, evaluated
from regauge.run.jax_pass import forward_pass
from regauge.run.jax_scopes import module_of
from regauge.run.jax_side import OptaxTrainer
from regauge.run.protocol import flatten_tree
from regauge.run.tracing import Trace, fingerprint

if TYPE_CHECKING:
    from regauge.run.jax_evaluate import JaxEvaluator

_LONGEST_SCAN = 64
_LARGEST_SCAN = 4000  # equations of all steps together
_OWN = str(Path(__file__).resolve().parent.parent) + "/"
_LIBRARIES = ("numpy", "jax", "jaxlib", "flax", "haiku", "equinox", "optax", "chex", "jaxtyping", "keras")


@dataclass(frozen=True)
class _Inside:
    """What stands around an equation.

    Attributes:
        module: that calls it.
        frame: a place that stands for it, None for its own.
        first: number of its first operation.
        within: number of the operation that it belongs to, -1 for none.
    """

    module: str
    frame: tuple[str, int] | None
    first: int
    within: int


class Interpreter:
    """Evaluates a jaxpr and writes its trace."""

    def __init__(self, trace: Trace, calls: Calls) -> None:
        self.trace = trace
        self._calls = calls

    def run(
        self,
        jaxpr: Any,
        constants: Sequence[Any],
        given: Sequence[tuple[Any, int]],
        module: str = "",
        frame: tuple[str, int] | None = None,
        first: int = 0,
        within: int = -1,
    ) -> list[tuple[Any, int]]:
        """The results of a jaxpr, each with its node; -1 for one that no operation made.

        Args:
            jaxpr: open.
            constants: of the closed one.
            given: arguments with their nodes.
            module: that calls it.
            frame: a place that stands for every equation inside, for functions of a library.
            first: number of its first operation, as `jax_calls` numbers them.
            within: number of the operation that all of it belongs to, -1 for none.
        """
        values: dict[Any, tuple[Any, int]] = {}
        values.update(zip(jaxpr.constvars, [(constant, -1) for constant in constants], strict=True))
        values.update(zip(jaxpr.invars, given, strict=True))
        last = _last_uses(jaxpr)
        for number, equation in enumerate(jaxpr.eqns):
            inputs = [(atom.val, -1) if isinstance(atom, core.Literal) else values[atom] for atom in equation.invars]
            results = self._equation(equation, inputs, _Inside(module, frame, first, within))
            first += self._calls.size(equation) if within < 0 else 0
            for variable, result in zip(equation.outvars, results, strict=True):
                if last.get(variable, -1) >= 0:
                    values[variable] = result
            for atom in equation.invars:
                if not isinstance(atom, core.Literal) and last[atom] == number:
                    values.pop(atom, None)
        return [(atom.val, -1) if isinstance(atom, core.Literal) else values[atom] for atom in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: list[tuple[Any, int]], around: _Inside) -> list[tuple[Any, int]]:
        name, params = equation.primitive.name, equation.params
        module = module_of(str(equation.source_info.name_stack)) or around.module
        place = around.frame or frame_of(equation)
        around = _Inside(module, around.frame, around.first, around.within)
        if around.within < 0 and self._calls.is_operation(equation):
            around = _Inside(module, around.frame, around.first, around.first)
            self._locate(around.within, module, place)
        if (body := body_of(equation)) is not None:
            jaxpr, constants = (body.jaxpr, body.consts) if hasattr(body, "jaxpr") else (body, ())
            inner = place if around.frame or _is_of_library(jaxpr) else None
            return self.run(jaxpr, constants, inputs, module, inner, around.first, around.within)
        if name == "cond":
            chosen = int(np.clip(int(inputs[0][0]), 0, len(params["branches"]) - 1))
            branch, before = params["branches"][chosen], params["branches"][:chosen]
            first = around.first + sum(self._calls.size_of(other.jaxpr) for other in before)
            return self.run(branch.jaxpr, branch.consts, inputs[1:], module, around.frame, first, around.within)
        if name == "scan" and _is_short(params):
            return self._scan(equation, inputs, around)
        made = evaluated(equation, [value for value, _ in inputs])
        return [(value, self._add(equation, value, inputs, place, around)) for value in made]

    def _locate(self, number: int, module: str, place: tuple[str, int]) -> None:
        """The operation of a number stands here."""
        self.trace.calls[number] |= {"module": module, "frame": self.trace.frame(*place)}

    def _add(
        self, equation: Any, value: Any, inputs: list[tuple[Any, int]], place: tuple[str, int], around: _Inside
    ) -> int:
        if self.trace.is_full:
            return -1
        constants = [
            float(atom.val)
            for atom in equation.invars
            if isinstance(atom, core.Literal) and np.ndim(atom.val) == 0 and _is_real(atom.val)
        ]
        origins = [node for _, node in inputs if node >= 0]
        node, call = self.trace.frame(*place), around.within
        name = equation.primitive.name
        return self.trace.add(name, around.module, node, origins, print_of(value), call=call, constants=constants)

    def _scan(self, equation: Any, inputs: list[tuple[Any, int]], around: _Inside) -> list[tuple[Any, int]]:
        """The steps of a scan one by one."""
        params = equation.params
        body, length = params["jaxpr"], params["length"]
        fixed, carried = params["num_consts"], params["num_carry"]
        constants, carry = inputs[:fixed], inputs[fixed : fixed + carried]
        sequences = inputs[fixed + carried :]
        order = range(length - 1, -1, -1) if params["reverse"] else range(length)
        stacked: list[list[tuple[Any, int]]] = []
        inside = (around.module, around.frame, around.first, around.within)
        for step in order:
            taken = [(sequence[step], node) for sequence, node in sequences]
            found = self.run(body.jaxpr, body.consts, [*constants, *carry, *taken], *inside)
            carry = found[:carried]
            stacked.append(found[carried:])
        place = around.frame or frame_of(equation)
        results = list(carry)
        for parts in zip(*(stacked[::-1] if params["reverse"] else stacked), strict=True):
            value = jnp.stack([part for part, _ in parts])
            results.append((value, self._add(equation, value, list(parts), place, around)))
        if length == 0 or len(results) < len(equation.outvars):
            made = evaluated(equation, [value for value, _ in inputs])
            return [(value, self._add(equation, value, inputs, place, around)) for value in made]
        return results


def _is_short(params: Any) -> bool:
    """Whether the steps of a scan can be gone through one by one."""
    length = params["length"]
    return length <= _LONGEST_SCAN and length * len(params["jaxpr"].jaxpr.eqns) <= _LARGEST_SCAN


def trace(evaluator: JaxEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """One forward pass with its loss and its new state; results carry the original's names.

    Args:
        evaluator: of the side.
        task: ``mode``, ``input``, ``dropout``, and the original's ``calls`` of dropout.
    """
    made, found = forward_pass(evaluator, task), Trace()
    given: list[tuple[Any, int]] = []
    arrays = [tree[name] for tree in (made.params, made.state, made.leaves) for name in sorted(tree)]
    for (kind, name), value in zip(made.names, arrays, strict=True):
        module = name.rpartition(".")[0] if kind == "weight" else ""
        given.append((value, found.add(kind, module, -1, [], None)))
    for call in made.calls.entries:
        entry = {"function": call.description.function, "module": "", "frame": -1, "arguments": call.arguments}
        found.calls.append({**entry, "numbers": []})  # those of a formula stand at its values
    results = Interpreter(found, made.calls).run(made.closed.jaxpr, made.closed.consts, given)
    _results(evaluator, found, made.results([node for _, node in results]))
    traced = {**found.to_json(), "weight_names": _weight_names(evaluator)}
    return {}, {"trace": traced, "optimizer_constants": optimizer_constants(evaluator)}


def _weight_names(evaluator: JaxEvaluator) -> dict[str, list[str]]:
    """By this side's name of a weight its names in the original."""
    if evaluator.names.map is None:
        return {}
    return {name: [part.source for part in parts] for name, parts in evaluator.names.map.by_target.items()}


def optimizer_constants(evaluator: JaxEvaluator) -> list[float]:
    """The numbers in the update of the side's optimizer; none where it has no optimizer of optax."""
    trainer = evaluator.side.trainer
    if not isinstance(trainer, OptaxTrainer):
        return []
    optimizer, nested = trainer.optimizer, trainer.tree.nested

    def update(params: Any) -> Any:
        return optimizer.update(nested(params), optimizer.init(nested(params)), nested(params))

    found: dict[float, None] = {}
    pending = [jax.make_jaxpr(update)(evaluator.params).jaxpr]
    while pending:
        for equation in pending.pop().eqns:
            values = [atom.val for atom in equation.invars if isinstance(atom, core.Literal)]
            found |= {float(v): None for v in values if np.ndim(v) == 0 and _is_number(v)}
            for value in equation.params.values():
                bodies = value if isinstance(value, tuple | list) else (value,)
                pending += [getattr(b, "jaxpr", b) for b in bodies if hasattr(getattr(b, "jaxpr", b), "eqns")]
    return [value for value in found if np.isfinite(value)]


def _is_number(value: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.number)


def _results(evaluator: JaxEvaluator, found: Trace, tree: Any) -> None:
    """Name the nodes of outputs, loss and new state as the original does."""
    loss, outputs, state = tree
    names = evaluator.names
    for name, node in flatten_tree(outputs, lambda leaf: isinstance(leaf, int), "outputs")[1].items():
        found.results[names.output(name).source] = node
    found.results["loss"] = loss
    by_target = names.map.by_target if names.map else {}
    for name, node in state.items():
        parts = by_target.get(name, ())
        for source in [part.source for part in parts] or [name]:
            found.results[f"state.{source}"] = node
    found.results = {name: node for name, node in found.results.items() if node >= 0}


def print_of(value: Any) -> list[float] | None:
    """The fingerprint of an array of JAX; None for keys of random streams, integers and booleans."""
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return None
    array = np.asarray(value)
    return fingerprint(array if array.dtype.kind in "fc" else array.astype(np.float64))


def frame_of(equation: Any) -> tuple[str, int]:
    """File and line of the innermost frame that is the person's; ``("", 0)`` for none."""
    traceback = equation.source_info.traceback
    for frame in source_info_util.user_frames(traceback) if traceback else ():
        if _is_own(frame.file_name):
            return frame.file_name, frame.start_line
    return "", 0


@lru_cache(maxsize=4096)
def _is_own(file: str) -> bool:
    if file.startswith(("<", _OWN)):
        return file.startswith(_OWN + "projects/")
    _, _, package = file.replace("\\", "/").rpartition("site-packages/")
    return "site-packages" not in file or package.partition("/")[0] not in _LIBRARIES


def _is_of_library(jaxpr: Any) -> bool:
    """Whether a function that is called is a library's, whose trace may come from another call of it."""
    info = getattr(jaxpr, "debug_info", None)
    file = getattr(info, "func_filename", None) or ""
    return not _is_own(file) if file else False


def _is_real(value: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)


def _last_uses(jaxpr: Any) -> dict[Any, int]:
    """By variable the number of the last equation that takes it; the results of the jaxpr are never left out."""
    last: dict[Any, int] = {}
    for number, equation in enumerate(jaxpr.eqns):
        for atom in equation.invars:
            if not isinstance(atom, core.Literal):
                last[atom] = number
    for atom in jaxpr.outvars:
        if not isinstance(atom, core.Literal):
            last[atom] = len(jaxpr.eqns)
    return last

"""One pass of a JAX model, equation by equation: what `tracing` describes, made by interpreting its jaxpr.

Functions that are called (jit, custom derivatives, remat) are gone through, short scans step by step, branches as they
are taken; a while loop or a long scan is one operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import source_info_util
from jax.extend import core

from regauge.run.array_files import Arrays
from regauge.run.dropout_masks import DropoutCall, keep_mask
from regauge.run.jax_dropout import dropout_control
from regauge.run.jax_scopes import module_of, scopes
from regauge.run.jax_side import OptaxTrainer
from regauge.run.protocol import flatten_tree
from regauge.run.tracing import Trace, fingerprint

if TYPE_CHECKING:
    from regauge.run.jax_evaluate import JaxEvaluator

_LONGEST_SCAN = 64
_LARGEST_SCAN = 4000  # equations of all steps together
_OWN = str(Path(__file__).resolve().parent.parent) + "/"
_LIBRARIES = ("numpy", "jax", "jaxlib", "flax", "haiku", "equinox", "optax", "chex", "jaxtyping")
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_GONE_THROUGH = {
    "jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call",
    "custom_vjp_call_jaxpr", "custom_lin",
}  # fmt: skip


class Interpreter:
    """Evaluates a jaxpr and writes its trace."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def run(
        self,
        jaxpr: Any,
        constants: Sequence[Any],
        given: Sequence[tuple[Any, int]],
        module: str = "",
        frame: tuple[str, int] | None = None,
    ) -> list[tuple[Any, int]]:
        """The results of a jaxpr, each with its node; -1 for one that no operation made.

        Args:
            jaxpr: open.
            constants: of the closed one.
            given: arguments with their nodes.
            module: that calls it.
            frame: a place that stands for every equation inside, for functions of a library.
        """
        values: dict[Any, tuple[Any, int]] = {}
        values.update(zip(jaxpr.constvars, [(constant, -1) for constant in constants], strict=True))
        values.update(zip(jaxpr.invars, given, strict=True))
        last = _last_uses(jaxpr)
        for number, equation in enumerate(jaxpr.eqns):
            inputs = [(atom.val, -1) if isinstance(atom, core.Literal) else values[atom] for atom in equation.invars]
            results = self._equation(equation, inputs, module, frame)
            for variable, result in zip(equation.outvars, results, strict=True):
                if last.get(variable, -1) >= 0:
                    values[variable] = result
            for atom in equation.invars:
                if not isinstance(atom, core.Literal) and last[atom] == number:
                    values.pop(atom, None)
        return [(atom.val, -1) if isinstance(atom, core.Literal) else values[atom] for atom in jaxpr.outvars]

    def _equation(
        self, equation: Any, inputs: list[tuple[Any, int]], module: str, frame: tuple[str, int] | None
    ) -> list[tuple[Any, int]]:
        name, params = equation.primitive.name, equation.params
        module = module_of(str(equation.source_info.name_stack)) or module
        place = frame or frame_of(equation)
        if (body := body_of(equation)) is not None:
            jaxpr, constants = (body.jaxpr, body.consts) if hasattr(body, "jaxpr") else (body, ())
            inner = place if frame or _is_of_library(jaxpr) else None
            return self.run(jaxpr, constants, inputs, module, inner)
        if name == "cond":
            branch = params["branches"][int(np.clip(int(inputs[0][0]), 0, len(params["branches"]) - 1))]
            return self.run(branch.jaxpr, branch.consts, inputs[1:], module, frame)
        if name == "scan" and _is_short(params):
            return self._scan(equation, inputs, module, frame)
        made = evaluated(equation, [value for value, _ in inputs])
        return [(value, self._add(equation, value, inputs, module, place)) for value in made]

    def _add(
        self, equation: Any, value: Any, inputs: list[tuple[Any, int]], module: str, place: tuple[str, int]
    ) -> int:
        if self.trace.is_full:
            return -1
        constants = [
            float(atom.val)
            for atom in equation.invars
            if isinstance(atom, core.Literal) and np.ndim(atom.val) == 0 and _is_real(atom.val)
        ]
        origins = [node for _, node in inputs if node >= 0]
        node = self.trace.frame(*place)
        return self.trace.add(equation.primitive.name, module, node, origins, print_of(value), constants=constants)

    def _scan(
        self, equation: Any, inputs: list[tuple[Any, int]], module: str, frame: tuple[str, int] | None
    ) -> list[tuple[Any, int]]:
        """The steps of a scan one by one."""
        params = equation.params
        body, length = params["jaxpr"], params["length"]
        fixed, carried = params["num_consts"], params["num_carry"]
        constants, carry = inputs[:fixed], inputs[fixed : fixed + carried]
        sequences = inputs[fixed + carried :]
        order = range(length - 1, -1, -1) if params["reverse"] else range(length)
        stacked: list[list[tuple[Any, int]]] = []
        for step in order:
            taken = [(sequence[step], node) for sequence, node in sequences]
            found = self.run(body.jaxpr, body.consts, [*constants, *carry, *taken], module, frame)
            carry = found[:carried]
            stacked.append(found[carried:])
        place = frame or frame_of(equation)
        results = list(carry)
        for parts in zip(*(stacked[::-1] if params["reverse"] else stacked), strict=True):
            value = jnp.stack([part for part, _ in parts])
            results.append((value, self._add(equation, value, list(parts), module, place)))
        if length == 0 or len(results) < len(equation.outvars):
            made = evaluated(equation, [value for value, _ in inputs])
            return [(value, self._add(equation, value, inputs, module, place)) for value in made]
        return results


def _is_short(params: Any) -> bool:
    """Whether the steps of a scan can be gone through one by one."""
    length = params["length"]
    return length <= _LONGEST_SCAN and length * len(params["jaxpr"].jaxpr.eqns) <= _LARGEST_SCAN


def body_of(equation: Any) -> Any:
    """The jaxpr of an equation that does nothing but call it; None for other equations."""
    if equation.primitive.name not in _GONE_THROUGH:
        return None
    return next((equation.params[key] for key in _CALLS if key in equation.params), None)


def evaluated(equation: Any, values: Sequence[Any], changes: Mapping[str, Any] | None = None) -> list[Any]:
    """The results of one equation, as `jax.core.eval_jaxpr` computes them; with some of its parameters changed."""
    found = equation.primitive.get_bind_params({**equation.params, **(changes or {})})
    functions, params = found if isinstance(found, tuple) else ((), found)  # a tuple before jax 0.8
    with equation.ctx.manager:
        made = equation.primitive.bind(*functions, *values, **params)
    return list(made) if equation.primitive.multiple_results else [made]


def trace(evaluator: JaxEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """One forward pass with its loss and its new state; results carry the original's names.

    Args:
        evaluator: of the side.
        task: ``mode``, ``input``, ``dropout``, and the original's ``calls`` of dropout.
    """
    masks = None
    if "calls" in task:
        calls = [DropoutCall.from_json(call) for call in task["calls"]]
        masks = [jnp.asarray(keep_mask(index, call)) for index, call in enumerate(calls)]
    leaves, key = evaluator.leaves(task["input"]), jax.random.key(0)
    params = evaluator.parameters(task)

    def forward(params: Any, state: Any, leaves: Any) -> Any:
        with dropout_control(task["dropout"], masks), scopes(evaluator.program):
            loss, (outputs, following) = evaluator.evaluate(params, state, leaves, task["mode"], key)
        return loss, outputs, following

    closed, shapes = jax.make_jaxpr(forward, return_shape=True)(params, evaluator.state, leaves)
    found = Trace()
    nodes = {"params": params, "state": evaluator.state}
    given: list[tuple[Any, int]] = []
    for kind, tree in (*nodes.items(), ("input", leaves)):
        for name, value in sorted(tree.items()):
            leaf = "input" if kind == "input" else "weight"
            module = name.rpartition(".")[0] if leaf == "weight" else ""
            given.append((value, found.add(leaf, module, -1, [], None)))
    results = Interpreter(found).run(closed.jaxpr, closed.consts, given)
    _results(evaluator, found, jax.tree.unflatten(jax.tree.structure(shapes), [node for _, node in results]))
    return {}, {"trace": found.to_json(), "optimizer_constants": optimizer_constants(evaluator)}


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

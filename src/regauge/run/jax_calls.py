"""The operations of a jaxpr, numbered in order: what they are in the words of the table of causes.

The counterpart of `torch_calls`, made before anything runs. Functions that are called are gone through, and so are the
bodies of scans and the branches of conditions, each once: an operation in a scan has one number for all steps. Loops
that end by a condition have none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from regauge.run.jax_descriptions import SILENT, Description, describe, is_float, name_of_call
from regauge.run.jax_equations import body_of
from regauge.run.jax_origins import UNKNOWN, Origin, of_atom, of_results

_BIASES = ("bias", "b", "bias_value")


@dataclass(frozen=True)
class WeightLayout:
    """How the axes of a parameter stand to those of torch's weight.

    Attributes:
        order: axes of the parameter, in torch's order: outputs, inputs, positions in space.
        shape: torch's; of a product the axes of each kind are joined.
    """

    order: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class NumberedCall:
    """One operation.

    Attributes:
        description: what it is.
        arguments: as `tracing` writes them.
    """

    description: Description
    arguments: dict[str, Any]


@dataclass
class Calls:
    """All operations of a pass.

    Attributes:
        entries: by number.
        layouts: of the weights that products, convolutions and tables are made with, by name.
        shapes: of all parameters.
    """

    shapes: Mapping[str, tuple[int, ...]]
    entries: list[NumberedCall] = field(default_factory=list)
    layouts: dict[str, WeightLayout] = field(default_factory=dict)
    _sizes: dict[int, tuple[Any, int]] = field(default_factory=dict)

    def size(self, equation: Any) -> int:
        """How many operations an equation holds."""
        if self.is_operation(equation):
            return 1
        return sum(self.size_of(jaxpr) for jaxpr in bodies(equation))

    def is_operation(self, equation: Any) -> bool:
        """Whether an equation is one operation that has a number."""
        if name_of_call(equation):
            return True
        return not bodies(equation) and equation.primitive.name not in (*SILENT, "while")

    def size_of(self, jaxpr: Any) -> int:
        """How many operations a jaxpr holds."""
        if id(jaxpr) not in self._sizes:
            self._sizes[id(jaxpr)] = (jaxpr, sum(self.size(equation) for equation in jaxpr.eqns))
        return self._sizes[id(jaxpr)][1]

    def walk(self, jaxpr: Any, given: Sequence[Origin], constants: Sequence[Origin] = ()) -> list[Origin]:
        """Number the operations of a jaxpr.

        Args:
            jaxpr: open.
            given: where its arguments come from.
            constants: where the constants of the closed one come from.

        Returns:
            Where its results come from.
        """
        known: dict[Any, Origin] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *given], strict=True))
        for equation in jaxpr.eqns:
            origins = [of_atom(atom, known) for atom in equation.invars]
            known.update(zip(equation.outvars, self._equation(equation, origins), strict=True))
        return [of_atom(atom, known) for atom in jaxpr.outvars]

    def _equation(self, equation: Any, origins: list[Origin]) -> list[Origin]:
        nothing = [UNKNOWN for _ in equation.outvars]
        name = equation.primitive.name
        if name_of_call(equation):
            self._add(equation, origins)
            return [Origin(fixed=all(origin.fixed for origin in origins)) for _ in equation.outvars]
        body = body_of(equation)
        if body is not None:
            closed = hasattr(body, "jaxpr")
            constants = [Origin.of_constant(value) for value in body.consts] if closed else []
            return self.walk(body.jaxpr if closed else body, origins, constants)
        if name == "scan":
            self._scan(equation, origins)
            return nothing
        if name == "cond":
            for branch in equation.params["branches"]:
                self.walk(branch.jaxpr, origins[1:], [Origin.of_constant(value) for value in branch.consts])
            return nothing
        if name == "while":
            return nothing
        if self.is_operation(equation):
            self._add(equation, origins)
        return of_results(equation, origins)

    def _scan(self, equation: Any, origins: list[Origin]) -> None:
        params, closed = equation.params, equation.params["jaxpr"]
        fixed, carried = params["num_consts"], params["num_carry"]
        # what is carried changes, and of what is taken step by step the axes are other ones
        taken = [Origin(weight=origin.weight, fixed=origin.fixed) for origin in origins[fixed + carried :]]
        given = [*origins[:fixed], *(UNKNOWN for _ in range(carried)), *taken]
        self.walk(closed.jaxpr, given, [Origin.of_constant(value) for value in closed.consts])

    def _add(self, equation: Any, origins: list[Origin]) -> None:
        found = describe(equation, origins)
        if found.function in ("linear", "embedding") or found.function.startswith("conv"):
            self._learn(found, equation, origins)
        arguments = {n: self._operand(equation.invars[i].aval, origins[i]) for n, i in found.operands.items()}
        weight = arguments.get("weight")
        if isinstance(weight, dict) and (bias := self._bias_of(weight["weight"])):
            arguments["bias"] = {"shape": list(self.shapes[bias]), "weight": bias, "float": True}
        self.entries.append(NumberedCall(found, {**arguments, **found.settings}))

    def _operand(self, aval: Any, origin: Origin) -> Any:
        if origin.number is not None:
            return origin.number
        layout = self.layouts.get(origin.weight)
        shape = layout.shape if layout else self.shapes.get(origin.weight, aval.shape)
        found = {"shape": list(shape), "weight": origin.weight, "float": is_float(aval)}
        return {**found, "fixed": True} if origin.fixed else found

    def _bias_of(self, weight: str) -> str:
        """The bias beside a weight; empty for none."""
        owner, _, own = weight.rpartition(".")
        names = [own.replace("weight", "bias"), *_BIASES] if weight else []
        found = [f"{owner}.{name}" if owner else name for name in names if name != own]
        return next((name for name in found if name in self.shapes), "")

    def _learn(self, found: Description, equation: Any, origins: list[Origin]) -> None:
        """The layout of the weight of a product, a convolution or a table."""
        index = found.operands["weight"]
        origin = origins[index]
        if not origin.weight or origin.order is None or origin.weight in self.layouts:
            return
        order, shape = origin.order, equation.invars[index].aval.shape
        if found.function == "linear":
            inner = equation.params["dimension_numbers"][0][index]
            outer = [axis for axis in range(len(shape)) if axis not in inner]
            places = [*outer, *inner]
            joined = (math.prod(shape[axis] for axis in outer), math.prod(shape[axis] for axis in inner))
        elif found.function == "embedding":
            places, joined = list(range(len(shape))), tuple(shape)
        else:
            places = list(equation.params["dimension_numbers"].rhs_spec)
            joined = tuple(shape[axis] for axis in places)
        self.layouts[origin.weight] = WeightLayout(tuple(order[axis] for axis in places), joined)


def bodies(equation: Any) -> list[Any]:
    """The jaxprs that an equation goes through, in order; none for an operation."""
    body = body_of(equation)
    if body is not None:
        return [getattr(body, "jaxpr", body)]
    if equation.primitive.name == "scan":
        return [equation.params["jaxpr"].jaxpr]
    if equation.primitive.name == "cond":
        return [branch.jaxpr for branch in equation.params["branches"]]
    return []


def calls_of(closed: Any, weights: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> Calls:
    """The operations of a pass.

    Args:
        closed: jaxpr of the pass.
        weights: by argument the name of the parameter or the state that it is, empty for inputs.
        shapes: of the parameters and the state, by name.
    """
    found = Calls(shapes)
    given = [Origin.of_weight(name, len(shapes[name])) if name else UNKNOWN for name in weights]
    found.walk(closed.jaxpr, given, [Origin.of_constant(value) for value in closed.consts])
    return found

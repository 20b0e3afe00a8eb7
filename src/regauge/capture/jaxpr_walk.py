"""From a jaxpr to nodes: functions that are only called are gone through, control flow keeps its bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.capture import jax_compat
from regauge.capture.jaxpr_bodies import combination, written_out
from regauge.capture.jaxpr_draws import draw
from regauge.capture.jaxpr_flow import CONTROL_FLOW, control_flow, own_derivative, parameter_names
from regauge.capture.jaxpr_indices import computed, facts, folds, is_followed
from regauge.capture.jaxpr_layers import Layers
from regauge.capture.jaxpr_linear import has_derivative, kept_call, pseudo_inverse_as_written, solver
from regauge.capture.jaxpr_operands import named_operands, named_parameters, named_results
from regauge.capture.jaxpr_outside import OUTSIDE, looks_on
from regauge.capture.jaxpr_recomputed import Region, region
from regauge.capture.jaxpr_searches import search
from regauge.capture.jaxpr_values import (
    Known,
    folded,
    is_number,
    is_operator,
    known_spec,
    library_name,
    number,
    size_of,
)
from regauge.errors import CaptureError
from regauge.findings import Finding
from regauge.ir.graph import (
    DType,
    Frame,
    Graph,
    ModuleStep,
    Node,
    Operand,
    Origin,
    Ref,
    Sym,
    TensorSpec,
    Value,
    references,
    without_dead,
)
from regauge.run.jax_scopes import repeated

Array = Any


@dataclass
class Names:
    """Names of values, unique in a graph: ``mul``, ``mul_1``."""

    taken: set[str] = field(default_factory=set)

    def new(self, base: str) -> str:
        name, number = base, 0
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name


class Walk:
    """Turns equations into nodes.

    Args:
        steps: gives the module calls of a name stack, outermost first.
        names: of values that exist already.
        fold: turns nodes of library functions into one node each, in bodies too.
    """

    def __init__(
        self,
        steps: Callable[[str], tuple[ModuleStep, ...]],
        names: Names | None = None,
        fold: Callable[[Walk, Sequence[Node], set[str]], tuple[Node, ...]] | None = None,
    ) -> None:
        self.steps = steps
        self.names = names or Names()
        self.fold = fold
        self.layers: Callable[[Walk, Sequence[Node], set[str]], tuple[Node, ...]] | None = None  # those in bodies
        self.stacked: Layers | None = None  # which scans are layers; functions inside keep theirs
        self.avals: dict[str, Any] = {}  # abstract arrays by value, whose symbolic sizes are those of the trace
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}  # arrays that the program holds, by the value that reads them
        self.specs: dict[str, TensorSpec] = {}
        self.findings: list[Finding] = []
        self.differentiates = False  # whether it writes down a derivative
        self.regions: list[Region] = []  # what is computed again for a gradient
        self.is_inner = False  # whether it is in a function of control flow
        self._held: dict[int, str] = {}
        self._entered: dict[int, list[Any]] = {}  # jaxprs, as often as they were gone through
        self._integers: dict[str, np.ndarray] = {}  # values that are known though they are computed, by name

    # values ----------------------------------------------------------------------------------------------------

    def take(self, name: str, aval: Any) -> Ref:
        """Declare a value that the graph is given."""
        name = self.names.new(name)
        self.specs[name] = known_spec(aval, Origin(), name)
        self.avals[name] = aval
        return Ref(name)

    def hold(self, value: Any) -> Ref:
        """A constant array as a value."""
        array = np.asarray(value)
        if id(value) not in self._held:
            name = self.names.new("constant")
            self._held[id(value)] = name
            self.specs[name] = TensorSpec(array.shape, str(array.dtype))
            self.constants[name] = array
            if is_followed(array):
                self._integers[name] = array
            self.avals[name] = jax.ShapeDtypeStruct(array.shape, array.dtype)
        return Ref(self._held[id(value)])

    def result(self, operand: Operand | Known) -> Ref:
        """An operand as a value: numbers become arrays."""
        if isinstance(operand, Known):
            return self.hold(operand.value)
        if isinstance(operand, Ref):
            return operand
        raise TypeError(f"{operand!r} is no value")

    # equations -------------------------------------------------------------------------------------------------

    def run(
        self,
        jaxpr: Any,
        constants: Sequence[Any],
        given: Sequence[Operand | Known],
        stack: str = "",
        frames: tuple[Frame, ...] = (),
    ) -> list[Operand | Known]:
        """Write down a jaxpr; returns its results.

        Args:
            jaxpr: open.
            constants: of the closed one.
            given: its arguments.
            stack: the scopes around it.
            frames: of the equation that calls it.
        """
        values: dict[Any, Operand | Known] = dict(zip(jaxpr.invars, given, strict=True))
        values.update({v: self._constant(c) for v, c in zip(jaxpr.constvars, constants, strict=True)})

        def read(atom: Any) -> Operand | Known:
            return Known(np.asarray(atom.val)) if jax_compat.is_literal(atom) else values[atom]

        for equation in jaxpr.eqns:
            own = jax_compat.name_stack(equation)
            scopes = "/".join(part for part in (stack, own) if part)
            inner = jax_compat.frames(equation)  # in a function that is called they begin inside of it
            lines = inner if inner[: len(frames)] == frames else (*frames, *inner)
            results = self._equation(equation, [read(atom) for atom in equation.invars], scopes, lines)
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _constant(self, value: Any) -> Operand | Known:
        if isinstance(value, jax.core.Tracer):
            raise TypeError("a constant that is still being traced")
        if jax_compat.is_key(value):
            return self._held_key(value)
        array = np.asarray(value)
        return Known(array) if array.ndim == 0 else self.hold(value)

    def _held_key(self, key: Any) -> Operand | Known:
        """Keys that the program holds: their words, made keys again."""
        words = self.hold(np.asarray(jax.random.key_data(key)))
        return self.add("lax.random_wrap", (("base", words),), [key.aval], Origin(self.steps("")), "key")[0]

    def _equation(
        self, equation: Any, inputs: list[Operand | Known], stack: str, frames: tuple[Frame, ...]
    ) -> list[Operand | Known]:
        name = equation.primitive.name
        if equation.outvars and all(v.aval.dtype == jax.dtypes.float0 for v in equation.outvars):
            # the derivatives of integers, which JAX makes and does not read
            return [Known(np.zeros((), jax.dtypes.float0)) for _ in equation.outvars]
        if name in jax_compat.TRANSPARENT or name in jax_compat.RECOMPUTED:
            if (kept := kept_call(equation)) is not None:
                arguments = tuple(zip(kept[1], map(self.operand, inputs), strict=True))
                avals, base = [v.aval for v in equation.outvars], kept[0].rsplit(".", 1)[-1]
                return self.add(kept[0], arguments, avals, Origin(self.steps(stack), frames), base)
            if (searched := search(equation)) is not None:
                given = tuple(zip(("sorted", "values"), map(self.operand, inputs), strict=True))
                asked = (*given, ("side", searched[0]), ("by_row", searched[1]))
                return self.add(
                    "jnp.searchsorted", asked, [equation.outvars[0].aval], Origin(self.steps(stack), frames), "at"
                )
            if (drawn := draw(equation)) is not None:
                return self._draw(equation, drawn, inputs, Origin(self.steps(stack), frames))
            return self._call(equation, inputs, stack, frames)
        if (seen := looks_on(equation, Origin(self.steps(stack), frames))) is not None:
            self.findings += [seen] if seen.severity == "warning" else []
            return inputs[: len(equation.outvars)]
        if (values := folded(equation, inputs)) is not None:
            return list(values)
        if name == "optimization_barrier" and not all(isinstance(value, Ref) for value in inputs):
            return inputs  # a word to XLA, which would make arrays of the numbers
        if name == "random_seed" and isinstance(inputs[0], Known):
            return [self._held_key(jax_compat.evaluated(equation, [jnp.asarray(inputs[0].value)])[0])]
        if (size := size_of(equation, inputs)) is not None:
            return [size]
        if name == jax_compat.PLATFORM:
            return [Known(np.asarray(jax_compat.branch_of_cpu(equation), np.int32))]
        if name == "cond" and isinstance(inputs[0], Known):
            jaxpr, constants = jax_compat.branch(equation, int(inputs[0].value))
            return self.run(jaxpr, constants, inputs[1:], stack, frames)
        if name == "select_n" and isinstance(inputs[0], Known) and inputs[0].value.ndim == 0:
            return [inputs[1 + int(inputs[0].value)]]
        origin = Origin(self.steps(stack), frames)
        if name == jax_compat.CUSTOM_JVP or name in jax_compat.CUSTOM_VJP:
            return self._custom_derivative(equation, inputs, stack, frames, origin)
        layers = self.stacked.unrolled if self.stacked is not None and name == "scan" else None
        if layers is not None and (results := layers(self, equation, inputs, origin, stack)) is not None:
            return results
        if name in CONTROL_FLOW:
            return control_flow(self, equation, inputs, origin)
        function = written_out(equation)
        if name == "custom_linear_solve":
            function = solver(equation)
            if has_derivative(equation) and not self.differentiates:
                return own_derivative(self, equation, inputs, origin, function)
        if name == "random_gamma":
            function = jax_compat.gamma(equation)
            if not self.differentiates:
                return own_derivative(self, equation, inputs, origin, function)
        if function is not None:
            closed = jax.make_jaxpr(function)(*(jax_compat.shape_of(v.aval) for v in equation.invars))
            return self.run(closed.jaxpr, closed.consts, inputs, stack, frames)
        return self._node(equation, inputs, origin)

    def _call(
        self, equation: Any, inputs: list[Operand | Known], stack: str, frames: tuple[Frame, ...]
    ) -> list[Operand | Known]:
        """Go through a function that is only called, and remember what is computed again for a gradient."""
        jaxpr, constants = jax_compat.called(equation)
        times = self._entered.setdefault(id(jaxpr), [])
        times.append(jaxpr)  # kept, so that no other jaxpr takes its identity
        first, inner = len(self.nodes), stack if len(times) == 1 else repeated(stack, len(times))
        results = self.run(jaxpr, constants, inputs, inner, frames)
        if equation.primitive.name in jax_compat.RECOMPUTED and not self.differentiates:
            origin = Origin(self.steps(stack), frames)
            policy, names = jax_compat.policy_name(equation), parameter_names(jaxpr, inputs)
            given = [result.name for result in results if isinstance(result, Ref)]
            self.regions += region(self.nodes[first:], origin, policy, self.is_inner, names, given)
        return results

    def _draw(
        self, equation: Any, drawn: tuple[Any, ...], inputs: list[Operand | Known], origin: Origin
    ) -> list[Operand | Known]:
        operator, names, shape, bits = drawn
        arguments = tuple(zip(names, map(self.operand, inputs), strict=True))
        arguments += (("shape", tuple(jax_compat.dimension(size) for size in shape)),)
        arguments += (("bits", bits),) if operator != "jax.random.randint" else ()
        arguments += (("partitionable", jax_compat.is_partitionable()),)
        base = operator.rsplit(".", 1)[-1]
        return self.add(operator, arguments, [equation.outvars[0].aval], origin, base)

    def _node(self, equation: Any, inputs: list[Operand | Known], origin: Origin) -> list[Operand | Known]:
        name = equation.primitive.name.replace("-", "_")
        known = [self._known_integers(value) for value in inputs]
        followed = [value for value in known if value is not None]
        values = computed(equation, followed) if len(followed) == len(known) else None
        if values is not None and folds(equation) and all(self._is_held(value) for value in inputs):
            return [Known(value) for value in values]
        operands = [self.operand(value) for value in inputs]
        alike = operands[1:] if name == "select_n" else operands  # of one dtype, which an array tells
        if any(isinstance(o, Sym) for o in alike) and not any(isinstance(o, Ref) for o in alike):
            operands = [self._size_array(o, v.aval, origin) for o, v in zip(operands, equation.invars, strict=True)]
        if name in OUTSIDE:
            return self.add(
                f"lax.{name}", (("operands", tuple(operands)),), [v.aval for v in equation.outvars], origin, name
            )
        arguments = named_operands(name, operands) + _parameters(name, equation, origin)
        if name in ("random_bits", "random_split"):
            arguments += (("partitionable", jax_compat.is_partitionable()),)
        if name == "reduce_window":
            arguments += (("computation", combination(equation.params["jaxpr"])),)
        arguments += tuple(facts(equation, known[1] if len(known) > 1 else None).items())
        if operands and not any(isinstance(o, Ref) for o in operands):  # what is made of numbers alone has no dtype
            arguments += (("dtype", DType(str(equation.outvars[0].aval.dtype))),)
        results = self._add_in_order(f"lax.{name}", arguments, [v.aval for v in equation.outvars], origin, name)
        self._integers |= {r.name: v for r, v in zip(results, values or (), strict=False) if isinstance(r, Ref)}
        return results

    def _size_array(self, operand: Operand, aval: Any, origin: Origin) -> Operand:
        """A symbolic size as an array, for operators that take nothing else."""
        if not isinstance(operand, Sym):
            return operand
        arguments = (("x", operand), ("dtype", DType(str(aval.dtype))))
        (made,) = self.add("lax.dim_as_value", arguments, [aval], origin, "size")
        return made if isinstance(made, Ref) else operand

    def _is_held(self, value: Operand | Known) -> bool:
        """Whether a value is an array that the program holds, or a number."""
        return isinstance(value, Known) or (isinstance(value, Ref) and value.name in self.constants)

    def _known_integers(self, value: Operand | Known) -> np.ndarray | None:
        if isinstance(value, Known):
            return value.value if isinstance(value.value, np.ndarray) and is_followed(value.value) else None
        return self._integers.get(value.name) if isinstance(value, Ref) else None

    def _add_in_order(
        self, op: str, arguments: tuple[tuple[str, Operand], ...], avals: Sequence[Any], origin: Origin, base: str
    ) -> list[Operand | Known]:
        """Write down one node whose results are in the order that torch has; returns them in that of JAX."""
        order = named_results(base, len(avals))
        made = self.add(op, arguments, [avals[place] for _, place in order], origin, [name for name, _ in order])
        return [made[[place for _, place in order].index(place)] for place in range(len(avals))]

    def add(
        self,
        op: str,
        arguments: tuple[tuple[str, Operand], ...],
        avals: Sequence[Any],
        origin: Origin,
        base: str | Sequence[str],
        bodies: tuple[Graph, ...] = (),
    ) -> list[Operand | Known]:
        """Write down one node; returns its results. `base` is what they are called, all or each."""
        bases = [base] * len(avals) if isinstance(base, str) else base
        outputs = [Value(self.names.new(b), known_spec(aval, origin)) for b, aval in zip(bases, avals, strict=True)]
        self.specs |= {value.name: value.spec for value in outputs}
        self.avals |= {value.name: aval for value, aval in zip(outputs, avals, strict=True)}
        self.nodes.append(Node(op, arguments, tuple(outputs), bodies, origin))
        return [Ref(value.name) for value in outputs]

    def operand(self, value: Operand | Known) -> Operand:
        """What stands in a node: numbers for known 0-d arrays, values for everything else."""
        if isinstance(value, Known):
            if value.value.ndim == 0 and is_number(value.value):
                return number(value.value)
            return self.hold(value.value)
        return value

    def inner(self) -> Walk:
        """The walk of a function inside: it has the names and values of this one, and nodes of its own."""
        inner = Walk(self.steps, self.names, self.fold)
        inner.layers = self.layers
        inner.avals, inner.specs, inner.constants = self.avals, self.specs, self.constants
        inner._held = self._held
        inner.findings, inner.regions, inner.is_inner = self.findings, self.regions, True
        inner._entered = self._entered
        inner.differentiates = self.differentiates
        return inner

    def body_graph(self, given: Sequence[Ref], results: Sequence[Operand]) -> Graph:
        """The graph of a function inside, which may read values of the graph around it."""
        needed = {name for operand in results for name in references(operand)}
        nodes = without_dead(self.nodes, needed)
        if self.layers is not None:
            nodes = without_dead(self.layers(self, nodes, needed), needed)
        nodes = self.folded(nodes, needed)
        inputs = tuple(Value(ref.name, self.specs[ref.name]) for ref in given)
        return Graph("lax", inputs, (), nodes, tuple(results))

    # calls with bodies -----------------------------------------------------------------------------------------

    def _custom_derivative(
        self, equation: Any, inputs: list[Operand | Known], stack: str, frames: tuple[Frame, ...], origin: Origin
    ) -> list[Operand | Known]:
        """A function with a derivative of its own: some of JAX's are operators, all others keep both as bodies."""
        jaxpr, constants = jax_compat.called(equation)
        library = library_name(jaxpr)
        if library == "jnp._pinv" and pseudo_inverse_as_written(equation):
            return self.run(jaxpr, constants, inputs, stack, frames)
        operands = [self.operand(value) for value in inputs]
        avals = [v.aval for v in equation.outvars]
        if is_operator(library):
            base = library.rsplit(".", 1)[-1]
            return self._add_in_order(library, named_operands(base, operands), avals, origin, base.strip("_"))
        if self.differentiates:
            return self.run(jaxpr, constants, inputs, stack, frames)
        return own_derivative(self, equation, inputs, origin)

    def folded(self, nodes: tuple[Node, ...], needed: set[str]) -> tuple[Node, ...]:
        """The nodes with calls of library functions as one node each; `needed` are the values that leave the graph."""
        return nodes if self.fold is None else self.fold(self, nodes, needed)


def _parameters(name: str, equation: Any, origin: Origin) -> tuple[tuple[str, Operand], ...]:
    """The parameters of an equation; where a graph cannot hold one, the error says at which line."""
    try:
        return named_parameters(name, equation.params)
    except CaptureError as error:
        where = origin.line or origin.path
        raise CaptureError(error.what, code=error.code, where=where, next=error.next) from error

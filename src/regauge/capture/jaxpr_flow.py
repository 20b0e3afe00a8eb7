"""Control flow of a jaxpr as nodes with bodies, and functions that have a derivative of their own.

The nodes are those of control flow in torch (`regauge.cond`, `regauge.scan`, `regauge.while_loop`), with
`regauge.switch` besides, which torch has not. What a body takes as constants it reads from the graph around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from regauge.capture import jax_compat
from regauge.capture.jaxpr_idle import busy
from regauge.ir.graph import DType, Graph, Operand, Origin, Ref, free_values

if TYPE_CHECKING:
    from regauge.capture.jaxpr_values import Known
    from regauge.capture.jaxpr_walk import Walk

Given = Sequence["Operand | Known"]
CONTROL_FLOW = frozenset({"cond", "while", "scan"})


def control_flow(walk: Walk, equation: Any, inputs: Given, origin: Origin) -> list[Operand | Known]:
    """Write down an equation of control flow; returns its results."""
    return _WRITERS[equation.primitive.name](walk, equation, list(inputs), origin)


def _cond(walk: Walk, equation: Any, inputs: list[Any], origin: Origin) -> list[Operand | Known]:
    index, operands = inputs[0], inputs[1:]
    branches = [_body(walk, branch, operands, [], []) for branch in equation.params["branches"]]
    pred = _predicate(walk, index) if len(branches) == 2 else None
    if pred is not None:
        arguments = (("pred", pred), ("operands", ()))
        return _add(walk, "cond", arguments, branches[::-1], _avals(equation), origin)
    arguments = (("index", value_of(walk, index, equation.invars[0].aval, origin)), ("operands", ()))
    return _add(walk, "switch", arguments, branches, _avals(equation), origin)


def _predicate(walk: Walk, index: Any) -> Operand | None:
    """The boolean of which an index of two branches was made, if it was."""
    made = {value.name: node for node in walk.nodes for value in node.outputs}
    while isinstance(index, Ref) and index.name in made:
        node = made[index.name]
        clamps = node.op == "lax.clamp" and node.argument("min") == 0 and node.argument("max") == 1
        if not clamps and node.op != "lax.convert_element_type":
            break
        index = node.argument("x")
    return index if isinstance(index, Ref) and walk.specs[index.name].dtype == "bool" else None


def _while(walk: Walk, equation: Any, inputs: list[Any], origin: Origin) -> list[Operand | Known]:
    params = equation.params
    first, second = params["cond_nconsts"], params["body_nconsts"]
    carried = [
        value_of(walk, value, variable.aval, origin)
        for value, variable in zip(inputs[first + second :], equation.invars[first + second :], strict=True)
    ]
    avals = [variable.aval for variable in equation.invars[first + second :]]
    ends, held = jax_compat.opened(params["cond_jaxpr"])
    goes_on: _Finish | None = None
    keeps: _Finish | None = None
    if ends.outvars[0].aval.shape:  # under `jax.vmap` each example goes on until its own condition ends

        def goes_on(inner: Walk, given: Given, results: Given) -> list[Operand | Known]:
            return _traced(inner, jnp.any, results, [ends.outvars[0].aval])

        def keeps(inner: Walk, given: Given, results: Given) -> list[Operand | Known]:
            which = inner.run(ends, held, [*inputs[:first], *given])
            shapes = [ends.outvars[0].aval, *avals, *avals]
            return _traced(inner, _where_going_on, [*which, *given, *results], shapes)

    condition = _body(walk, params["cond_jaxpr"], inputs[:first], carried, avals, goes_on)
    step = _body(walk, params["body_jaxpr"], inputs[first : first + second], carried, avals, keeps)
    arguments = (("carried", tuple(carried)), ("differentiable", False))
    return _add(walk, "while_loop", arguments, [condition, step], _avals(equation), origin, packed="carry")


def _traced(walk: Walk, function: Callable[..., Any], values: Given, avals: Sequence[Any]) -> list[Operand | Known]:
    """The results of a function of arrays, written down in a walk."""
    closed = jax.make_jaxpr(function)(*map(jax_compat.shape_of, avals))
    return walk.run(closed.jaxpr, closed.consts, list(values))


def _where_going_on(which: Any, *carried: Any) -> tuple[Any, ...]:
    """Carried values, old ones and then new ones: the new ones where a condition over the first axes holds."""
    count = len(carried) // 2
    pairs = zip(carried[:count], carried[count:], strict=True)
    return tuple(jnp.where(jnp.expand_dims(which, tuple(range(which.ndim, old.ndim))), new, old) for old, new in pairs)


def _scan(walk: Walk, equation: Any, inputs: list[Any], origin: Origin) -> list[Operand | Known]:
    params = equation.params
    fixed, count = params["num_consts"], params["num_carry"]
    given = [
        value_of(walk, value, variable.aval, origin)
        for value, variable in zip(inputs[fixed:], equation.invars[fixed:], strict=True)
    ]
    jaxpr, _ = jax_compat.opened(params["jaxpr"])
    whole = _body(walk, params["jaxpr"], inputs[:fixed], given, [v.aval for v in jaxpr.invars[fixed:]])
    loop = busy(whole.graph, given, count)
    results: dict[int, Operand | Known] = dict(loop.known)
    if loop.outputs:
        body = _Function(loop.body, [whole.names[place] for place in loop.inputs], whole.name)
        settings = (("reverse", bool(params["reverse"])), ("length", jax_compat.dimension(params["length"])))
        avals = [equation.outvars[place].aval for place in loop.outputs]
        made = _loop(
            walk, body, [given[p] for p in loop.inputs], sum(p < count for p in loop.inputs), settings, avals, origin
        )
        results |= dict(zip(loop.outputs, made, strict=True))
    return [results[place] for place in range(len(equation.outvars))]


def _loop(
    walk: Walk,
    body: _Function,
    given: Sequence[Ref],
    count: int,
    settings: tuple[tuple[str, Operand], ...],
    avals: Sequence[Any],
    origin: Origin,
) -> list[Operand | Known]:
    """The node of a scan that carries the first `count` of what it is given; of a map where it carries nothing."""
    init, xs = tuple(given[:count]), tuple(given[count:])
    if not count and xs:
        counts = ((len(avals),),)
        return _add(walk, "map", (("xs", xs),), [body], avals, origin, returned=counts, carried=0)
    arguments: tuple[tuple[str, Operand], ...] = (("init", init), ("xs", xs), *settings)
    cut = (count, len(avals) - count)
    return _add(walk, "scan", arguments, [body], avals, origin, returned=(cut,), packed="carry", carried=count)


def _avals(equation: Any) -> list[Any]:
    return [variable.aval for variable in equation.outvars]


_WRITERS = {"cond": _cond, "while": _while, "scan": _scan}


_Finish = Callable[["Walk", Given, Given], "list[Operand | Known]"]


def _body(
    walk: Walk,
    closed: Any,
    constants: Given,
    like: Sequence[Any],
    avals: Sequence[Any],
    finish: _Finish | None = None,
) -> _Function:
    """A function: what it reads of the graph around it, `constants`, keeps its names; the rest are parameters.

    `finish` makes other results of its parameters and results.
    """
    jaxpr, held = jax_compat.opened(closed)
    names = _argument_names(jaxpr, len(avals))
    inner = walk.inner()
    given = [inner.take(_base(name, place), aval) for place, (name, aval) in enumerate(zip(names, avals, strict=True))]
    results = inner.run(jaxpr, held, [*constants, *given])
    results = results if finish is None else finish(inner, given, results)
    values = [value_of(inner, result, var.aval, Origin()) for result, var in zip(results, jaxpr.outvars, strict=True)]
    return _Function(inner.body_graph(given, values), names, _function_name(jaxpr))


class _Function:
    """A body with the names of its parameters as the person has them."""

    def __init__(self, graph: Graph, names: Sequence[str], name: str) -> None:
        self.graph = graph
        self.names = names
        self.name = name

    def parameters(self, carried: int, packed: str) -> tuple[Operand, ...]:
        """``((name, (names of its leaves, ...)), ...)``: arguments of one tree are one parameter.

        Args:
            carried: how many values the first parameter holds in any case; -1 for all.
            packed: what that parameter is called if it holds several.
        """
        count = len(self.names) if carried < 0 else carried
        groups: list[tuple[str, list[str]]] = []
        for place, name in enumerate(self.names):
            root, leaf = _split(name)
            if place < count and count > 1:
                if not place:
                    groups.append((root if all(_split(n)[0] == root for n in self.names[:count]) else packed, []))
                groups[-1][1].append(leaf or (root if groups[-1][0] != root else ""))
            elif place > count and groups and groups[-1][0] == root and leaf:
                groups[-1][1].append(leaf)
            else:
                groups.append((root, [leaf]))
        if not count and len(groups) > 1:
            groups = [("x", [leaf or name for name, leaves in groups for leaf in leaves])]
        if 0 < count < len(self.names):  # what is scanned over is one argument too
            first, rest = groups[0], groups[1:]
            if len(rest) > 1:
                rest = [("x", [leaf or name for name, leaves in rest for leaf in leaves])]
            groups = [first, *rest]
        return tuple((name, tuple(leaves)) for name, leaves in groups)


def _split(name: str) -> tuple[str, str]:
    """``carry['h']`` as the parameter and the name of the leaf in it, "" where it has none.

    The array of a variable of NNX, ``layer['kernel'].value``, is called after the variable.
    """
    root, *rest = re.findall(r"\w+", name.removesuffix(".value")) or ["x"]
    leaf = rest[-1] if rest and not rest[-1].isdigit() else ""
    return (root if root.isidentifier() else "x"), leaf


def _base(name: str, place: int) -> str:
    root, leaf = _split(name)
    return leaf or root or f"x{place}"


def _argument_names(jaxpr: Any, count: int) -> list[str]:
    info = getattr(jaxpr, "debug_info", None)
    known = list(getattr(info, "arg_names", None) or ())[-count:] if count else []
    return [str(name) for name in known] if len(known) == count else [f"x{place}" for place in range(count)]


def parameter_names(jaxpr: Any, given: Sequence[Any]) -> dict[str, str]:
    """What a function calls the values that it is given, by their names."""
    names = _argument_names(jaxpr, len(given))
    return {
        ref.name: _base(n, at) for at, (ref, n) in enumerate(zip(given, names, strict=True)) if isinstance(ref, Ref)
    }


def _function_name(jaxpr: Any) -> str:
    info = getattr(jaxpr, "debug_info", None)
    return str(getattr(info, "func_name", "") or "").rsplit(".", 1)[-1]


def value_of(walk: Walk, given: Any, aval: Any, origin: Origin) -> Ref:
    """An operand as a value: numbers become arrays."""
    operand = walk.operand(given)
    if isinstance(operand, Ref):
        return operand
    arguments = (("operand", operand), ("shape", ()), ("broadcast_dimensions", ()), ("dtype", DType(str(aval.dtype))))
    made = walk.add("lax.broadcast_in_dim", arguments, [jax.ShapeDtypeStruct((), aval.dtype)], origin, "start")
    if not isinstance(made[0], Ref):
        raise TypeError("a node gives values")
    return made[0]


def _add(
    walk: Walk,
    kind: str,
    arguments: tuple[tuple[str, Operand], ...],
    functions: Sequence[_Function],
    avals: Sequence[Any],
    origin: Origin,
    *,
    returned: Any = None,
    packed: str = "carry",
    carried: int = -1,
) -> list[Operand | Known]:
    graphs = tuple(function.graph for function in functions)
    counts = tuple((len(graph.outputs),) for graph in graphs)
    free = list(dict.fromkeys(name for graph in graphs for name in free_values(graph)))
    settings: Mapping[str, Operand] = {
        "parameters": tuple(f.parameters(carried, packed) for f in functions),
        "returned": counts if returned is None else returned,
        "functions": tuple(function.name for function in functions),
        "closure": tuple(Ref(name) for name in free),
    }
    return walk.add(f"regauge.{kind}", (*arguments, *settings.items()), avals, origin, kind, graphs)


# functions with a derivative of their own ----------------------------------------------------------------------------


def own_derivative(
    walk: Walk, equation: Any, inputs: Given, origin: Origin, function: Callable[..., Any] | None = None
) -> list[Operand | Known]:
    """A function whose derivative the person gave: both as bodies.

    `function` computes its value from the equation's operands, where the equation is no call.

    What the derivative needs it computes from the arguments once more: JAX says what the function saves for it only
    while it differentiates.
    """
    avals = [variable.aval for variable in equation.invars]
    if function is None:
        jaxpr, held = jax_compat.called(equation)
    else:
        jaxpr, held = jax_compat.opened(jax.make_jaxpr(function)(*map(jax_compat.shape_of, avals)))
    values = [value_of(walk, value, aval, origin) for value, aval in zip(inputs, avals, strict=True)]
    names = _argument_names(jaxpr, len(avals))
    inner = walk.inner()
    given = [inner.take(_base(name, place), aval) for place, (name, aval) in enumerate(zip(names, avals, strict=True))]
    results = inner.run(jaxpr, held, list(given))
    outputs = [value_of(inner, result, var.aval, Origin()) for result, var in zip(results, jaxpr.outvars, strict=True)]
    forward = inner.body_graph(given, [*outputs, *given])
    backward, flows = _pullback(walk, equation)
    name = re.sub(r"\W", "", _function_name(jaxpr)).replace("lambda", "") or "function"
    arguments: tuple[tuple[str, Operand], ...] = (
        ("inputs", tuple(values)),
        ("name", name),
        ("flows", flows),
        ("residuals", len(given)),
        ("parameters", (tuple((_base(n, i), ("",)) for i, n in enumerate(names)), _cotangent_names(equation))),
        ("returned", ((len(outputs),), (sum(flows),))),
        ("closure", tuple(Ref(n) for n in dict.fromkeys([*free_values(forward), *free_values(backward)]))),
    )
    return walk.add(
        "regauge.own_gradient", arguments, [v.aval for v in equation.outvars], origin, name, (forward, backward)
    )


def _cotangent_names(equation: Any) -> tuple[Operand, ...]:
    floats = [v for v in equation.outvars if jax.dtypes.issubdtype(v.aval.dtype, jax.numpy.inexact)]
    return tuple((f"gradient_{i}" if len(floats) > 1 else "gradient", ("",)) for i in range(len(floats)))


def _pullback(walk: Walk, equation: Any) -> tuple[Graph, tuple[bool, ...]]:
    """The derivative as a graph of arguments and cotangents, and which arguments it has one for."""
    avals = [variable.aval for variable in equation.invars]
    floats = [i for i, aval in enumerate(avals) if jax.dtypes.issubdtype(aval.dtype, jax.numpy.inexact)]
    results = [i for i, v in enumerate(equation.outvars) if jax.dtypes.issubdtype(v.aval.dtype, jax.numpy.inexact)]

    def function(*chosen: Any, others: Sequence[Any]) -> list[Any]:
        values = list(others)
        for place, value in zip(floats, chosen, strict=True):
            values[place] = value
        found = jax_compat.evaluated(equation, values)
        return [found[i] for i in results]

    def pull(*values: Any) -> list[Any]:
        own, cotangents = values[: len(avals)], values[len(avals) :]
        _, back = jax.vjp(lambda *chosen: function(*chosen, others=own), *(own[i] for i in floats))
        return list(back(list(cotangents)))

    shapes = [jax_compat.shape_of(aval) for aval in avals]
    shapes += [jax_compat.shape_of(equation.outvars[i].aval) for i in results]
    closed = jax.make_jaxpr(pull)(*shapes)
    inner = walk.inner()
    inner.differentiates = True  # the forward function, which a derivative may call, is not differentiated again
    given = [inner.take(f"saved_{i}", v.aval) for i, v in enumerate(closed.jaxpr.invars)]
    found = inner.run(closed.jaxpr, closed.consts, list(given))
    outputs = [
        value_of(inner, result, var.aval, Origin()) for result, var in zip(found, closed.jaxpr.outvars, strict=True)
    ]
    return inner.body_graph(given, outputs), tuple(i in floats for i in range(len(avals)))

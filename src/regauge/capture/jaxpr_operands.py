"""How equations of a jaxpr are nodes: names for their operands, and their parameters as operands of the graph."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from regauge.capture import jax_compat
from regauge.errors import CaptureError
from regauge.ir.graph import DType, Operand

# Names of positional operands; a name with a star takes all that are left, as a tuple.
_OPERANDS: dict[str, tuple[str, ...]] = {
    "dot_general": ("lhs", "rhs"),
    "ragged_dot_general": ("lhs", "rhs", "group_sizes"),
    "conv_general_dilated": ("lhs", "rhs"),
    "select_n": ("which", "*cases"),
    "clamp": ("min", "x", "max"),
    "concatenate": ("*operands",),
    "stack": ("*operands",),
    "pad": ("operand", "padding_value"),
    "gather": ("operand", "indices"),
    "scatter": ("operand", "indices", "updates"),
    "scatter_add": ("operand", "indices", "updates"),
    "scatter_sub": ("operand", "indices", "updates"),
    "scatter_mul": ("operand", "indices", "updates"),
    "scatter_min": ("operand", "indices", "updates"),
    "scatter_max": ("operand", "indices", "updates"),
    "scatter_apply": ("operand", "indices", "updates"),
    "dynamic_slice": ("operand", "*starts"),
    "dynamic_update_slice": ("operand", "update", "*starts"),
    "sort": ("*operands",),
    "reduce": ("*operands",),
    "reduce_window": ("*operands",),
    "reduce_precision": ("operand",),
    "select_and_scatter_add": ("source", "operand"),
    "select_and_gather_add": ("tangents", "operand"),
    "while": ("*operands",),
    "scan": ("*operands",),
    "cond": ("index", "*operands"),
    "broadcast_in_dim": ("operand",),
    "reshape": ("operand",),
    "optimization_barrier": ("*operands",),
    "custom_linear_solve": ("*operands",),
    "rng_uniform": ("a", "b"),
    "random_fold_in": ("keys", "msgs"),
    "random_bits": ("keys",),
    "random_split": ("keys",),
    "random_seed": ("seeds",),
    "random_wrap": ("base",),
    "random_unwrap": ("keys",),
    "random_clone": ("keys",),
    "threefry2x32": ("key1", "key2", "count1", "count2"),
    "triangular_solve": ("a", "b"),
    "regularized_incomplete_beta_integral": ("a", "b", "x"),
    "regularized_incomplete_beta": ("a", "b", "x"),
    "approx_top_k": ("operand",),
    "top_k": ("operand",),
    "tridiagonal_solve": ("dl", "d", "du", "b"),
    "householder_product": ("a", "taus"),
    "ormqr": ("a", "taus", "c"),
}
_DEFAULT = ("x", "y", "z", "w")

# Names of several results, and where the equation has each: in the order that torch has.
_RESULTS: dict[str, tuple[tuple[str, int], ...]] = {
    "svd": (("u", 1), ("s", 0), ("vh", 2)),
    "eigh": (("eigenvalues", 1), ("eigenvectors", 0)),
    "qr": (("q", 0), ("r", 1), ("order", 2)),
    "lu": (("factors", 0), ("pivots", 1), ("order", 2)),
    "slogdet": (("sign", 0), ("logabsdet", 1)),
}

# Parameters that say where arrays lie, how exact a processor may be, or what a pass of JAX needs: no meaning in torch.
_DROPPED = frozenset({
    "sharding", "out_sharding", "accuracy", "split_transpose", "cond_nconsts", "linear", "_split_transpose", "backend",
    "fft_implementation", "unreduced", "reduced", "platform", "inline", "donated_invars", "keep_unused", "name",
    "in_shardings", "out_shardings", "in_layouts", "out_layouts", "ctx_mesh", "compiler_options_kvs", "mesh",
    "algorithm", "transpose_algorithm", "devices", "srcs", "copy_semantics",
    "update_jaxpr", "update_consts", "tangent_jaxpr", "debug_infos", "implementation",
})  # fmt: skip


def named_operands(primitive: str, operands: Sequence[Operand]) -> tuple[tuple[str, Operand], ...]:
    """Operands with their names, in order."""
    names = _OPERANDS.get(primitive.replace("-", "_"))
    if names is None:
        names = _DEFAULT[: len(operands)] if len(operands) <= len(_DEFAULT) else ("*operands",)
    found: list[tuple[str, Operand]] = []
    for position, name in enumerate(names):
        if name.startswith("*"):
            found.append((name[1:], tuple(operands[position:])))
        else:
            found.append((name, operands[position]))
    return tuple(found)


def named_results(primitive: str, count: int) -> tuple[tuple[str, int], ...]:
    """A name for each result of a node, and which result of the equation it is."""
    known = next((_RESULTS[name] for name in _RESULTS if primitive.strip("_").startswith(name)), ())[:count]
    return known if count > 1 and len(known) == count else tuple((primitive, place) for place in range(count))


def named_parameters(primitive: str, params: Mapping[str, Any]) -> tuple[tuple[str, Operand], ...]:
    """The parameters of an equation that mean something, bodies left out.

    Raises:
        CaptureError: a parameter of a kind that the graph cannot hold.
    """
    found: list[tuple[str, Operand]] = []
    if primitive == "reduce":
        found.append(("computations", _computations(params["jaxpr"])))
    for key, value in params.items():
        if key in _DROPPED or hasattr(value, "jaxpr") or hasattr(value, "eqns"):
            continue
        if isinstance(value, tuple) and value and all(hasattr(v, "jaxpr") or hasattr(v, "eqns") for v in value):
            continue
        if key == "impl":  # a generator of random numbers
            found.append((key, str(getattr(value, "tag", value))))
        elif hasattr(value, "_fields"):  # dimension numbers: each field is an attribute of its own
            found += [(name, parameter(primitive, name, getattr(value, name))) for name in value._fields]
        elif key.endswith("dimension_numbers") and not isinstance(value, tuple):
            fields = [name for name in vars(value) if not name.startswith("_")]
            found += [(name, parameter(primitive, name, getattr(value, name))) for name in fields]
        elif callable(value) and not hasattr(value, "multiple_results") and not isinstance(value, type | np.dtype):
            continue
        else:
            found.append((key, parameter(primitive, key, value)))
    return tuple(found)


_ASSOCIATIVE = frozenset({"add", "mul", "max", "min", "and", "or", "xor"})


def _computations(closed: Any) -> tuple[str, ...] | None:
    """The primitives that a reduction applies, one an operand; None if it does anything else."""
    jaxpr, _ = jax_compat.opened(closed)
    count = len(jaxpr.outvars)
    made = {equation.outvars[0]: equation for equation in jaxpr.eqns}
    found = []
    for out, one, other in zip(jaxpr.outvars, jaxpr.invars[:count], jaxpr.invars[count:], strict=True):
        equation = made.get(out) if not jax_compat.is_literal(out) else None
        if equation is None or equation.primitive.name not in _ASSOCIATIVE:
            return None
        if any(jax_compat.is_literal(v) for v in equation.invars) or set(equation.invars) != {one, other}:
            return None
        found.append(equation.primitive.name)
    return tuple(found)


def parameter(primitive: str, name: str, value: Any) -> Operand:
    """One parameter as an operand."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    if isinstance(value, complex):
        return value
    if jax_compat.is_symbolic(value):
        return jax_compat.dimension(value)
    if isinstance(value, tuple | list):
        return tuple(parameter(primitive, name, item) for item in value)
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic | bool | int | float)):
        return DType(jnp.dtype(value).name)
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        return np.asarray(value).item()  # type: ignore[no-any-return]
    if hasattr(value, "multiple_results"):  # a primitive, such as the ge that chooses in a window
        return str(value.name)
    if type(value).__name__ == "KeyTy":
        return DType(str(value))
    if type(value).__name__ == "FftType" or "PRNGImpl" in type(value).__name__:
        return str(getattr(value, "name", value))
    raise CaptureError(
        f"the parameter {name} of {primitive} is a {type(value).__name__}, which a graph cannot hold",
        code="C150",
        next="please report it with this message",
    )

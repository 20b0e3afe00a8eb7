"""Values of a jaxpr that are known at capture, and what the graph says of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.capture import jax_compat
from regauge.dtypes import is_known
from regauge.errors import CaptureError
from regauge.ir.graph import Operand, Origin, Sym, TensorSpec, WeightSpec


@dataclass(frozen=True)
class Known:
    """An array that is known at capture: a literal of the source or computed from such."""

    value: np.ndarray


def known_spec(aval: Any, origin: Origin, name: str = "") -> TensorSpec:
    """Shape and dtype of an abstract value; `name` is what errors call one that no line makes.

    Raises:
        CaptureError: a dtype that torch cannot compute with.
    """
    spec = jax_compat.spec_of(aval)
    if not is_known(spec.dtype):
        raise CaptureError(
            f"the dtype {spec.dtype} has no counterpart in torch",
            code="C154",
            where=origin.line or origin.path or name,
            why="torch has no arrays of it",
            next="keep the numbers in bfloat16, or in float8_e4m3fn or float8_e5m2 and compute in bfloat16"
            if spec.dtype.startswith("float")
            else "keep the numbers in int8 or uint8, which hold them all",
        )
    return spec


def constant_weights(constants: Mapping[str, np.ndarray]) -> list[WeightSpec]:
    """Specs of the arrays that a program holds."""
    return [
        WeightSpec(name, name, TensorSpec(array.shape, str(array.dtype)), "constant", persistent=False)
        for name, array in constants.items()
    ]


def number(array: np.ndarray) -> bool | int | float | complex:
    """A 0-d array as a Python number that is the same value in its dtype, with as few digits as that takes."""
    if array.dtype.kind in "biu":
        return array.item()  # type: ignore[no-any-return]
    if array.dtype == np.float32:
        short = float(str(array))
        # the largest number's few digits say a little more than it is, which torch takes for an overflow
        overflows = np.isfinite(array) and abs(short) > float(np.finfo(np.float32).max)
        return array.item() if overflows else short  # type: ignore[no-any-return]
    if array.dtype.kind == "f" or array.dtype.kind == "c":
        return array.item()  # type: ignore[no-any-return]
    return float(array.astype(np.float64))  # bfloat16 and such


def is_number(array: Any) -> bool:
    return not jnp.issubdtype(array.dtype, jax.dtypes.prng_key) and jnp.issubdtype(array.dtype, jnp.generic)


def folded(equation: Any, inputs: Sequence[Operand | Known]) -> list[Known] | None:
    """The results of an equation of known numbers, if they are numbers again; None for others."""
    if not inputs or not all(isinstance(value, Known) for value in inputs):
        return None
    if equation.effects or any(v.aval.ndim or jax_compat.is_key(v.aval) for v in equation.outvars):
        return None
    if any(getattr(value.value, "ndim", 1) for value in inputs if isinstance(value, Known)):
        return None
    if equation.primitive.name in ("random_seed", "random_unwrap", "random_bits", "rng_uniform"):
        return None
    dtypes = [v.aval.dtype for v in equation.invars]
    given = [jnp.asarray(v.value, t) for v, t in zip(inputs, dtypes, strict=True) if isinstance(v, Known)]
    return [Known(np.asarray(made)) for made in jax_compat.evaluated(equation, given)]


def size_of(equation: Any, inputs: Sequence[Operand | Known]) -> Sym | None:
    """A symbolic size that an equation gives as a number, or computes from such; None for others."""
    name = equation.primitive.name
    if name == "dim_as_value":
        size = jax_compat.dimension(equation.params["dim"])
        return size if isinstance(size, Sym) else None
    integer = all(jnp.issubdtype(v.aval.dtype, jnp.integer) and not v.aval.ndim for v in equation.outvars)
    if not integer or not any(isinstance(value, Sym) for value in inputs):
        return None
    if name in ("convert_element_type", "copy", "copy_p"):
        return inputs[0] if isinstance(inputs[0], Sym) else None
    signs = {"add": "+", "sub": "-", "mul": "*"}
    texts = [v.text if isinstance(v, Sym) else str(v.value) for v in inputs if isinstance(v, Sym | Known)]
    if name not in signs or len(texts) != 2:
        return None
    return Sym(f"({texts[0]}) {signs[name]} ({texts[1]})")


# functions of JAX with a derivative of its own that are one operator of torch each, or few
_OPERATORS = frozenset({
    "jax.logaddexp", "jax.nn.relu", "jax.nn.relu6", "jnp._det", "jnp._pinv",
    "jnp._slogdet_lu", "jnp._slogdet_qr", "jnp._slogdet_small",
})  # fmt: skip


def is_operator(library: str) -> bool:
    """Whether a function of JAX with a derivative of its own has a rule; others keep both as bodies, as a person's."""
    return library in _OPERATORS


def library_name(jaxpr: Any) -> str:
    """``jax.nn.relu`` for a function of JAX itself with a derivative of its own; "" for others."""
    info = getattr(jaxpr, "debug_info", None)
    file = (getattr(info, "func_filename", None) or "").replace("\\", "/")
    _, found, inside = file.rpartition("site-packages/jax/")
    if not found:
        return ""
    name = str(getattr(info, "func_name", "")).rsplit(".", 1)[-1]
    module = inside.removeprefix("_src/").rsplit("/", 1)[0]
    return {"nn": f"jax.nn.{name}", "numpy": f"jnp.{name}", "scipy": f"jax.scipy.{name}"}.get(module, f"jax.{name}")

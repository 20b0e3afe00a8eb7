"""Everything that capture takes from JAX's internals: the one place that knows their versions."""

from __future__ import annotations

import ast
import builtins
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import ad_checkpoint, pjit, random, source_info_util
from jax._src.lax import lax
from jax.extend import core

from regauge.ir.graph import Dim, Frame, Sym, TensorSpec

# The functions behind jax.random: a package since jax 0.10.1, one file before.
RANDOM: Any = random.core if hasattr(random.core, "_uniform") else random
_STANDARD = sysconfig.get_path("stdlib") + "/"
_OWN = str(Path(__file__).resolve().parent.parent) + "/"
_LIBRARIES = ("numpy", "jax", "jaxlib", "flax", "haiku", "equinox", "optax", "chex", "jaxtyping", "keras", "einops")

# Equations that call a jaxpr and do nothing else, and the parameter that holds it; names differ between releases.
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
TRANSPARENT = frozenset({"jit", "pjit", "closed_call", "core_call", "core_closed_call", "xla_call", "custom_lin"})
RECOMPUTED = frozenset({"remat", "checkpoint", "remat2"})
# Where JAX looks for an earlier trace; each takes the function first. A release without them keeps its traces.
TRACE_CACHES = ((ad_checkpoint, "_trace_to_jaxpr"), (pjit, "_infer_params"))
PLATFORM = "platform_index"  # which branch of lax.platform_dependent runs
CUSTOM_JVP = "custom_jvp_call"
CUSTOM_VJP = frozenset({"custom_vjp_call", "custom_vjp_call_jaxpr"})


def called(equation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The open jaxpr that an equation calls, and its constants."""
    body = next(equation.params[key] for key in _CALLS if key in equation.params)
    return (body.jaxpr, tuple(body.consts)) if hasattr(body, "jaxpr") else (body, ())


def policy_name(equation: Any) -> str:
    """What says which results of a function that is recomputed are saved after all, or an empty string."""
    policy = equation.params.get("policy")
    if policy is None:
        return ""
    known = vars(jax.checkpoint_policies).items()
    own = str(getattr(policy, "__qualname__", type(policy).__name__)).partition(".")[0]
    return next((name for name, one in known if one is policy), own)


def opened(jaxpr: Any) -> tuple[Any, tuple[Any, ...]]:
    """The open jaxpr of a closed or open one, and its constants."""
    return (jaxpr.jaxpr, tuple(jaxpr.consts)) if hasattr(jaxpr, "jaxpr") else (jaxpr, ())


def branch_of_cpu(equation: Any) -> int:
    """The branch of `lax.platform_dependent` that a CPU runs, where the original is checked; all are to be the same."""
    platforms = equation.params["platforms"]
    return next(place for place, names in enumerate(platforms) if names is None or "cpu" in names)


def branch(equation: Any, index: int) -> tuple[Any, tuple[Any, ...]]:
    """The open jaxpr of the branch that a `cond` takes for an index, and its constants."""
    branches = equation.params["branches"]
    return opened(branches[min(max(index, 0), len(branches) - 1)])


def is_literal(atom: Any) -> bool:
    return isinstance(atom, core.Literal)


def name_stack(equation: Any) -> str:
    """The scopes that an equation was traced in, outermost first, separated by slashes."""
    return str(equation.source_info.name_stack)


def frames(equation: Any) -> tuple[Frame, ...]:
    """The lines of the person's own source that an equation was traced from, outermost first."""
    traceback = equation.source_info.traceback
    found: list[Frame] = []
    for frame in source_info_util.user_frames(traceback) if traceback else ():
        if is_own(frame.file_name):
            found.append(Frame(frame.file_name, frame.start_line, frame.function_name.rsplit(".", 1)[-1]))
    return tuple(reversed(found))


@lru_cache(maxsize=4096)
def is_own(file: str) -> bool:
    """Whether a file is the person's: neither regauge's own nor that of a library that models are written with."""
    if file.startswith(("<", _OWN)):
        return file.startswith(_OWN + "projects/")
    if "site-packages" not in file:
        return not file.startswith(_STANDARD)
    return file.replace("\\", "/").rpartition("site-packages/")[2].partition("/")[0] not in _LIBRARIES


def dimension(size: Any) -> Dim:
    """A size as the graph has it; a symbolic one keeps its expression."""
    return int(size) if isinstance(size, int | np.integer) else Sym(_python(str(size)))


def _python(text: str) -> str:
    """A size of `jax.export` as Python writes it: ``floordiv(batch, 2)`` is ``batch // 2``."""
    tree = ast.parse(text.replace("^", "**"), mode="eval")
    return ast.unparse(_Division().visit(tree))


class _Division(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        kind = {"floordiv": ast.FloorDiv, "mod": ast.Mod}.get(getattr(node.func, "id", ""))
        return ast.BinOp(node.args[0], kind(), node.args[1]) if kind is not None else node


def is_symbolic(value: Any) -> bool:
    """Whether a value is a size of `jax.export` that is known by name only."""
    return type(value).__name__ == "_DimExpr"


@contextmanager
def symbolic_axis_sizes() -> Iterator[None]:
    """Within the block the size of an axis that `jax.vmap` names may be symbolic.

    `psum(1, name)`, and with it `pmean` and `axis_size`, make a number of that size, although it is only multiplied and
    divided by: every batch norm over a named axis would fix the batch.
    """
    original = lax._const

    def constant(example: Any, value: Any) -> Any:
        return value if is_symbolic(value) else original(example, value)

    lax._const = constant
    try:
        yield
    finally:
        lax._const = original


@contextmanager
def symbolic_lengths() -> Iterator[None]:
    """Within the block ``len(x)`` of an array whose first axis is symbolic is that size, as ``x.shape[0]`` is.

    Python's own takes nothing but a number from `__len__`, so that JAX cannot give it a size.
    """
    original = builtins.len

    def length(value: Any, /) -> Any:
        try:
            return original(value)
        except TypeError:
            if isinstance(value, jax.core.Tracer) and value.ndim and is_symbolic(value.shape[0]):
                return value.shape[0]
            raise

    builtins.len = length
    try:
        yield
    finally:
        builtins.len = original


def spec_of(aval: Any) -> TensorSpec:
    """Shape and dtype of an abstract value; keys of random streams have dtypes such as ``key<fry>``."""
    return TensorSpec(tuple(dimension(size) for size in aval.shape), str(aval.dtype))


def shape_of(aval: Any) -> jax.ShapeDtypeStruct:
    """An abstract value as functions that trace take it."""
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)


def is_key(value: Any) -> bool:
    """Whether an array, abstract or not, holds keys of random streams."""
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def is_partitionable() -> bool:
    """Whether threefry counts as it does by default."""
    return bool(jax.config.values["jax_threefry_partitionable"])


def evaluated(equation: Any, values: list[Any]) -> list[Any]:
    """The results of one equation for known values."""
    found = equation.primitive.get_bind_params(dict(equation.params))
    functions, params = found if isinstance(found, tuple) else ((), found)  # a tuple before jax 0.8
    with equation.ctx.manager:
        made = equation.primitive.bind(*functions, *values, **params)
    return list(made) if equation.primitive.multiple_results else [made]


def donates(jaxpr: Any) -> bool:
    """Whether a jaxpr calls a jitted function that takes the memory of its arguments."""
    body, _ = opened(jaxpr)
    return any(
        any(equation.params.get("donated_invars") or ()) or any(map(donates, branches(equation.params)))
        for equation in body.eqns
    )


def gamma(equation: Any) -> Callable[..., Any]:
    """What the primitive of jax.random.gamma computes, as a function of keys and shape parameters."""
    try:
        from jax._src.random.core import _gamma_impl
    except ImportError:  # before jax 0.10
        from jax._src.random import _gamma_impl  # type: ignore[attr-defined, no-redef]
    log_space = equation.params["log_space"]
    return lambda keys, alphas: _gamma_impl(keys, alphas, log_space=log_space, use_vmap=False)


def branches(params: Mapping[str, Any]) -> Iterator[Any]:
    """The bodies among an equation's parameters."""
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if hasattr(part, "jaxpr") or hasattr(part, "eqns"):
                yield part

"""What a person gives beside the code of a JAX model: arrays that have values, and lie in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from regauge.errors import BadCase, CaptureError, RegaugeError
from regauge.findings import Finding
from regauge.run.jax_trees import is_array

_KINDS = "biufcV"  # of numpy's dtypes that hold numbers; V are those of ml_dtypes


def refuse_given(model: Any, inputs: Any) -> None:
    """Refuse weights and inputs without values, on several devices, or of another library.

    Args:
        model: as `regauge.run.jax_program.program_of` takes it.
        inputs: tuple of positional or dict of keyword arguments.

    Raises:
        BadCase: `inputs` is no tuple or dict; an array is none of numbers, has been deleted, or is a torch tensor; an
            object that is no pytree holds arrays.
        CaptureError: an array is abstract, or lies in parts on several devices.
    """
    if not isinstance(inputs, tuple | dict):
        raise BadCase("args must be a tuple of positional arguments", received=type(inputs).__name__, next="(x,)")
    for what, tree in (("weights", model), ("inputs", inputs)):
        for name, leaf in _leaves(tree):
            error = _refusal(f"{what} {name}".strip(), leaf)
            if error is not None:
                raise error


def refuse_abstract(model: Any) -> None:
    """Refuse weights without values, alone.

    Raises:
        CaptureError: a weight is a `jax.ShapeDtypeStruct`.
    """
    for name, leaf in _leaves(model):
        error = _refusal(f"weights {name}".strip(), leaf) if isinstance(leaf, jax.ShapeDtypeStruct) else None
        if error is not None:
            raise error


def _leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of a pytree, each with its place as Python writes it."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        yield jax.tree_util.keystr(path), leaf


def _refusal(name: str, leaf: Any) -> RegaugeError | None:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return CaptureError(
            f"{name} is a shape without values",
            code="C161",
            received=f"ShapeDtypeStruct {leaf.dtype}{list(leaf.shape)}",
            why="a conversion carries the weights over and is compared with the original on its inputs",
            next="give arrays: what init returns in place of jax.eval_shape(init), jnp.zeros(shape, dtype) for inputs",
        )
    if isinstance(leaf, jax.core.Tracer):
        return CaptureError(
            f"{name} is an array that is still being traced",
            code="C157",
            received=type(leaf).__name__,
            why="a model is converted outside of jit, grad and vmap, where its arrays have values",
            next="call regauge.to_torch outside of the traced function",
        )
    if isinstance(leaf, jax.Array):
        return _refused_array(name, leaf)
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in _KINDS:
        return BadCase(
            f"{name} is no array of numbers",
            code="B112",
            received=f"numpy {leaf.dtype}{list(leaf.shape)}",
            next="give numbers, such as the tokens of a text; keep the rest outside of the model",
        )
    if type(leaf).__module__.partition(".")[0] == "torch":
        return BadCase(
            f"{name} is of torch, and the model is one of JAX",
            code="B112",
            received=type(leaf).__name__,
            next="give arrays of JAX or numpy (tensor.numpy()); regauge.to_jax converts a model of torch",
        )
    if not callable(leaf) and (held := [n for n, v in getattr(leaf, "__dict__", {}).items() if is_array(v)]):
        kind = type(leaf).__name__
        return BadCase(
            f"{name} is a {kind}, whose arrays JAX does not see",
            code="B114",
            received=f"{kind} with {', '.join(held)}",
            next=f"register it, @jax.tree_util.register_dataclass above class {kind}, or give a dict of the arrays",
        )
    return None


def _refused_array(name: str, array: jax.Array) -> RegaugeError | None:
    if array.is_deleted():
        return BadCase(
            f"{name} has been deleted",
            code="B113",
            received=f"{array.dtype}{list(array.shape)}",
            why="a jitted function with donate_argnums took its memory",
            next="keep a copy of what is donated, jnp.array(x), or give what the function returned",
        )
    count = len(array.sharding.device_set)
    if count > 1 and not array.sharding.is_fully_replicated:
        return CaptureError(
            f"{name} lies in parts on {count} devices",
            code="C160",
            received=str(array.sharding)[:120],
            why="a converted module and its figures are those of one device",
            next="give whole arrays, jax.device_get(params); torch.distributed.tensor divides the module afterwards",
        )
    return None


def not_a_number(arrays: dict[str, Any]) -> tuple[Finding, ...]:
    """A finding for weights that hold NaN, if there are any."""
    floats = {name: a for name, a in arrays.items() if jax.numpy.issubdtype(a.dtype, jax.numpy.inexact)}
    names = [name for name, array in floats.items() if bool(np.isnan(np.asarray(array)).any())]
    if not names:
        return ()
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (Finding("C163", "warning", names[0], f"Weights hold NaN: {shown}. They are carried over as they are."),)


def no_parameters(name: str, held: Mapping[str, np.ndarray]) -> tuple[Finding, ...]:
    """A finding for a function that is given alone and holds float arrays with two axes and more: nothing of it trains.

    Args:
        name: of the function.
        held: the arrays of its code, by name.
    """
    wide = [n for n, a in held.items() if a.ndim > 1 and jax.numpy.issubdtype(a.dtype, jax.numpy.inexact)]
    if not wide:
        return ()
    text = (
        f"The function holds {len(wide)} arrays itself, such as {wide[0]}: they are buffers, and none of them trains. "
        "Where they are weights, give model=(function, params)."
    )
    return (Finding("C171", "warning", name, text),)

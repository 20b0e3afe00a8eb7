"""Runs one operator in torch, which is the oracle, and its rule in JAX, and demands that both are the same.

For each sample these must agree with torch: shape and dtype under both 64-bit settings of JAX, values in the
sample's own dtypes (no further from the float64 truth than torch, times a constant) and with every float32
widened to float64 (1e-10), the gradient of every float argument for random cotangents, and the expression that
emission writes for the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from emitted import emitted_function
from samples import (
    BoundRule,
    LimitSample,
    Sample,
    arguments_of,
    dtype_name,
    is_inexact,
    map_tensors,
    results_of,
    rule_of,
    sample,
    spec_of,
    to_numpy,
    torch_op,
)

from regauge.lower.lower import jax_dtype

__all__ = ["BoundRule", "LimitSample", "Sample", "check", "check_limit", "sample"]

# Limits of the equivalence rule: float64 in norm and by element, and the factor on torch's own rounding error.
SAME_FUNCTION = 1e-10
SAME_ELEMENT = 1e-8
ROUNDING_FACTOR = 10.0
# A sample whose oracle is inexact may ask for a wider bound, up to this one.
LARGEST_LOOSE = 1e-7
NULL = 1e-10
# lax.top_k gives places as int32 with 64-bit mode too: they are as large as an axis.
INT32_PLACES = frozenset({"aten.topk.default"})


def check(sample: Sample) -> None:
    """All comparisons of one sample; AssertionError says which failed, with the figures."""
    narrow, wide = BoundRule(sample), BoundRule(sample, widen=True)
    expected = _run_torch(sample.op, narrow.arguments)
    truth, tensors = _run_torch_for_gradient(sample, wide)
    wide_cotangents = [torch.randn(t.shape, dtype=t.dtype) if is_inexact(t) else None for t in truth]
    gradients = None if sample.no_gradient else _torch_gradients(truth, tensors, wide_cotangents)
    places = [place for place, tensor in enumerate(tensors) if tensor.requires_grad]
    scale = _magnitude([*map(to_numpy, wide.tensors), *(to_numpy(t) for t in wide_cotangents if t is not None)])
    least = sample.loose[0] if sample.loose else 0.0
    assert least <= LARGEST_LOOSE, f"a bound of {least} proves nothing"
    with jax.enable_x64(False):
        got = jax.jit(narrow)(*narrow.arrays())
        _same_form(sample.op, got, expected, canonical=True)
        _no_worse(got, expected, truth, scale)
    with jax.enable_x64(True):
        _same_form(sample.op, jax.eval_shape(narrow, *narrow.arrays()), expected, canonical=False)
        emitted = emitted_function(sample, wide)

        def everything(arrays: list[jax.Array], cotangents: list[Any]) -> tuple[Any, Any, Any]:
            outputs = wide(*arrays)
            pulled = _jax_gradients(wide, arrays, cotangents, places) if gradients is not None else None
            return outputs, pulled, emitted(*arrays)

        jax_cotangents = [None if c is None else jnp.asarray(to_numpy(c)) for c in wide_cotangents]
        outputs, pulled, written = jax.jit(everything)(wide.arrays(), jax_cotangents)
        _same_form(sample.op, outputs, truth, canonical=False)
        _same_values("value", outputs, truth, scale, least)
        _same_values("emitted expression", written, truth, scale, least)
        if gradients is not None:
            _same_values("gradient", pulled, gradients, scale, least)


def check_limit(case: LimitSample) -> None:
    """The call reaches the limit of its rule that has this `when`, which gives a reason."""
    limits = {limit.when: limit for limit in rule_of(case.op).limits}
    assert case.when in limits, f"{case.op} has no limit {case.when!r}: {sorted(limits)}"
    limit = limits[case.when]
    assert limit.applies(spec_of(arguments_of(case.op, case.args, case.kwargs)))
    assert limit.reason


def _run_torch(op: str, arguments: Mapping[str, Any]) -> list[torch.Tensor]:
    named = {("from" if name == "from_" else name): value for name, value in arguments.items()}
    schema = torch_op(op)._schema.arguments
    positional = [named[a.name] for a in schema if not a.kwarg_only]
    keyword = {a.name: named[a.name] for a in schema if a.kwarg_only}
    return results_of(torch_op(op)(*positional, **keyword))


def _run_torch_for_gradient(sample: Sample, bound: BoundRule) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    if sample.no_gradient:
        return _run_torch(sample.op, bound.arguments), []
    fresh: list[torch.Tensor] = []

    def leaf(tensor: torch.Tensor, differentiable: bool) -> torch.Tensor:
        fresh.append(tensor.detach().clone().requires_grad_(differentiable and is_inexact(tensor)))
        return fresh[-1]

    arguments = {
        name: map_tensors(value, partial(leaf, differentiable=name not in sample.held))
        for name, value in bound.arguments.items()
    }
    return _run_torch(sample.op, arguments), fresh


def _torch_gradients(
    outputs: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor | None]
) -> list[torch.Tensor]:
    """Gradients of the float tensors; zeros where torch has none."""
    wanted = [t for t in tensors if t.requires_grad]
    pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad and c is not None]
    if not pairs or not wanted:
        return [torch.zeros_like(t) for t in wanted]
    found = torch.autograd.grad([o for o, _ in pairs], wanted, [c for _, c in pairs], allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(wanted, found, strict=True)]


def _jax_gradients(
    fn: Callable[..., list[jax.Array]], arrays: list[jax.Array], cotangents: list[Any], places: Sequence[int]
) -> list[Any]:
    """Gradients of the arrays at these places; for complex numbers torch's are the conjugates of JAX's."""
    if not places:
        return []

    def of_floats(floats: list[jax.Array]) -> list[jax.Array]:
        full = list(arrays)
        for place, value in zip(places, floats, strict=True):
            full[place] = value
        return [o for o in fn(*full) if jnp.issubdtype(o.dtype, jnp.inexact)]

    outputs, pull = jax.vjp(of_floats, [arrays[i] for i in places])
    if not outputs:
        return [jnp.zeros_like(arrays[i]) for i in places]
    return [jnp.conj(g) for g in pull([jnp.conj(c) for c in cotangents if c is not None])[0]]


def _same_form(op: str, got: Sequence[Any], expected: Sequence[torch.Tensor], canonical: bool) -> None:
    assert len(got) == len(expected), f"{len(got)} results instead of {len(expected)}"
    for array, tensor in zip(got, expected, strict=True):
        name = dtype_name(tensor.dtype)
        wanted = jax_dtype(name) if canonical else jnp.dtype(name)
        if op in INT32_PLACES and array.dtype == jnp.int32:
            wanted = jax_dtype("int32" if name == "int64" else name)
        assert tuple(array.shape) == tuple(tensor.shape), f"shape {array.shape} instead of {tuple(tensor.shape)}"
        assert array.dtype == wanted, f"dtype {array.dtype} instead of {wanted} (64-bit {'off' if canonical else 'on'})"


def _real(values: Any) -> np.ndarray:
    """As float64; complex numbers as pairs along a last axis."""
    array = np.asarray(values)
    return np.stack([array.real, array.imag], -1).astype(np.float64) if np.iscomplexobj(array) else array.astype(float)


def _magnitude(arrays: Sequence[np.ndarray]) -> float:
    """Root mean square of all finite float elements: the natural size of rounding noise; 1 if there are none."""
    parts = [_real(a).ravel() for a in arrays if a.size and jnp.issubdtype(a.dtype, jnp.inexact)]
    flat = np.concatenate(parts) if parts else np.ones(1)
    flat = flat[np.isfinite(flat)]
    return float(np.sqrt(np.mean(flat**2))) if flat.size and np.any(flat) else 1.0


def _finite_parts(got: Any, wanted: torch.Tensor, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both as float64, non-finite elements compared by place and sign and then set to zero; and the mask kept."""
    g, w = _real(got), _real(to_numpy(wanted))
    assert g.shape == w.shape, f"{what}: shape {g.shape} instead of {w.shape}"
    finite = np.isfinite(w)
    same = np.array_equal(g[~finite], w[~finite], equal_nan=True) and bool(np.all(np.isfinite(g[finite])))
    assert same, f"{what}: NaN or infinity elsewhere: {g} instead of {w}"
    return np.where(finite, g, 0.0), np.where(finite, w, 0.0), finite


def _same_values(
    what: str, got: Sequence[Any], wanted: Sequence[torch.Tensor], scale: float, least: float = 0.0
) -> None:
    """float64 against float64, at best to `least`; integers and booleans exactly."""
    assert len(got) == len(wanted), f"{what}: {len(got)} instead of {len(wanted)}"
    for array, tensor in zip(got, wanted, strict=True):
        if not is_inexact(tensor):
            _equal(what, array, tensor)
            continue
        g, w, _ = _finite_parts(array, tensor, what)
        if not w.size:
            continue
        wide = tensor.dtype in (torch.float64, torch.complex128)
        rounding = 0.0 if wide else ROUNDING_FACTOR * _epsilon(tensor.dtype)
        bound, element_bound = max(SAME_FUNCTION, rounding, least), max(SAME_ELEMENT, rounding, least)
        norm, noise = np.linalg.norm(w), scale * np.sqrt(w.size)
        null = norm <= NULL * noise
        distance = np.linalg.norm(g - w) / (noise if null else norm)
        element = np.max(np.abs(g - w)) / (scale if null else np.max(np.abs(w)))
        assert distance <= bound, f"{what}: {distance:.1e} in norm: {g} instead of {w}"
        assert element <= element_bound, f"{what}: {element:.1e} by element: {g} instead of {w}"


def _no_worse(
    got: Sequence[Any], expected: Sequence[torch.Tensor], truth: Sequence[torch.Tensor], scale: float
) -> None:
    """In the sample's own dtypes: no further from the float64 truth than torch, times a constant."""
    for array, own, exact in zip(got, expected, truth, strict=True):
        if not is_inexact(own):
            _equal("value", array, own)
            continue
        g, w, finite = _finite_parts(array, own, "value")
        if not w.size:
            continue
        t = np.where(finite, _real(to_numpy(exact)), 0.0)
        t = np.where(np.isfinite(t), t, w)
        size = max(np.linalg.norm(t), 1e-3 * scale * np.sqrt(t.size))
        eps = max(_epsilon(own.dtype), float(jnp.finfo(array.dtype).eps))
        allowed = ROUNDING_FACTOR * max(np.linalg.norm(w - t) / size, eps)
        distance = np.linalg.norm(g - t) / size
        assert distance <= allowed, f"value: {distance:.1e} from float64, allowed {allowed:.1e}: {g} instead of {w}"


def _equal(what: str, array: Any, tensor: torch.Tensor) -> None:
    g, w = np.asarray(array), to_numpy(tensor)
    assert np.array_equal(g, w), f"{what}: {g} instead of {w}"


def _epsilon(dtype: torch.dtype) -> float:
    return (
        torch.finfo(dtype).eps
        if dtype in (torch.float16, torch.bfloat16)
        else (1.2e-7 if dtype in (torch.float32, torch.complex64) else 1e-15)
    )

"""Results of torch against those of JAX: form, values in the own dtype, values in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch

# docs/equivalence.md: float64 in norm and by element; the factor on JAX's own rounding error; null arrays.
SAME_FUNCTION = 1e-10
SAME_ELEMENT = 1e-8
ROUNDING_FACTOR = 10.0
NULL = 1e-10


class Differs(Exception):
    """Two results are not the same."""


def as_array(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def same_form(got: Sequence[torch.Tensor], expected: Sequence[np.ndarray]) -> None:
    """Number, shapes and dtypes of the results, with JAX's 64-bit mode on."""
    if len(got) != len(expected):
        raise Differs(f"{len(got)} results instead of {len(expected)}")
    for tensor, wanted in zip(got, expected, strict=True):
        if tuple(tensor.shape) != np.shape(wanted):
            raise Differs(f"shape {tuple(tensor.shape)} instead of {np.shape(wanted)}")
        if str(tensor.dtype).removeprefix("torch.") != str(wanted.dtype):
            raise Differs(f"dtype {tensor.dtype} instead of {wanted.dtype}")


def no_worse(got: Sequence[np.ndarray], expected: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> None:
    """In the own dtype: no further from the truth than JAX, times a constant; in float64 the same function.

    Args:
        got: of torch.
        expected: of JAX.
        truth: of JAX in float64.
    """
    for array, own, wide in zip(got, expected, truth, strict=True):
        if own.dtype.kind in "biu":
            if not np.array_equal(array, own):
                raise Differs(shown("value", array, own))
            continue
        eps = float(ml_dtypes.finfo(own.dtype).eps)
        g, w, finite = _finite(array, own, "value")
        if not w.size:
            continue
        t = np.where(finite, _wide(wide), 0.0)
        t = np.where(np.isfinite(t), t, w)
        size = float(np.linalg.norm(t.ravel())) or 1.0
        own_error = float(np.linalg.norm((w - t).ravel())) / size
        # JAX may compute in less than the dtype of its result: complex64 multiplied into complex128
        allowed = max(SAME_FUNCTION if eps < 1e-12 else ROUNDING_FACTOR * eps, ROUNDING_FACTOR * own_error)
        distance = float(np.linalg.norm((g - t).ravel())) / size
        if distance > allowed:
            raise Differs(f"{distance:.1e} from float64, allowed {allowed:.1e}; {shown('value', array, own)}")


def same_values(
    what: str, got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], scale: float, eps: float = 0.0
) -> None:
    """float64 against float64; `scale` is the natural size of rounding noise.

    Args:
        what: for the message.
        got: of torch.
        wanted: of JAX.
        scale: natural size of the values.
        eps: rounding of the program's own dtype, where it computes in less than float64 whatever its inputs are.
    """
    same, same_element = max(SAME_FUNCTION, ROUNDING_FACTOR * eps), max(SAME_ELEMENT, ROUNDING_FACTOR * eps)
    for array, expected in zip(got, wanted, strict=True):
        g, w, _ = _finite(array, expected, what)
        if not w.size:
            continue
        norm, noise = float(np.linalg.norm(w.ravel())), scale * np.sqrt(w.size)
        null = norm <= NULL * noise
        distance = float(np.linalg.norm((g - w).ravel())) / (noise if null else norm)
        element = float(np.max(np.abs(g - w))) / (scale if null else float(np.max(np.abs(w))))
        if distance > same or element > same_element:
            raise Differs(f"{distance:.1e} in norm; {shown(what, array, expected)}")


def _wide(array: np.ndarray) -> np.ndarray:
    return np.asarray(array).astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _finite(got: np.ndarray, wanted: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both wide, with zeros where they are not finite, which must be at the same places and of the same kind."""
    g, w = _wide(got), _wide(wanted)
    if g.shape != w.shape:
        raise Differs(f"{what}: shape {g.shape} instead of {w.shape}")
    finite = np.isfinite(w)
    same = not np.any(np.isfinite(g[~finite])) if np.iscomplexobj(w) else _same_infinite(g[~finite], w[~finite])
    if not np.all(np.isfinite(g[finite])) or not same:
        raise Differs(f"NaN or infinity elsewhere; {shown(what, got, wanted)}")
    return np.where(finite, g, 0.0), np.where(finite, w, 0.0), finite


def _same_infinite(g: np.ndarray, w: np.ndarray) -> bool:
    return bool(np.array_equal(g, w, equal_nan=True))


def shown(what: str, got: Any, wanted: Any) -> str:
    def text(value: Any) -> str:
        return " ".join(np.array2string(np.asarray(value), precision=6, threshold=8, edgeitems=2).split())[:90]

    return f"{what} {text(got)} instead of {text(wanted)}"

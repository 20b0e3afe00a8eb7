"""Results of JAX against those of torch: form, values in the own dtype, values in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch

from regauge.capture.in_memory import as_numpy

# docs/equivalence.md: float64 in norm and by element; the factor on torch's own rounding error; null tensors.
SAME_FUNCTION = 1e-10
SAME_ELEMENT = 1e-8
ROUNDING_FACTOR = 10.0
NULL = 1e-10


class Differs(Exception):
    """Two results are not the same."""


def same_form(got: Sequence[Any], expected: Sequence[Any]) -> None:
    """Number, shapes and dtypes of the results, with JAX's 64-bit mode on."""
    if len(got) != len(expected):
        raise Differs(f"{len(got)} results instead of {len(expected)}")
    for array, wanted in zip(got, expected, strict=True):
        if not isinstance(wanted, torch.Tensor):
            continue
        if np.shape(array) != tuple(wanted.shape):
            raise Differs(f"shape {np.shape(array)} instead of {tuple(wanted.shape)}")
        name = str(wanted.dtype).removeprefix("torch.")
        if str(jnp.asarray(array).dtype) != name:
            raise Differs(f"dtype {jnp.asarray(array).dtype} instead of {name}")


def no_worse(got: Sequence[Any], expected: Sequence[Any], truth: Sequence[Any], exact: bool = False) -> None:
    """In the own dtype: no further from the truth than torch, times a constant; in float64 the same function.

    Args:
        got: of JAX.
        expected: of torch.
        truth: of torch in float64.
        exact: whether the truth comes from elsewhere, so that float64 is compared with it too.
    """
    for array, own, wide in zip(got, expected, truth, strict=True):
        if not isinstance(own, torch.Tensor):
            if np.asarray(array).item() != own and not own != own:
                raise Differs(f"{array} instead of {own}")
        elif not (own.is_floating_point() or own.is_complex()):
            if not np.array_equal(np.asarray(array), as_numpy(own)):
                raise Differs(_shown("value", array, own))
        else:
            _no_worse(array, own, wide if isinstance(wide, torch.Tensor) else own, exact)


def _no_worse(array: Any, own: torch.Tensor, wide: torch.Tensor, exact: bool) -> None:
    eps = torch.finfo(own.dtype).eps
    failed = np.isnan(_wide(own)) & np.isfinite(_wide(wide)) & (eps > 1e-12)
    if np.any(failed):  # NaN of torch's own rounding: nothing is further from the number in float64
        array, own = np.where(failed, 0, _wide(array)), torch.where(torch.from_numpy(failed), 0, own)
        wide = torch.where(torch.from_numpy(failed), 0, wide)
    g, w, finite = _finite(array, own, "value")
    if not w.size:
        return
    t = np.where(finite, _wide(wide), 0.0)
    t = np.where(np.isfinite(t), t, w)
    size = float(np.linalg.norm(t.ravel())) or 1.0
    own_error = float(np.linalg.norm((w - t).ravel())) / size
    allowed = SAME_FUNCTION if eps < 1e-12 else ROUNDING_FACTOR * max(own_error, eps)
    distance = float(np.linalg.norm((g - t if exact or eps > 1e-12 else g - w).ravel())) / size
    if distance > allowed:
        raise Differs(f"{distance:.1e} from float64, allowed {allowed:.1e}; {_shown('value', array, own)}")


def same_values(what: str, got: Sequence[Any], wanted: Sequence[torch.Tensor], scale: float) -> None:
    """float64 against float64."""
    for array, tensor in zip(got, wanted, strict=True):
        g, w, _ = _finite(array, tensor, what)
        if not w.size:
            continue
        norm, noise = float(np.linalg.norm(w.ravel())), scale * np.sqrt(w.size)
        null = norm <= NULL * noise
        distance = float(np.linalg.norm((g - w).ravel())) / (noise if null else norm)
        element = float(np.max(np.abs(g - w))) / (scale if null else float(np.max(np.abs(w))))
        if distance > SAME_FUNCTION or element > SAME_ELEMENT:
            raise Differs(f"{distance:.1e} in norm; {_shown(what, array, tensor)}")


def as_near(got: Any, wanted: torch.Tensor, moved: torch.Tensor) -> bool:
    """Whether a result is as near as torch's is to itself when the last digits of the inputs move."""
    g, w, m = _wide(got), _wide(wanted), _wide(moved)
    own, distance = float(np.linalg.norm((m - w).ravel())), float(np.linalg.norm((g - w).ravel()))
    return distance <= max(ROUNDING_FACTOR * own, SAME_FUNCTION * float(np.linalg.norm(w.ravel())))


def _wide(tensor: Any) -> np.ndarray:
    array = as_numpy(tensor) if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _finite(got: Any, wanted: torch.Tensor, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both wide, with zeros where they are not finite, which must be at the same places and of the same kind."""
    g, w = _wide(got), _wide(wanted)
    if g.shape != w.shape:
        raise Differs(f"{what}: shape {g.shape} instead of {w.shape}")
    finite = np.isfinite(w)
    if not np.all(np.isfinite(g[finite])) or not _same_infinite(g[~finite], w[~finite]):
        raise Differs(f"NaN or infinity elsewhere; {_shown(what, got, wanted)}")
    return np.where(finite, g, 0.0), np.where(finite, w, 0.0), finite


def _same_infinite(g: np.ndarray, w: np.ndarray) -> bool:
    """A complex number is not finite as a whole: which of its parts is NaN is nobody's promise."""
    if np.iscomplexobj(w):
        return not bool(np.any(np.isfinite(g)))
    return bool(np.array_equal(g, w, equal_nan=True))


def _shown(what: str, got: Any, wanted: Any) -> str:
    def text(value: Any) -> str:
        return " ".join(np.array2string(np.asarray(value), precision=6, threshold=8, edgeitems=2).split())[:90]

    return f"{what} {text(got)} instead of {text(as_numpy(wanted.detach()))}"

"""Operators that torch.export takes apart or refuses, as operators of our own that stay whole.

`torch.cov` asks for the values of its weights and of their sum to raise an error, `torch.linalg.lstsq` says that the
shape of the residuals depends on values: it has none where a matrix is not of full rank, and `torch.bincount` has more
counts than `minlength` where a value is as large. The schema of `torch.linspace` takes no size that is symbolic. During
capture they become operators of the library ``regauge`` with the same arguments. `torch.geqrf` only lacks its shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor


def _cov(self: Tensor, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    return torch.cov(self, correction=correction, fweights=fweights, aweights=aweights)


def _cov_shape(
    self: Tensor, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    variables = self.shape[0] if self.ndim == 2 else 1
    shape = () if variables == 1 else (variables, variables)
    dtype = self.dtype if self.is_floating_point() or self.is_complex() else torch.get_default_dtype()
    if aweights is not None:
        dtype = torch.promote_types(dtype, aweights.dtype)
    return self.new_empty(shape, dtype=dtype)


def _corrcoef(self: Tensor) -> Tensor:
    return torch.corrcoef(self)


def _corrcoef_shape(self: Tensor) -> Tensor:
    return _cov_shape(self, 1, None, None)


def _lstsq(self: Tensor, b: Tensor, rcond: float | None = None, driver: str | None = None) -> tuple[Tensor, ...]:
    return tuple(torch.linalg.lstsq(self, b, rcond, driver=driver))


def _lstsq_shape(self: Tensor, b: Tensor, rcond: float | None = None, driver: str | None = None) -> tuple[Tensor, ...]:
    rows, columns = self.shape[-2:]
    vector = b.ndim == 1 or (b.ndim == self.ndim - 1 and b.shape == self.shape[:-1])
    batch = torch.broadcast_shapes(self.shape[:-2], b.shape[:-1] if vector else b.shape[:-2])
    sides = () if vector else (b.shape[-1],)
    real = self.dtype.to_real()
    residuals = (*batch, *(sides or (1,))) if rows > columns and driver not in (None, "gelsy") else (0,)
    rank = (0,) if driver == "gels" else self.shape[:-2]
    values = (*self.shape[:-2], min(rows, columns)) if driver in ("gelsd", "gelss") else (0,)
    return (
        self.new_empty((*batch, columns, *sides)),
        self.new_empty(residuals, dtype=real),
        self.new_empty(rank, dtype=torch.int64),
        self.new_empty(values, dtype=real),
    )


def _bincount(self: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    return torch.bincount(self, weights, minlength)[:minlength]


def _bincount_shape(self: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    if weights is None:
        return self.new_empty(minlength, dtype=torch.int64)
    return self.new_empty(minlength, dtype=torch.float32 if weights.dtype is torch.float32 else torch.float64)


def _linspace_shape(
    start: Any,
    end: Any,
    steps: Any,
    *,
    dtype: torch.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Tensor:
    return torch.empty(steps, dtype=dtype, device=device)


def _geqrf_shape(self: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(self), self.new_empty((*self.shape[:-2], min(self.shape[-2:])))


def _define(library: torch.library.Library, name: str, schema: str, run: Any, shaped: Any) -> None:
    def differentiable(first: Tensor, *others: Any) -> Any:
        # Operators of torch know their own derivatives; where only shapes are traced, the tracer must see this one.
        if not isinstance(first, FakeTensor | FunctionalTensor):
            return run(first, *others)
        with torch._C._AutoDispatchBelowAutograd():
            return getattr(torch.ops.regauge, name).default(first, *others)

    library.define(name + schema)
    for device in ("CPU", "CUDA"):
        library.impl(name, run, device)
        library.impl(name, differentiable, f"Autograd{device}")
    torch.library.register_fake(f"regauge::{name}", shaped, lib=library)


_LIBRARY = torch.library.Library("regauge", "FRAGMENT")
_define(
    _LIBRARY,
    "cov",
    "(Tensor self, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor",
    _cov,
    _cov_shape,
)
_define(_LIBRARY, "corrcoef", "(Tensor self) -> Tensor", _corrcoef, _corrcoef_shape)
_define(
    _LIBRARY,
    "lstsq",
    "(Tensor self, Tensor b, float? rcond=None, str? driver=None) -> (Tensor, Tensor, Tensor, Tensor)",
    _lstsq,
    _lstsq_shape,
)
_define(
    _LIBRARY,
    "bincount",
    "(Tensor self, Tensor? weights=None, int minlength=0) -> Tensor",
    _bincount,
    _bincount_shape,
)
_LIBRARY.define(
    "linspace(Scalar start, Scalar end, SymInt steps, *, ScalarType? dtype=None, Layout? layout=None, "
    "Device? device=None, bool? pin_memory=None) -> Tensor"
)
_LIBRARY.impl("linspace", torch.ops.aten.linspace.default, "CompositeExplicitAutograd")
torch.library.register_fake("regauge::linspace", _linspace_shape, lib=_LIBRARY)
_SHAPES = torch.library.Library("aten", "IMPL")
_SHAPES.impl("geqrf", _geqrf_shape, "Meta")


def _whole_cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    found: Tensor = torch.ops.regauge.cov(input, correction, fweights, aweights)
    return found


def _whole_corrcoef(input: Tensor) -> Tensor:
    found: Tensor = torch.ops.regauge.corrcoef(input)
    return found


def _whole_lstsq(input: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    results = torch.ops.regauge.lstsq(input, b, rcond, driver)
    return torch.return_types.linalg_lstsq(results)  # type: ignore[attr-defined]


def _whole_bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    if minlength == 0:  # then its length is that of the values
        return torch.bincount(input, weights)
    found: Tensor = torch.ops.regauge.bincount(input, weights, minlength)
    return found


def _whole_linspace(start: Any, end: Any, steps: Any, **options: Any) -> Tensor:
    given = {name: value for name, value in options.items() if value not in (None, False, torch.strided)}
    plain = any(isinstance(place, Tensor | complex) for place in (start, end)) or "out" in given
    if plain or not isinstance(steps, torch.SymInt):
        return torch.linspace(start, end, steps, **options)
    leaf = given.pop("requires_grad", False)
    dtype = given.pop("dtype", torch.get_default_dtype())
    found: Tensor = torch.ops.regauge.linspace(start, end, steps, dtype=dtype, **given)
    return found.requires_grad_() if leaf else found


# Function of torch -> what is called in its place during capture.
WHOLE: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.linspace: _whole_linspace,
    torch.cov: _whole_cov,
    torch.Tensor.cov: _whole_cov,
    torch.corrcoef: _whole_corrcoef,
    torch.Tensor.corrcoef: _whole_corrcoef,
    torch.linalg.lstsq: _whole_lstsq,
    torch.bincount: _whole_bincount,
    torch.Tensor.bincount: _whole_bincount,
}

"""The entries of PyTorch's `op_db`, their dtypes and their sample inputs as modules of tensors."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import scipy.special
import torch
from torch import nn
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pytree

# Entries that change their arguments: they get copies, since a JAX function changes nothing that it is given.
IN_PLACE = {
    *("cauchy", "exponential", "geometric", "log_normal", "normal_in_place", "uniform"),
    *("_batch_norm_with_update", "_native_batch_norm_legit", "native_batch_norm"),
    *("nn_functional_batch_norm", "nn_functional_instance_norm"),
}
# Decompositions whose results have free signs, phases or null vectors. Their sample inputs carry torch's own function
# of the results that does not see this freedom (`output_process_fn_grad`); it becomes part of the call.
FREE = frozenset({"linalg_eig", "linalg_eigh", "linalg_svd", "svd", "svd_lowrank", "pca_lowrank"})
# A derivative that only holds where the matrix is Hermitian, which the samples are not: torch makes them so.
HERMITIAN = frozenset({"linalg_pinv_hermitian"})
# torch's own float64 is wrong in the seventh digit: SciPy says what is right.
EXACT: dict[str, Callable[..., Any]] = {
    "special_bessel_j0": scipy.special.j0,
    "special_bessel_j1": scipy.special.j1,
    "special_bessel_y0": scipy.special.y0,
    "special_bessel_y1": scipy.special.y1,
    "special_airy_ai": lambda x: scipy.special.airy(x)[0],
}
# Which of several equal elements an index names is open in torch: the elements at the indices are compared. The number
# is the place of `dim` among the arguments after the first.
TIED = {"kthvalue": 1, "mode": 0, "sort": 0, "argsort": 0, "topk": 1}
# torch keeps the gradient of the chunked form as a constant, so its second derivative is 0 where it is none.
NO_SECOND = frozenset({"nn_functional_linear_cross_entropy_chunked", "nn_functional_linear_cross_entropy_chunked_none"})
# Two floating dtypes, an integer one, bool, a narrow and a complex one stand for all.
DTYPES = (torch.float64, torch.float32, torch.int64, torch.bool, torch.bfloat16, torch.complex64)


class Call(nn.Module):
    """One call of an operator: its tensors are the arguments, everything else is fixed."""

    def __init__(self, op: Callable[..., Any], leaves: list[Any], spec: pytree.TreeSpec) -> None:
        super().__init__()
        self.op, self.spec = op, spec
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        self.changes = False
        self.invariant: Callable[[Any], Any] | None = None
        self.fixed = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]

    def forward(self, *tensors: torch.Tensor) -> Any:
        leaves = list(self.fixed)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor.clone() if self.changes else tensor
        first, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        results = self.op(first, *args, **kwargs)
        return results if self.invariant is None else self.invariant(results)

    def widened(self) -> Call:
        """The same call where dtypes that are named are widened too."""
        leaves = [WIDE.get(leaf, leaf) if isinstance(leaf, torch.dtype) else leaf for leaf in self.fixed]
        call = Call(self.op, leaves, self.spec)
        call.places, call.changes, call.invariant = self.places, self.changes, self.invariant
        return call


WIDE = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}


@dataclass(frozen=True)
class Problem:
    """One sample input of an entry.

    Attributes:
        number: which of the entry's samples it is.
        call: the operator with what is fixed.
        tensors: its arguments, detached.
        differentiable: the places of those that torch differentiates by.
        exact: the function on float64 arrays where torch's own is not exact.
    """

    number: int
    call: Call
    tensors: tuple[torch.Tensor, ...]
    differentiable: tuple[int, ...] = ()
    exact: Callable[..., Any] | None = None


@cache
def entries() -> dict[str, Any]:
    """OpInfo by its full name (with the variant)."""
    return {op.formatted_name: op for op in op_db}


def dtypes_of(op: Any) -> list[torch.dtype]:
    """Those of `DTYPES` that torch has for this entry on the CPU; where it has none of them, its first own one."""
    own = [dtype for dtype in DTYPES if dtype in op.dtypes]
    return own or sorted(op.dtypes, key=str)[:1]


def problems(op: Any, dtype: torch.dtype, most: int | None, gradient: bool = True) -> Iterator[Problem]:
    """The sample inputs of an entry in one dtype, with the same numbers in every run.

    Args:
        op: the OpInfo.
        dtype: of the samples.
        most: how many at most, spread over all of them; None for all.
        gradient: whether gradients are taken: PyTorch has other samples then, of some entries fewer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        random.seed(0)
        inexact = dtype.is_floating_point or dtype.is_complex
        samples = list(op.sample_inputs("cpu", dtype, requires_grad=gradient and op.supports_autograd and inexact))
    step = 1.0 if most is None else max(1.0, len(samples) / most)
    chosen = [int(i * step) for i in range(len(samples))]
    for number in itertools.takewhile(lambda i: i < len(samples), chosen):
        sample = samples[number]
        leaves, spec = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
        marked = [leaf.requires_grad for leaf in leaves if isinstance(leaf, torch.Tensor)]
        leaves = [leaf.detach() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        call = Call(_function(op), leaves, spec)
        call.changes = op.formatted_name in IN_PLACE
        if op.formatted_name in FREE:
            call.invariant = sample.output_process_fn_grad
        differentiable = tuple(i for i, m in enumerate(marked) if m)
        tensors = tuple(leaves[i] for i in call.places)
        yield Problem(number, call, tensors, differentiable, EXACT.get(op.formatted_name))


def _function(op: Any) -> Callable[..., Any]:
    """What is called: the operator, or what of it is defined."""
    name = op.formatted_name
    if name in HERMITIAN:
        return partial(op.gradcheck_wrapper, op.op)
    return partial(_with_elements, op.op, TIED[name]) if name in TIED else op.op


def _with_elements(
    function: Callable[..., Any], place: int, x: torch.Tensor, *args: Any, **kwargs: Any
) -> tuple[torch.Tensor, ...]:
    """Values, and the elements that the indices name."""
    results = function(x, *args, **kwargs)
    values, indices = results if isinstance(results, tuple) else (x.detach().sum(), results)
    if x.ndim == 0:
        return (values,)
    dim = kwargs.get("dim", args[place] if len(args) > place else -1)
    return values, x.gather(dim, indices if indices.ndim == x.ndim else indices.unsqueeze(dim))

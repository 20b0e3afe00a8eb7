"""One case of JAX's own tests of its primitives: converted by `regauge.to_torch` and compared with JAX.

In the case's own dtype the values must be no further from float64 than JAX's own, times a constant; in float64 and
complex128 they must agree to the bounds of docs/equivalence.md, and so must the gradient for random cotangents.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import torch

import regauge
from harnesses.comparing import Differs, as_array, no_worse, same_form, same_values
from harnesses.invariants import invariants, meaningful
from harnesses.promises import breaks_promise
from regauge.errors import CaptureError, UnsupportedOps
from regauge.run.torch_model import as_tensor

Kind = Literal["right", "limit", "refused", "wrong", "fails", "not comparable"]
Part = Literal["forward", "gradient"]


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        kind: right; limit (primitives that the rule table refuses, with a reason); refused (capture refuses, with a
            reason); wrong (something differs); fails (an error that is no refusal); not comparable (JAX itself raises).
        what: what differs or the message.
        part: where it stopped.
    """

    kind: Kind
    what: str = ""
    part: Part = "forward"


def judge(harness: Any) -> Outcome:
    """Convert one case and compare values and gradient."""
    arguments = [_array(a) for a in harness.dyn_args_maker(np.random.RandomState(42))]
    try:
        expected = _results(harness.dyn_fun, arguments)
    except Exception as error:
        return Outcome("not comparable", _short(error))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = regauge.to_torch(harness.dyn_fun, tuple(arguments), dynamic=None)
    except UnsupportedOps as error:
        return Outcome("limit", _reason(error))
    except CaptureError as error:
        return Outcome("refused", _short(error))
    except Exception as error:
        return Outcome("fails", _short(error))
    outcome = _outcome("forward", lambda: _compare_forward(model, harness, arguments, expected))
    if outcome.kind != "right" or not differentiable(arguments, expected) or breaks_promise(harness, arguments):
        return outcome
    return _outcome("gradient", lambda: _compare_gradient(harness, arguments))


def _outcome(part: Part, compare: Callable[[], None]) -> Outcome:
    try:
        compare()
    except Differs as difference:
        return Outcome("wrong", str(difference), part)
    except NoGradient:
        return Outcome("right")
    except UnsupportedOps as error:
        return Outcome("limit", _reason(error), part)
    except Exception as error:
        return Outcome("fails", _short(error), part)
    return Outcome("right")


def _array(value: Any) -> Any:
    return jnp.asarray(value)


def _results(function: Callable[..., Any], arguments: Sequence[Any]) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(jax.jit(function)(*arguments))]


def _tensors(model: torch.nn.Module, arguments: Sequence[Any]) -> list[torch.Tensor]:
    found = model(*(as_tensor(np.asarray(a)) for a in arguments))
    return torch.utils._pytree.tree_leaves(found)


def _compare_forward(model: Any, harness: Any, arguments: Sequence[Any], expected: Sequence[np.ndarray]) -> None:
    outputs = _tensors(model, arguments)
    same_form(outputs, expected)
    sides = ([as_array(o) for o in outputs], expected, _truth(harness, arguments, expected))
    no_worse(*(invariants(harness.group_name, side, np) for side in sides))


def _truth(harness: Any, arguments: Sequence[Any], expected: Sequence[np.ndarray]) -> list[np.ndarray]:
    """JAX's results with all inputs in float64; its own where the case has no such form."""
    try:
        truth = _results(harness.dyn_fun, [_widened(a) for a in arguments])
    except Exception:
        return list(expected)
    same = [t.shape for t in truth] == [e.shape for e in expected]
    return truth if same else list(expected)


def _widened(array: Any) -> Any:
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        return array.astype(jnp.complex128)
    return array.astype(jnp.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array


# XLA's trigamma, the derivative, is wrong far below zero: of -9.7238 it is 16.86, which torch gives, not -8e18.
_POSITIVE = frozenset({"digamma"})


class NoGradient(Exception):
    """JAX itself has no gradient for this case."""


def _inexact(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.inexact)


def differentiable(arguments: Sequence[Any], expected: Sequence[np.ndarray]) -> bool:
    """Whether there is a gradient to compare: it is compared in float64, once for float32 and float64."""
    wide = {"float32", "float64", "complex64", "complex128"}
    return any(str(a.dtype) in wide for a in arguments) and any(_inexact(e) for e in expected)


def _compare_gradient(harness: Any, arguments: Sequence[Any]) -> None:
    """The gradient in float64 or complex128 for random cotangents."""
    wide = [_widened(a) for a in arguments]
    if harness.group_name in _POSITIVE:
        wide = [jnp.abs(a) for a in wide]
    places = [i for i, a in enumerate(wide) if _inexact(a)]

    def chosen(*values: Any) -> list[Any]:
        given = list(wide)
        for place, value in zip(places, values, strict=True):
            given[place] = value
        leaves = [leaf for leaf in jax.tree.leaves(harness.dyn_fun(*given)) if _inexact(leaf)]
        return invariants(harness.group_name, leaves, jnp)

    generator = np.random.RandomState(1)
    try:
        jax.eval_shape(harness.dyn_fun, *wide)  # some cases have numbers of their own dtype, and no form in float64
        outputs, pull = jax.vjp(chosen, *(wide[i] for i in places))
        # a NaN has no derivative: it is compared nowhere
        cotangents = [np.where(np.isnan(out), 0, _random(generator, out)) for out in outputs]
        wanted = [np.asarray(g) for g in pull([jnp.asarray(c) for c in cotangents])]
        _require_own(outputs, chosen(*(wide[i] for i in places)))
    except Exception as error:
        raise NoGradient from error
    model = regauge.to_torch(harness.dyn_fun, tuple(wide), dynamic=None)
    tensors = [as_tensor(np.asarray(a)) for a in wide]
    leaves = [tensors[i].requires_grad_(True) for i in places]
    made = [t for t in torch.utils._pytree.tree_leaves(model(*tensors)) if t.is_floating_point() or t.is_complex()]
    made = invariants(harness.group_name, made, torch)
    used = [(m, as_tensor(c)) for m, c in zip(made, cotangents, strict=True) if m.requires_grad]
    # JAX pulls back without conjugation, torch with: grad = conj(vjp(conj(cotangent)))
    found = (
        torch.autograd.grad([m for m, _ in used], leaves, [c.conj() for _, c in used], allow_unused=True)
        if used
        else [None] * len(leaves)
    )
    got = [np.zeros_like(w) if g is None else as_array(g.conj()) for g, w in zip(found, wanted, strict=True)]
    scale = max(
        [
            1.0,
            *(
                float(np.max(np.abs(np.where(np.isfinite(w), w, 0))))
                for w in [*map(np.asarray, wide), *cotangents]
                if np.size(w) and np.asarray(w).dtype.kind in "fc"
            ),
        ]
    )
    got, wanted = ([meaningful(harness.group_name, g) for g in side] for side in (got, wanted))
    same_values("gradient", got, wanted, scale, _least_exact(outputs))


def _require_own(outputs: Sequence[Any], forward: Sequence[Any]) -> None:
    """JAX differentiates the function that it computes. It does not for `eigh` of one triangle of a matrix: there the
    rule of its derivative makes the matrix symmetric first, and has the eigenvalues of another one.

    Raises:
        NoGradient: the results are other ones as soon as JAX differentiates.
    """
    for own, other in zip(outputs, forward, strict=True):
        scale = float(jnp.max(jnp.abs(other), initial=1.0, where=jnp.isfinite(other)))
        if not bool(jnp.allclose(own, other, rtol=0.0, atol=1e-5 * scale, equal_nan=True)):
            raise NoGradient


def _least_exact(outputs: Sequence[Any]) -> float:
    """The rounding of results whose dtype the program writes down (a preferred float32), 0 where all are wide."""
    return max((eps for out in outputs if (eps := float(jnp.finfo(out.dtype).eps)) > 1e-12), default=0.0)


def _random(generator: np.random.RandomState, like: Any) -> np.ndarray:
    values = generator.standard_normal(like.shape)
    if jnp.issubdtype(like.dtype, jnp.complexfloating):
        values = values + 1j * generator.standard_normal(like.shape)
    return np.asarray(values, like.dtype)


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip()}"[:300].replace("\n", " | ")


def _reason(error: UnsupportedOps) -> str:
    return "; ".join(error.details)[:300]

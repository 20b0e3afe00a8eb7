"""One sample of one entry: converted by `regauge.to_jax`, jitted, and compared with torch.

In the sample's own dtype the values must be no further from float64 than torch's own, times a constant; in float64 and
complex128 they must agree to the bounds of docs/equivalence.md, and so must the gradient for random cotangents and, for
the first samples, the derivative of the gradient along a random direction (forward over reverse).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.utils import _pytree as pytree

import regauge
from opdb.comparing import Differs, as_near, no_worse, same_form, same_values
from opdb.entries import Call, Problem
from regauge.capture.in_memory import as_numpy
from regauge.errors import BadCase, CaptureError, UnsupportedOps

Kind = Literal["right", "by value", "limit", "refused", "wrong", "fails", "not comparable"]

# C104: sizes or Python numbers from values; B122: an output that is no tensor, but a number computed from some;
# C243: bincount, whose largest value decides
BY_VALUE = {"C104", "B122", "C243"}
Part = Literal["forward", "gradient", "second derivative"]
SEEDS = 16  # of which all may draw the same by chance: the windows of a fractional pool have few places


@dataclass(frozen=True)
class Outcome:
    """What became of one sample.

    Attributes:
        kind: right; by value (a size or a Python number depends on values of tensors); limit (operators that the rule
            table refuses, with a reason); refused (torch.export cannot capture it); wrong (something differs); fails
            (an error that is no refusal); not comparable (torch itself raises).
        what: what differs or the message.
        part: where it stopped.
    """

    kind: Kind
    what: str = ""
    part: Part = "forward"


def judge(problem: Problem, *, gradient: bool, second: bool, random: bool, values: bool = True) -> Outcome:
    """Convert one sample and compare everything.

    Args:
        problem: the sample.
        gradient: whether the entry has a derivative in this dtype.
        second: whether the derivative of the gradient is compared too.
        random: whether results are drawn at random: then only form and reproducibility count here.
        values: False where the memory of the results is not set.
    """
    try:
        expected = _torch_outputs(problem.call, problem.tensors)
    except Exception as error:
        return Outcome("not comparable", _short(error))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = regauge.to_jax(problem.call, problem.tensors, train=random)
    except UnsupportedOps as error:
        return Outcome("limit", _reason(error))
    except (CaptureError, BadCase) as error:
        if error.code == "C168" and not values:  # memory that torch does not set may differ between two calls
            return Outcome("not comparable", _short(error))
        return Outcome("by value" if error.code in BY_VALUE else "refused", _short(error))
    except Exception as error:
        return Outcome("fails", _short(error))
    if random or not values:
        return _outcome("forward", lambda: _compare_form(model, problem, expected, random))
    outcome = _outcome("forward", lambda: _compare_forward(model, problem, expected))
    if not gradient or outcome.kind != "right":
        return outcome
    pulled: list[Pulled] = []
    outcome = _outcome("gradient", lambda: pulled.extend(_compare_gradient(model, problem, second)))
    if not pulled or not second:
        return outcome
    return _outcome("second derivative", lambda: _compare_second(pulled[0]))


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


def _compare_form(model: Any, problem: Problem, expected: Sequence[Any], random: bool) -> None:
    arrays = [jnp.asarray(as_numpy(t)) for t in problem.tensors]

    def drawn(key: jax.Array) -> list[Any]:
        return jax.tree.leaves(model.apply(model.params, model.state, *arrays, rng=key)[0])

    once = jax.jit(drawn)
    first, again = once(jax.random.key(0)), once(jax.random.key(0))
    same_form(first, expected)
    if random and any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True)):
        raise Differs("the same key gives other numbers")


def _compare_forward(model: Any, problem: Problem, expected: Sequence[Any]) -> None:
    outputs = jax.tree.leaves(model(*map(as_numpy, problem.tensors)))
    same_form(outputs, expected)
    if problem.exact is None:
        no_worse(outputs, expected, _truth(problem, expected))
    else:
        truth = torch.as_tensor(problem.exact(*(as_numpy(t).astype(np.float64) for t in problem.tensors)))
        no_worse(outputs, expected, [truth], exact=True)


def _truth(problem: Problem, expected: Sequence[Any]) -> list[Any]:
    """Torch's results with everything widened to float64; its own where the operator has no such form."""
    try:
        truth = _torch_outputs(problem.call.widened(), [_widened(t) for t in problem.tensors])
    except Exception:
        return list(expected)
    same = len(truth) == len(expected) and all(
        getattr(a, "shape", None) == getattr(b, "shape", None) for a, b in zip(truth, expected, strict=True)
    )
    return truth if same else list(expected)


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor


class NoGradient(Exception):
    """Torch itself has no gradient for this sample."""


@dataclass(frozen=True)
class Pulled:
    """Both gradients of one sample, to differentiate them again.

    Attributes:
        pull: JAX's, a function of the arrays.
        arrays: what the gradient is of.
        leaves: the same in torch.
        gradients: torch's, with their graph.
        scale: the natural size of rounding noise.
    """

    pull: Callable[[list[Any]], list[Any]]
    arrays: list[Any]
    leaves: list[torch.Tensor]
    gradients: tuple[torch.Tensor, ...]
    scale: float


def _compare_gradient(model: Any, problem: Problem, keep: bool) -> list[Pulled]:
    """The gradient in float64 or complex128; both gradients where they are real and to be kept."""
    wide = [_widened(t) for t in problem.tensors]
    call: Callable[..., Any] = problem.call
    if any(w.dtype != t.dtype for w, t in zip(wide, problem.tensors, strict=True)):
        call = problem.call.widened()
        model = regauge.to_jax(call, tuple(wide))
    places = list(problem.differentiable)
    leaves = [t.clone().requires_grad_(i in places) for i, t in enumerate(wide)]
    try:
        outputs = _torch_outputs(call, leaves)
    except RuntimeError as error:  # "not differentiable with respect to argument"
        raise NoGradient from error
    chosen = [i for i, out in enumerate(outputs) if isinstance(out, torch.Tensor) and out.requires_grad]
    if not chosen or not places:
        return []
    generator = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(outputs[i].shape, dtype=outputs[i].dtype, generator=generator) for i in chosen]
    wanted = [leaves[i] for i in places]
    try:
        found = torch.autograd.grad(
            [outputs[i] for i in chosen], wanted, cotangents, allow_unused=True, create_graph=keep
        )
    except RuntimeError as error:
        raise NoGradient from error
    gradients = _filled(found, wanted)
    pull = _puller(model, wide, places, chosen, cotangents)
    arrays = [as_numpy(wide[i]) for i in places]
    scale = _scale([*wide, *cotangents])
    got = jax.jit(pull)(arrays)
    try:
        same_values("gradient", got, gradients, scale)
    except Differs:
        moved = _gradients(call, _moved(wide), places, chosen, cotangents)
        if not all(map(as_near, got, gradients, moved)):
            raise
    real = keep and not any(t.is_complex() for t in [*wide, *cotangents])
    return [Pulled(pull, arrays, wanted, gradients, scale)] if real else []


def _gradients(
    call: Callable[..., Any],
    tensors: Sequence[torch.Tensor],
    places: Sequence[int],
    chosen: Sequence[int],
    cotangents: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    leaves = [t.clone().requires_grad_(i in places) for i, t in enumerate(tensors)]
    outputs, wanted = _torch_outputs(call, leaves), [leaves[i] for i in places]
    return _filled(torch.autograd.grad([outputs[i] for i in chosen], wanted, cotangents, allow_unused=True), wanted)


def _moved(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The inputs with their last digits moved: what a result changes by is no mistake of anyone."""
    generator = torch.Generator().manual_seed(3)
    step = torch.finfo(torch.float64).eps
    return [
        t * (1 + step * torch.randn(t.shape, dtype=t.real.dtype, generator=generator))
        if _is_inexact(as_numpy(t))
        else t
        for t in tensors
    ]


def _filled(found: Sequence[torch.Tensor | None], like: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Zeros where there is no gradient; the sum makes numbers of the zeros that autograd keeps without memory."""
    return tuple(torch.zeros_like(t) + (0 if g is None else g) for t, g in zip(like, found, strict=True))


def _puller(
    model: Any,
    tensors: Sequence[torch.Tensor],
    places: Sequence[int],
    chosen: Sequence[int],
    cotangents: Sequence[torch.Tensor],
) -> Callable[[list[Any]], list[Any]]:
    """Torch's gradient in JAX: for complex numbers the conjugate of JAX's, of conjugate cotangents."""
    arrays = [jnp.asarray(as_numpy(t)) for t in tensors]

    def forward(part: list[Any]) -> list[Any]:
        full = list(arrays)
        for place, value in zip(places, part, strict=True):
            full[place] = value
        outputs = jax.tree.leaves(model.apply(model.params, model.state, *full)[0])
        return [outputs[i] for i in chosen]

    def pull(part: list[Any]) -> list[Any]:
        pulled = jax.vjp(forward, part)[1]([jnp.conj(as_numpy(c)) for c in cotangents])[0]
        return [jnp.conj(g) for g in pulled]

    return pull


def _compare_second(pulled: Pulled) -> None:
    """The gradient along a random direction; both sides differentiate their own gradient."""
    generator = torch.Generator().manual_seed(2)
    along = [torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in pulled.leaves]
    inner = [(g, a) for g, a in zip(pulled.gradients, along, strict=True) if g.requires_grad]
    found: Sequence[torch.Tensor | None] = [None] * len(along)
    if inner:
        try:
            found = torch.autograd.grad([g for g, _ in inner], pulled.leaves, [a for _, a in inner], allow_unused=True)
        except RuntimeError as error:
            raise NoGradient from error
    tangents = [jnp.asarray(as_numpy(a)) for a in along]
    got = jax.jit(lambda part: jax.jvp(pulled.pull, (part,), (tangents,))[1])(pulled.arrays)
    wanted = _filled(found, pulled.leaves)
    # NaN in torch says that it has no second derivative there: any number is as good
    got = [np.where(np.isnan(as_numpy(w)), np.nan, g) for g, w in zip(got, wanted, strict=True)]
    same_values("second derivative", got, wanted, pulled.scale)


def _torch_outputs(call: Callable[..., Any], tensors: Sequence[torch.Tensor]) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return [leaf for leaf in pytree.tree_leaves(call(*[t.clone() for t in tensors])) if leaf is not None]


def _scale(tensors: Sequence[torch.Tensor]) -> float:
    """Root mean square of all finite elements: the natural size of rounding noise."""
    parts = [as_numpy(t).ravel() for t in tensors if t.is_floating_point() or t.is_complex()]
    flat = np.abs(np.concatenate(parts)) if parts else np.ones(1)
    flat = flat[np.isfinite(flat)]
    return float(np.sqrt(np.mean(flat**2))) if flat.size and np.any(flat) else 1.0


def is_random(call: Call, tensors: Sequence[torch.Tensor]) -> bool:
    """Whether some seeds give other results; the entries' own wrappers, which fix the seed, are kept from it."""
    first: list[np.ndarray] = []
    for seed in range(1, SEEDS + 1):
        torch.manual_seed(seed)
        try:
            with mock.patch("torch.manual_seed"):
                leaves = pytree.tree_leaves(call(*[t.clone() for t in tensors]))
            found = [as_numpy(leaf) for leaf in leaves if _is_dense(leaf)]
        except Exception:  # judged, and named, elsewhere
            return False
        first = first or found
        if any(
            a.shape == b.shape and not np.array_equal(a, b, equal_nan=_is_inexact(a))
            for a, b in zip(first, found, strict=True)
        ):
            return True
    return False


def _is_dense(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided


def _is_inexact(array: np.ndarray) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.inexact))


def _reason(error: UnsupportedOps) -> str:
    return " ".join(str(error.received or error).split())[:300]


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]

"""What stands around a chain of optax and decides when it runs; and why other transformations are refused."""

from __future__ import annotations

from typing import Any

import optax

from regauge.capture.jax_schedule import closure, number, place
from regauge.errors import UnsupportedOptimizer
from regauge.optax_specs import ApplyIfFinite, MultiSteps, Wrapper


def unwrapped(optimizer: Any) -> tuple[Any, tuple[Wrapper, ...]]:
    """The transformation inside, and the wrappers around it, the outermost first.

    Raises:
        UnsupportedOptimizer: a wrapper that counts, or skips, by a function of a person's own.
    """
    found: list[Wrapper] = []
    while True:
        where, held = place(optimizer.update), closure(optimizer.update)
        if where == "MultiSteps.update":
            owner = optimizer.update.__self__
            found += _multi_steps(owner)
            optimizer = owner.inner_opt
        elif where == "apply_if_finite.update":
            found.append(ApplyIfFinite(int(number(held["max_consecutive_errors"], "max_consecutive_errors"))))
            optimizer = held["inner"]
        elif where == "with_extra_args_support.update":
            optimizer = held["tx"]
        else:
            return optimizer, tuple(found)


def _multi_steps(owner: Any) -> list[Wrapper]:
    every = owner._every_k_schedule
    held = closure(every)
    if place(every) != "MultiSteps.__init__.<lambda>" or "every_k_schedule" not in held:
        raise UnsupportedOptimizer("MultiSteps with a function for every_k_schedule: write it with a whole number")
    skip = owner._should_skip_update_fn
    wrapper = MultiSteps(int(held["every_k_schedule"]), bool(owner._use_grad_mean))
    if skip is optax.transforms.skip_not_finite:
        return [ApplyIfFinite(None), wrapper]
    if place(skip) != "MultiSteps.__init__.should_skip_update_fn":
        name = getattr(skip, "__name__", type(skip).__name__)
        raise UnsupportedOptimizer(
            f"MultiSteps with should_skip_update_fn={name}: of these functions optax.skip_not_finite is known"
        )
    return [wrapper]


def missing_reason(name: str) -> str:
    """Why a transformation of optax is not written for torch; empty for one that is not known at all.

    Args:
        name: of the function that makes it: ``lookahead``.
    """
    if name in ("MultiSteps", "apply_if_finite"):
        return "inside another transformation it counts for a part of the update: put it around the whole"
    if name in ("lookahead", "schedule_free", "sam"):
        return "it trains other parameters than those that the model is evaluated with"
    if name in ("scale_by_lbfgs", "normalize_by_update_norm", "mechanize", "prodigy") or name.startswith("dadapt"):
        return "it takes products of all updates together, and an optimizer of torch changes one after the other"
    if name in ("scale_by_zoom_linesearch", "scale_by_backtracking_linesearch"):
        return "its update calls the loss, and the case has no function of the parameters for it"
    if name in ("scale_by_polyak", "reduce_on_plateau"):
        return "its update depends on the value of the loss, which the case does not hand to it"
    if name == "add_noise":
        return "it draws from a random key of JAX in the layout that the parameters have there"
    if name in (
        "centralize",
        "adaptive_grad_clip",
        "scale_by_sm3",
        "scale_by_muon",
        "scale_by_shape",
        "scale_by_galore",
    ):
        return "it looks at rows and columns, which have other places in the layout that torch has for weights"
    if name in ("scale_by_factored_rms", "scale_by_param_block_rms"):
        return "it looks at rows and columns as JAX lays them out, and torch.optim.Adafactor is another formula"
    if name in ("stateless", "stateless_with_tree_map", "conditionally_transform", "conditionally_mask"):
        return "what it does is a function of your own: use the transformations of optax"
    if name == "apply_every":
        return "it keeps a sum of updates between steps: accumulate gradients with optax.MultiSteps around the whole"
    return ""

"""What stands around an optimizer of torch and decides when it steps, as statements of the class `Optimizer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from regauge.optax_specs import ApplyIfFinite, MultiSteps, Wrapper


@dataclass(frozen=True)
class WrapperText:
    """Statements by their place.

    Attributes:
        made: in the constructor.
        step: at the start of `step`, which they may leave.
        state: items of the state's dict.
        load: what takes them back.
    """

    made: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    load: tuple[str, ...] = ()


def wrapper_text(wrappers: Sequence[Wrapper]) -> WrapperText:
    """The statements of all wrappers, the outermost first."""
    texts = [_WRITERS[type(one)](one) for one in wrappers]
    return WrapperText(
        *(tuple(line for text in texts for line in getattr(text, name)) for name in WrapperText.__dataclass_fields__)
    )


def wrapper_titles(wrappers: Sequence[Wrapper]) -> list[str]:
    """Sentences that the class says of them."""
    found = []
    for one in wrappers:
        if isinstance(one, MultiSteps):
            found.append(
                f"It steps once in {one.every} calls, on the {'mean' if one.mean else 'sum'} of their gradients."
            )
        else:
            found.append("It leaves out the steps whose gradients are not finite.")
    return found


def _multi_steps(wrapper: MultiSteps) -> WrapperText:
    what = "mean" if wrapper.mean else "sum"
    added = f"{what}.add_((gradient - {what}) / number)" if wrapper.mean else f"{what}.add_(gradient)"
    return WrapperText(
        made=(
            f"self.{what}s = [torch.zeros_like(parameter) for parameter in self.parameters]",
            "self.collected = 0",
        ),
        step=(
            "number = self.collected + 1",
            f"for parameter, {what} in zip(self.parameters, self.{what}s):",
            "    gradient = 0.0 if parameter.grad is None else parameter.grad",
            f"    {added}",
            f"self.collected = number % {wrapper.every}",
            "if self.collected:",
            "    return",
            f"for parameter, {what} in zip(self.parameters, self.{what}s):",
            f"    parameter.grad = {what}.clone()",
            f"    {what}.mul_(0.0)  # as in optax, where a NaN stays",
        ),
        state=(f'"{what}s": [{what}.clone() for {what} in self.{what}s]', '"collected": self.collected'),
        load=(
            f'self.{what}s = [{what}.clone() for {what} in state["{what}s"]]',
            'self.collected = state["collected"]',
        ),
    )


def _if_finite(wrapper: ApplyIfFinite) -> WrapperText:
    finite = "finite = all(p.grad.isfinite().all() for p in self.parameters if p.grad is not None)"
    most = wrapper.max_consecutive_errors
    if most is None:
        return WrapperText(step=(finite, "if not finite:", "    return"))
    return WrapperText(
        made=("self.errors = 0",),
        step=(
            finite,
            "self.errors = 0 if finite else self.errors + 1",
            f"if not finite and self.errors <= {most}:",
            "    return",
        ),
        state=('"errors": self.errors',),
        load=('self.errors = state["errors"]',),
    )


_WRITERS: dict[type[Wrapper], Callable[[Any], WrapperText]] = {MultiSteps: _multi_steps, ApplyIfFinite: _if_finite}

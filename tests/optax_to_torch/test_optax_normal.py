"""A chain of optax, taken apart: what is done to gradients first, and what each parameter goes through."""

from __future__ import annotations

import pytest

from regauge.emit.optax_normal import Preparation, take_apart
from regauge.errors import UnsupportedOptimizer
from regauge.optax_schedules import Polynomial
from regauge.optax_specs import (
    AddDecayedWeights,
    Clip,
    ClipByGlobalNorm,
    Masked,
    OptaxOptimizer,
    Part,
    Scale,
    ScaleByAdam,
    ScaleByYogi,
    SetToZero,
)

NORM = ClipByGlobalNorm(1.0)


def taken(*parts: Part):
    return take_apart(OptaxOptimizer("", parts), ("a", "b"))


def test_frozen_parameters_are_no_part_of_the_norm_behind_the_freeze() -> None:
    found = taken(Masked(("a",), (SetToZero(),)), NORM, ScaleByAdam(), Scale(-0.1))
    assert found.preparations == (Preparation(NORM, ("b",)),)
    assert found.updates == {"a": None, "b": (ScaleByAdam(), Scale(-0.1))}


def test_but_of_the_norm_before_it() -> None:
    found = taken(NORM, Scale(-0.1), Masked(("a",), (SetToZero(),)))
    assert found.preparations == (Preparation(NORM, ("a", "b")),)
    assert found.updates == {"a": None, "b": (Scale(-0.1),)}


def test_what_keeps_no_state_is_done_to_the_gradients_before_their_norm() -> None:
    decay = AddDecayedWeights(0.1)
    found = taken(Masked(("b",), (decay,)), Clip(0.5), NORM, Scale(-0.1))
    every = ("a", "b")
    assert found.preparations == (Preparation(decay, ("b",)), Preparation(Clip(0.5), every), Preparation(NORM, every))
    assert found.updates == {"a": (Scale(-0.1),), "b": (Scale(-0.1),)}


@pytest.mark.parametrize("part", [AddDecayedWeights(0.1), ScaleByYogi()], ids=["decay", "a start above zero"])
def test_what_moves_a_frozen_parameter_again_begins_with_a_gradient_of_zero(part: Part) -> None:
    found = taken(ScaleByAdam(), Masked(("a",), (SetToZero(),)), part, Scale(-0.1))
    assert found.preparations == (Preparation(SetToZero(), ("a",)),)
    assert found.updates == {"a": (part, Scale(-0.1)), "b": (ScaleByAdam(), part, Scale(-0.1))}


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (ScaleByAdam(), "ScaleByAdam"),
        (Scale(1.0, (Polynomial(1.0, 0.0, 1.0, 10.0),)), "Scale"),
        (AddDecayedWeights(Polynomial(1.0, 0.0, 1.0, 10.0)), "AddDecayedWeights"),
    ],
    ids=["a state", "a schedule", "a decay that moves"],
)
def test_a_norm_behind_a_state_or_a_schedule_is_refused(part: Part, said: str) -> None:
    with pytest.raises(UnsupportedOptimizer, match="keeps a state or has a schedule") as caught:
        taken(Masked(("b",), (part,)), NORM, Scale(-0.1))
    assert caught.value.received == said
    assert "clip the gradients first" in caught.value.next

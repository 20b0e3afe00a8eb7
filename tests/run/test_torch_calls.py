"""Names of the arguments of what torch is called with."""

from __future__ import annotations

import operator

import pytest
import torch

from regauge.run.torch_calls import arguments_of

X = torch.zeros(2)


@pytest.mark.parametrize("name", ["__eq__", "__ne__", "__lt__", "__repr__", "__hash__"])
def test_methods_that_every_object_has_are_no_operators(name: str) -> None:
    arguments = arguments_of(getattr(torch.Tensor, name), (X,), {})
    assert list(arguments.values()) == [X]


def test_names_come_from_the_schema_that_fits() -> None:
    assert arguments_of(torch.Tensor.sum, (X, 0), {"keepdim": True}) == {"input": X, "dim": 0, "keepdim": True}
    assert arguments_of(operator.neg, (X,), {}).keys() == {"a"}

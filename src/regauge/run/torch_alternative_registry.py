"""The registry of other ways to compute what a call of torch computes, and of other values of a weight.

An alternative takes the function, its arguments and the arguments by name; it returns what the call would return, had
the model been written in the other way. A change of a weight takes the tensor and gives the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Named = Mapping[str, Any]
Alternative = Callable[..., Any]

ALTERNATIVES: dict[str, Alternative] = {}
WEIGHTS: dict[str, Callable[..., Tensor]] = {}


def alternative(function: Alternative) -> Alternative:
    ALTERNATIVES[function.__name__] = function
    return function


def of_weight(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    WEIGHTS[function.__name__] = function
    return function

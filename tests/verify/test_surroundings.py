"""At which calls causes are tried: made-up traces of a torch side, beside those of another one."""

from __future__ import annotations

from typing import Any

from regauge.run.tracing import Trace
from regauge.verify.alignment import Alignment, TracedSide
from regauge.verify.causes import Call
from regauge.verify.causes_layout import split_of
from regauge.verify.surroundings import Surroundings, near_gradients


class Side:
    """A trace that grows call by call; the value of a call is told by one number."""

    def __init__(self) -> None:
        self.trace = Trace()

    def given(self, kind: str = "input") -> int:
        return self.trace.add(kind, "", -1, [], None)

    def call(self, function: str, value: float, *origins: int, **arguments: Any) -> int:
        self.trace.calls.append({"function": function, "module": "", "frame": -1, "arguments": arguments})
        prints = [4.0, 0.0, value, value, value**2, value, value]
        constants = [v for v in arguments.values() if isinstance(v, float)]
        number = len(self.trace.calls) - 1
        return self.trace.add(function, "", -1, list(origins), prints, call=number, constants=constants)

    def compare(self, origin: int, constant: float) -> int:
        return self.trace.add("lt", "", -1, [origin], None, constants=[constant])

    def done(self, **results: int) -> TracedSide:
        self.trace.results |= results
        return TracedSide(self.trace.to_json())


def around(torch: TracedSide, other: TracedSide) -> Surroundings:
    alignment = Alignment(torch, other)
    regions = [alignment.region(role, ["outputs"]) for role in (0, 1)]
    firsts = [alignment.first(role, region) for role, region in enumerate(regions)]
    return Surroundings(alignment, 0, regions, firsts)


def test_what_only_moves_elements_is_gone_through_to_what_made_them() -> None:
    """A linear of heads in another order: split, transposed, and dropout that is off stand between it and its maker."""
    torch, other = Side(), Side()
    x = torch.given()
    made = torch.call("linear", 3.0, x)
    moved = torch.call("transpose", 3.0, torch.call("unflatten", 3.0, made))
    last = torch.call("linear", 5.0, torch.call("dropout", 3.0, moved))
    theirs = other.call("dot_general", 6.0, other.call("dot_general", 3.0, other.given()))
    assert around(torch.done(outputs=last), other.done(outputs=theirs)).near() == [4, 3, 2, 1, 0]


def test_a_table_that_no_input_makes_is_looked_at_where_it_is_used() -> None:
    torch, other = Side(), Side()
    x = torch.given()
    angles = torch.call("__rpow__", 7.0, torch.call("arange", 2.0), other=10000.0)
    last = torch.call("__mul__", 5.0, torch.call("linear", 3.0, x), torch.call("cos", 8.0, angles))
    powers = other.call("pow", 9.0, other.call("iota", 2.0), base=500.0)
    theirs = other.call("mul", 6.0, other.call("dot_general", 3.0, other.given()), powers)
    found = around(torch.done(outputs=last), other.done(outputs=theirs))
    assert found.near()[:3] == [4, 3, 1]  # the product, the cosine, the power
    assert 500.0 in found.constants()


def test_the_number_that_a_comparison_has_is_among_the_constants() -> None:
    torch, other = Side(), Side()
    last = torch.call("smooth_l1_loss", 5.0, torch.given())
    x = other.given()
    theirs = other.call("select_n", 6.0, other.compare(x, 1.5), x)
    assert around(torch.done(outputs=last), other.done(outputs=theirs)).constants() == [1.5]


def test_gradients_part_between_the_last_weight_that_is_wrong_and_the_next_that_is_right() -> None:
    torch = Side()
    x = torch.given()
    for number, name in enumerate(("a", "b", "c")):
        x = torch.call("linear", float(number), x, weight={"weight": name, "shape": [2, 2]})
        x = torch.call("relu", number + 0.5, x)
    side = torch.done(outputs=x)
    situation = around(side, side).situation(frozenset({"gradients"}))
    assert near_gradients(situation.calls, ["a"], ["a", "b", "c"])[:3] == [0, 1, 2]


def test_the_call_that_makes_the_loss_is_known() -> None:
    torch = Side()
    terms = [torch.call("mse_loss", 1.0, torch.given()), torch.call("mse_loss", 2.0, torch.given())]
    side = torch.done(loss=torch.call("__add__", 3.0, *terms))
    assert around(side, side).situation(frozenset({"loss"})).loss == 2


def shaped(function: str, sizes: list[int], /, **arguments: Any) -> Call:
    return Call(0, function, "", {"input": {"shape": sizes, "weight": "", "float": True}, **arguments})


def test_a_split_is_read_from_sizes() -> None:
    found = split_of(shaped("unflatten", [2, 5, 24], dim=-1, sizes=[3, 2, -1]))
    assert found is not None
    assert (found.first, found.parts) == (2, (3, 2, 4))
    found = split_of(shaped("view", [4, 32], **{"1": -1, "2": 8, "3": 2, "4": 2}))
    assert found is not None
    assert (found.first, found.parts) == (1, (8, 2, 2))
    found = split_of(shaped("reshape", [2, 6, 8], shape=[2, 6, 2, 4]))
    assert found is not None
    assert (found.first, found.parts) == (2, (2, 4))
    assert split_of(shaped("reshape", [2, 6, 8], shape=[2, 48])) is None
    assert split_of(shaped("reshape", [2, 6, 8], shape=[4, 3, 2, 4])) is None

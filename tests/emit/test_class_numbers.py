"""Numbers behind class names."""

from __future__ import annotations

from regauge.emit.class_numbers import renumbered
from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line


def emitted(name: str, *calls: str) -> EmittedClass:
    return EmittedClass(name, "", "", [Line(f"self.{c.lower()} = {c}(rngs=rngs)") for c in calls], Body([]))


def names_and_calls(classes: list[EmittedClass]) -> list[tuple[str, str]]:
    return [(made.name, ", ".join(line.text.split(" = ")[1].split("(")[0] for line in made.init)) for made in classes]


def test_gaps_are_closed_and_calls_follow() -> None:
    given = [emitted("Block3"), emitted("Block"), emitted("Block6", "Block3"), emitted("Net", "Block", "Block6")]
    found = renumbered(given, {"Block", "Net"}, set())
    assert names_and_calls(found) == [("Block2", ""), ("Block", ""), ("Block3", "Block2"), ("Net", "Block, Block3")]


def test_digits_of_the_original_stay() -> None:
    given = [emitted("Stage2"), emitted("Stage23"), emitted("Conv2d", "Stage2", "Stage23")]
    found = renumbered(given, {"Stage2", "Conv2d"}, {"nnx"})
    assert names_and_calls(found) == [("Stage2", ""), ("Stage22", ""), ("Conv2d", "Stage2, Stage22")]


def test_names_that_are_taken_are_left_out() -> None:
    found = renumbered([emitted("Block"), emitted("Block4")], {"Block"}, {"Block2"})
    assert [made.name for made in found] == ["Block", "Block3"]

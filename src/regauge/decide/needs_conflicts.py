"""Needs that cannot all hold, each named with both of its sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regauge.decide.facts import FactBase
from regauge.decide.needs import Needs
from regauge.decide.needs_file import Path_

# On macOS the accelerators are Apple's, and Apple's accelerators are under macOS only.
FOREIGN_TO_MACOS = ("nvidia-gpu", "tpu")

# Dimensions that answer one question with opposite words: nobody can need both.
OPPOSITES = (("dynamic_shapes_in_compiled_code", "recompiles_per_new_input_shape"),)

# Dimensions that speak of one operating system.
SYSTEM_OF = {"nvidia_gpu_linux": "linux", "nvidia_gpu_windows": "windows", "apple_gpu": "macos"}


@dataclass(frozen=True)
class Conflict:
    """Two needs that exclude each other: the place of the second, and both in words.

    Attributes:
        what: why they cannot both hold, a plain sentence without values.
        read: both needs as they stand.
        allowed: what would resolve it.
    """

    what: str
    place: Path_
    read: str
    allowed: str


def conflicts(needs: Needs, base: FactBase) -> Iterator[Conflict]:
    """Every contradiction of the needs."""
    yield from _hardware(needs)
    yield from _dimensions(needs)
    yield from _nothing_left(needs, base)


def _hardware(needs: Needs) -> Iterator[Conflict]:
    hardware = needs.hardware
    for index, device in enumerate(hardware.train):
        place: Path_ = ("hardware", "train", index)
        read = f"train: {device}, os: {hardware.os}"
        if hardware.os == "macos" and device in FOREIGN_TO_MACOS:
            yield Conflict("macOS does not drive this device", place, read, "os: linux, or train: [apple-gpu]")
        if hardware.os in ("linux", "windows") and device == "apple-gpu":
            yield Conflict("Apple's GPUs are driven by macOS only", place, read, "os: macos")
        if hardware.os == "windows" and device == "tpu":
            yield Conflict("TPUs are driven by Linux only", place, read, "os: linux")
    if hardware.devices and hardware.nodes and hardware.devices < hardware.nodes:
        yield Conflict(
            "every node has at least one device",
            ("hardware", "devices"),
            f"devices: {hardware.devices}, nodes: {hardware.nodes}",
            f"devices: {hardware.nodes} or more",
        )


def _dimensions(needs: Needs) -> Iterator[Conflict]:
    for left, right in OPPOSITES:
        if left in needs.must and right in needs.must:
            place: Path_ = ("must", needs.must.index(right))
            yield Conflict("one is the opposite of the other", place, f"{left}, {right}", "one of them")
    for dimension, system in SYSTEM_OF.items():
        if dimension in needs.must and needs.hardware.os not in (None, system):
            place = ("must", needs.must.index(dimension))
            read = f"must: {dimension}, os: {needs.hardware.os}"
            yield Conflict("the dimension speaks of another operating system", place, read, f"os: {system}")


def _nothing_left(needs: Needs, base: FactBase) -> Iterator[Conflict]:
    """Every candidate is a framework whose development ended."""
    ended = [base.retired(name) for name in needs.candidates]
    if all(ended):
        told = ", ".join(f"{item.framework} ({item.date}, {item.fact_id})" for item in ended if item)
        yield Conflict("every candidate has ended", ("candidates",), told, "a framework that is developed")

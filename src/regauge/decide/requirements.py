"""Needs as questions to the fact base: which dimension each need asks for, and what the facts answer.

* ``yes``: the candidate meets the need; ``no``: it is eliminated, with this fact.
* ``partial``: the need is open, neither met nor refused, and the fact is a reason against.
* No fact, a fact of low confidence, or a stale one: the need is open.
* ``no`` to `actively_developed`: eliminated, whatever the needs are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from regauge.decide.facts import COMMON, DEVELOPED, Fact, FactBase
from regauge.decide.needs import Needs

Answer = Literal["yes", "no", "partial", "unknown"]

# The dimension that decides whether a device can be used; the operating system is part of the question for NVIDIA's.
# A CPU asks nothing: every framework runs on one, and no fact says otherwise.
DEVICE_DIMENSION = {
    "amd-gpu": "amd_gpu",
    "intel-gpu": "intel_gpu",
    "tpu": "tpu",
    "apple-gpu": "apple_gpu",
    "mobile": "mobile_edge_runtime",
}
NVIDIA_DIMENSION = {"linux": "nvidia_gpu_linux", "windows": "nvidia_gpu_windows"}

# Training on several devices asks for parameter sharding: it is what all candidates with facts are compared in, and who
# has it has data parallelism too (an array sharded along the batch).
SEVERAL_DEVICES = "parameter_sharding_in_core"

# Facts about several frameworks together that say the same of both PyTorch and JAX. The others (a benchmark, a share of
# papers, a function that exists nowhere) are not an answer of one framework.
COMMON_ANSWERS = ("safetensors_support", "zero_copy_exchange", "quantisation_library", "probabilistic_programming")
COMMON_FRAMEWORKS = ("pytorch", "jax")

# A question that a framework's facts may answer under another name: who has just released is developed.
ALSO_ANSWERED_BY = {DEVELOPED: "latest_version_released"}


@dataclass(frozen=True)
class Requirement:
    """One need as a question: its name as the person wrote it, and the dimension that answers it."""

    need: str
    dimension: str


@dataclass(frozen=True)
class Judgement:
    """What the facts say about one candidate and one requirement; `fact` is None where there is none.

    Attributes:
        answer: ``yes`` and ``no`` count; ``partial`` and ``unknown`` leave the need open.
        note: why a fact does not count: ``low confidence`` or ``stale``.
    """

    candidate: str
    requirement: Requirement
    answer: Answer
    fact: Fact | None
    note: str = ""


def requirements_of(needs: Needs) -> tuple[Requirement, ...]:
    """Everything that a candidate must fulfil, in the order of the needs; equal questions once."""
    hardware = needs.hardware
    found = [Requirement(f"must: {name}", name) for name in needs.must]
    for field, devices in (("train", hardware.train), ("serve", hardware.serve)):
        for device in devices:
            dimension = _device_dimension(device, hardware.os)
            if dimension is not None:
                found.append(Requirement(f"hardware.{field}: {device}", dimension))
    if (hardware.devices or 1) > 1:
        found.append(Requirement(f"hardware.devices: {hardware.devices}", SEVERAL_DEVICES))
    unique: dict[str, Requirement] = {}
    for requirement in found:
        unique.setdefault(requirement.dimension, requirement)
    return tuple(unique.values())


def _device_dimension(device: str, system: str | None) -> str | None:
    if device == "nvidia-gpu":
        # Not stated, or that of a machine without such a device, the system of GPU servers is asked for, and said.
        return NVIDIA_DIMENSION.get(system or "linux", NVIDIA_DIMENSION["linux"])
    return DEVICE_DIMENSION.get(device)


def answer_of(base: FactBase, candidate: str, dimension: str) -> Fact | None:
    """The fact that answers for a candidate: its own, one under another name, or one about PyTorch and JAX together."""
    own = base.get(candidate, dimension)
    if own is None and dimension in ALSO_ANSWERED_BY:
        own = base.get(candidate, ALSO_ANSWERED_BY[dimension])
    if own is None and candidate in COMMON_FRAMEWORKS and dimension in COMMON_ANSWERS:
        return base.get(COMMON, dimension)
    return own


def judge(base: FactBase, candidate: str, requirement: Requirement, stale: Collection[str] = ()) -> Judgement:
    """The answer of the fact base for one candidate; a stale or doubtful fact decides nothing."""
    fact = answer_of(base, candidate, requirement.dimension)
    if fact is None or not isinstance(fact.value, str):
        return Judgement(candidate, requirement, "unknown", None)
    if fact.id in stale:
        return Judgement(candidate, requirement, "unknown", fact, "stale")
    if fact.confidence == "low":
        return Judgement(candidate, requirement, "unknown", fact, "low confidence")
    answers: dict[str, Answer] = {"yes": "yes", "no": "no", "partial": "partial"}
    return Judgement(candidate, requirement, answers.get(fact.value, "unknown"), fact)


def judge_all(
    base: FactBase, candidates: Iterable[str], requirements: Iterable[Requirement], stale: Collection[str] = ()
) -> tuple[Judgement, ...]:
    """Every candidate against every requirement; a framework that has ended is judged on that alone."""
    asked = tuple(requirements)
    alive = Requirement("candidates", DEVELOPED)
    found: list[Judgement] = []
    for candidate in candidates:
        ended = base.retired(candidate)
        if ended is not None:
            found.append(Judgement(candidate, alive, "no", base.by_id(ended.fact_id)))
        else:
            found += [judge(base, candidate, requirement, stale) for requirement in asked]
    return tuple(found)

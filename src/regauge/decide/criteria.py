"""The five criteria as numbers with their uncertainty: every candidate's value is an interval in [0, 1], 1 is best.

A value is a mean over parts, and every part rests on one piece of evidence or on none; a part without evidence spans
all of [0, 1]. `docs/choosing.md` gives the scales and argues them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from regauge.decide import evidence as ev
from regauge.decide.facts import DEVELOPED, Fact, FactBase
from regauge.decide.needs import CRITERIA, Criterion, Needs
from regauge.decide.requirements import answer_of

# A 'partial' is something between: neither half nor any other point is known.
PARTIAL = (0.25, 0.75)
UNKNOWN = (0.0, 1.0)
EXACT = (1.0, 1.0)

# A factor of four in step time, either way, is the end of the scale; the reference stands in its middle.
FULL_FACTOR = 4.0

# The fact base takes download ranks from a list of this length; its last place is 0 on the scale, its first 1.
RANKED_PACKAGES = 15_000

# What the person asked for by name counts twice what the table below finds relevant for the kind of project.
NICE_COUNTS = 2.0

# Weeks after which nothing is claimed any more about what a team knows of a framework. A convention, not evidence.
LEARNED_WEEKS = 52.0
EXPERT = 5

# Dimensions that matter for a kind of project, where yes is better; the reasons stand in docs/choosing.md.
RELEVANT: Mapping[str, tuple[str, ...]] = {
    "vision": ("data_loader_in_core", "domain_libraries_active", "automatic_mixed_precision_in_core"),
    "language": ("hugging_face_transformers", "llm_training_stack", "dynamic_shapes_in_compiled_code"),
    "speech": ("hugging_face_transformers", "domain_libraries_active", "dynamic_shapes_in_compiled_code"),
    "control": ("reinforcement_learning", "vmap", "structured_control_flow_ops"),
    "science": ("scientific_libraries", "forward_and_reverse_mode", "vmap", "float64_available_by_default"),
    "generative": ("hugging_face_transformers", "activation_checkpointing", "quantisation_library"),
    "recommendation": ("data_loader_in_core", "parameter_sharding_in_core", "sharded_checkpointing"),
    "other": (),
}
SEVERAL_NODES = ("fault_tolerance", "sharded_checkpointing")

# The questions about the people behind a framework.
COMMUNITY = (
    DEVELOPED,
    "pypi_download_rank",
    "official_forum",
    "stated_deprecation_policy",
    "vendor_neutral_foundation",
)


@dataclass(frozen=True)
class Part:
    """One answer inside a criterion; `evidence` is the id of what it rests on, empty where nothing is known."""

    what: str
    low: float
    high: float
    evidence: str
    weight: float = 1.0


@dataclass(frozen=True)
class Value:
    """A candidate's value on one criterion.

    Attributes:
        low, high: bounds in [0, 1].
        parts: what it is the mean of; empty where the criterion asks nothing of anybody.
    """

    candidate: str
    criterion: Criterion
    low: float
    high: float
    parts: tuple[Part, ...]

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Inputs:
    """Everything that values are made from; `migration` maps a candidate to its bounds and the evidence for them."""

    needs: Needs
    base: FactBase
    stale: frozenset[str]
    timings: tuple[ev.Timing, ...]
    migration: Mapping[str, tuple[float, float, str]]


def evaluate(inputs: Inputs, candidates: Iterable[str]) -> dict[tuple[str, Criterion], Value]:
    """The value of every candidate on every criterion."""
    makers: dict[Criterion, Callable[[Inputs, str], Sequence[Part]]] = {
        "performance": performance,
        "functions": functions,
        "community": community,
        "migration": migration,
        "learning": learning,
    }
    return {
        (candidate, criterion): _value(candidate, criterion, makers[criterion](inputs, candidate))
        for candidate in candidates
        for criterion in CRITERIA
    }


def _value(candidate: str, criterion: Criterion, parts: Sequence[Part]) -> Value:
    total = sum(part.weight for part in parts)
    if not parts:  # nothing is asked, so nobody is better: the same value for all
        return Value(candidate, criterion, 0.5, 0.5, ())
    low = sum(part.low * part.weight for part in parts) / total
    high = sum(part.high * part.weight for part in parts) / total
    return Value(candidate, criterion, round(low, 12), round(high, 12), tuple(parts))


def performance(inputs: Inputs, candidate: str) -> list[Part]:
    """Measured step times in scope: 0.5 is PyTorch run eagerly, 1 a quarter of its time, 0 four times its time.

    Of a framework's variants the fastest counts: that is the one a team would run.
    """
    questions = ev.questions_of(inputs.needs)
    if not questions:
        return [Part("nothing says what it runs on", *UNKNOWN, "")]
    return [_timed(inputs, candidate, question) for question in questions]


def _timed(inputs: Inputs, candidate: str, question: ev.Scope) -> Part:
    own = [t for t in inputs.timings if t.framework == candidate and ev.in_scope(t, question)]
    what = f"{question.task} on {question.device}"
    if not own:
        return Part(what, *UNKNOWN, "")
    best = min(own, key=lambda timing: (timing.ratio, timing.id))
    return Part(what, speed_value(best.high), speed_value(best.low), best.id)


def speed_value(ratio: float) -> float:
    """The scale of performance: 0.5 at ratio 1, 1 at 1/4 and below, 0 at 4 and above, linear in the logarithm."""
    return min(1.0, max(0.0, 0.5 - math.log(ratio) / (2 * math.log(FULL_FACTOR))))


def ratio_at(value: float) -> float:
    """The inverse of `speed_value` within the scale."""
    return math.exp((0.5 - value) * 2 * math.log(FULL_FACTOR))


def functions(inputs: Inputs, candidate: str) -> list[Part]:
    """The dimensions that the person wants, and those that matter for the kind of project and several nodes."""
    needs = inputs.needs
    relevant = RELEVANT[needs.kind] + (SEVERAL_NODES if (needs.hardware.nodes or 1) > 1 else ())
    parts = [_fact_part(inputs, candidate, name, NICE_COUNTS) for name in needs.nice]
    rest = [name for name in dict.fromkeys(relevant) if name not in needs.nice]
    return parts + [_fact_part(inputs, candidate, name, 1.0) for name in rest]


def community(inputs: Inputs, candidate: str) -> list[Part]:
    """Dated facts about the people behind a framework; never mixed with a measured figure."""
    return [_fact_part(inputs, candidate, name, 1.0) for name in COMMUNITY]


def _fact_part(inputs: Inputs, candidate: str, dimension: str, weight: float) -> Part:
    fact = answer_of(inputs.base, candidate, dimension)
    if fact is None:
        return Part(dimension, *UNKNOWN, "", weight)
    low, high = fact_value(fact, inputs.stale)
    return Part(dimension, low, high, fact.id, weight)


def fact_value(fact: Fact, stale: Collection[str] = ()) -> tuple[float, float]:
    """Bounds of a fact: yes 1, no 0, partial in between; a stale or doubtful one says nothing."""
    if fact.id in stale or fact.confidence == "low":
        return UNKNOWN
    if fact.dimension == "pypi_download_rank" and not isinstance(fact.value, str):
        value = 1 - math.log(min(max(fact.value, 1.0), RANKED_PACKAGES)) / math.log(RANKED_PACKAGES)
        return value, value
    return {"yes": EXACT, "no": (0.0, 0.0), "partial": PARTIAL}.get(str(fact.value), UNKNOWN)


def migration(inputs: Inputs, candidate: str) -> list[Part]:
    """What the existing code costs: nothing in its own framework, elsewhere what the audit found."""
    code = inputs.needs.existing_code
    if code is None:
        return []
    if candidate == code.framework:
        return [Part("no migration", *EXACT, "stated:existing_code.framework")]
    if candidate in inputs.migration:
        low, high, source = inputs.migration[candidate]
        return [Part("share of lines that need no rewriting", low, high, source)]
    return [Part("not audited", *UNKNOWN, "")]


def learning(inputs: Inputs, candidate: str) -> list[Part]:
    """What the team knows now, up to what it may know at the end of the timeline.

    The upper bound grows evenly over `LEARNED_WEEKS`, so that differences in experience count for less in longer
    projects without any claim about how fast a team learns.
    """
    experience = inputs.needs.team.experience
    if not experience:
        return [Part("experience was not stated", *UNKNOWN, "")]
    # Who says what they know has said what they do not know.
    now = experience.get(candidate, 0) / EXPERT
    share = min(1.0, (inputs.needs.timeline_weeks or 0.0) / LEARNED_WEEKS)
    return [Part("experience", now, now + (1 - now) * share, f"stated:team.experience.{candidate}")]

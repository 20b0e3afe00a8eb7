"""A recommendation in words and rows: what the terminal and the page both show."""

from __future__ import annotations

import re
from collections.abc import Iterable

from regauge.decide.assess import FIRM
from regauge.decide.evidence import Evidence
from regauge.decide.fact_words import translated
from regauge.decide.needs import CRITERIA_WORDS as CRITERIA
from regauge.decide.recommendation import Flip, Reason, Recommendation, Unknown
from regauge.decide.stack import Stack
from regauge.language import N_, _, ngettext, translate_message
from regauge.report.view import Tone

NAMES = {
    "pytorch": "PyTorch",
    "jax": "JAX",
    "keras": "Keras",
    "tensorflow": "TensorFlow",
    "either": N_("either of them"),
    "not_enough_evidence": N_("not enough evidence"),
}
KINDS = {
    "checked": N_("checked here"),
    "measured": N_("measured"),
    "documented": N_("documented"),
    "stated": N_("stated by you"),
}
FLIPS = {
    "weight": N_("weight"),
    "measurement": N_("measurement"),
    "need": N_("need"),
    "fact": N_("fact"),
}
ANSWERS = {"yes": N_("yes"), "no": N_("no"), "partial": N_("in part")}
ROLES = {
    "framework": N_("framework"),
    "layers": N_("layers"),
    "data": N_("data"),
    "models": N_("models"),
    "training": N_("training"),
    "tuning": N_("hyperparameter search"),
    "optimizers": N_("optimizers"),
    "metrics": N_("metrics"),
    "checkpoints": N_("checkpoints"),
    "tracking": N_("tracking"),
    "deployment": N_("deployment"),
    "distributed": N_("distributed training"),
    "finetuning": N_("fine-tuning"),
    "quantization": N_("quantization"),
    "kernels": N_("kernels"),
    "rl": N_("reinforcement learning"),
    "graphs": N_("graphs"),
    "probabilistic": N_("probabilistic models"),
    "scientific": N_("scientific computing"),
    "interpretability": N_("interpretability"),
    "profiling": N_("profiling"),
    "interop": N_("working together"),
    "configuration": N_("configuration"),
    "testing": N_("testing"),
}
# By plain text, as it is found inside a sentence.
_LABELS: dict[str, str] = dict(CRITERIA.items())
_WORDS = re.compile(rf"(?<![\w.])({'|'.join(CRITERIA)})(?![\w.])")


def name_of(choice: str) -> str:
    """A framework or an answer as a reader sees it."""
    return _(NAMES[choice]) if choice in NAMES else choice


def tone(recommendation: Recommendation) -> Tone:
    """The colour of the headline."""
    if recommendation.firm:
        return "good"
    return "even" if recommendation.choice == "either" else "open"


def headline(recommendation: Recommendation) -> tuple[str, ...]:
    """The answer, then the smallest change that gives another one."""
    sentences = [_answer(recommendation)]
    if recommendation.flips_if:
        flip = recommendation.flips_if[0]
        text = _("The smallest change that gives another answer: {change}; then: {choice}")
        sentences.append(text.format(change=sentence(flip.text), choice=name_of(flip.choice)))
    return tuple(sentences)


def _answer(recommendation: Recommendation) -> str:
    rows = [row for row in recommendation.ranking if not row.open]
    if not rows:
        return _("Not enough evidence: no candidate is shown to meet every need")
    leader = rows[0]
    values = {
        "name": name_of(leader.candidate),
        "share": percent(leader.acceptability),
        "known": percent(recommendation.known),
        "names": _(", ").join(name_of(name) for name in recommendation.between),
    }
    if recommendation.choice == "either" and leader.acceptability >= FIRM:
        text = _("Either fits ({names}): {name} leads, but only by facts about frameworks in general")
        return text.format(**values)
    if recommendation.choice == "either":
        return _("Either fits ({names}): what is known does not set one apart for this project").format(**values)
    if not recommendation.firm and len(rows) == 1:
        return _("Not enough evidence: nothing connects {name} to this project").format(**values)
    if not recommendation.firm:
        text = _("Not enough evidence: {name} ranks first in {share} of the draws, with {known} of what counts known")
        return text.format(**values)
    if len(rows) == 1:
        return _("{name}: the only candidate that is shown to meet every need").format(**values)
    return _("{name}: ranks first in {share} of the draws").format(**values)


def scope(recommendation: Recommendation) -> tuple[str, ...]:
    """What the answer does not cover."""
    used = [item for item in recommendation.evidence if item.kind == "measured" and item.counts]
    unused = [item for item in recommendation.evidence if item.kind == "measured" and not item.counts]
    rows = []
    if not used:
        rows.append(_("No measurement counts: nothing here says which framework is faster for this project."))
    if unused:
        text = ngettext(
            "{n} stored measurement is out of scope and supports nothing: another case, task, device or precision.",
            "{n} stored measurements are out of scope and support nothing: another case, task, device or precision.",
            len(unused),
        )
        rows.append(text.format(n=len(unused)))
    if not recommendation.weighted:
        rows.append(_("No weights were given: every weighting of the criteria was taken as equally likely."))
    open_ = len(recommendation.unknowns)
    if open_:
        text = ngettext(
            "{n} thing is not known; it is listed with what would settle it.",
            "{n} things are not known; each is listed with what would settle it.",
            open_,
        )
        rows.append(text.format(n=open_))
    return tuple(rows)


def sentence(text: str) -> str:
    """A text of the recommendation in the current language; names of criteria inside it as well."""
    found = translate_message(text)
    if found == text:
        return text
    return _WORDS.sub(lambda match: _(_LABELS[match.group()]), found)


def claim(item: Evidence) -> str:
    """What a piece of evidence says, in the current language."""
    own = translated(item.claim)
    return own if own != item.claim else sentence(item.claim)


def value(item: Evidence) -> str:
    """The figure or answer of a piece of evidence."""
    if isinstance(item.value, str):
        return _(ANSWERS[item.value]) if item.value in ANSWERS else item.value
    return f"{item.value:.4g} {item.unit}".strip()


def percent(share: float) -> str:
    """A share as a text: 87 %; never 100 % for what is only nearly all."""
    if 0.995 <= share < 1:
        return "> 99 %"
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{share * 100:.0f} %"


def bounds(low: float, high: float) -> str:
    """An interval of values; a question mark where nothing is known."""
    if (low, high) == (0.0, 1.0):
        return "?"
    return f"{low:.2f}" if round(high - low, 2) == 0 else f"{low:.2f}–{high:.2f}"


def ranking_rows(recommendation: Recommendation) -> list[tuple[str, ...]]:
    """Candidate, share of first ranks, score, confidence factor, open needs."""
    return [
        (
            name_of(row.candidate),
            percent(row.acceptability) if not row.open or row.score is not None else "–",
            "–" if row.score is None else f"{row.score:.2f}",
            "–" if row.confidence is None else percent(row.confidence),
            _(", ").join(row.open),
        )
        for row in recommendation.ranking
    ]


def value_rows(recommendation: Recommendation) -> list[tuple[str, ...]]:
    """Criterion, mean weight, then the value of each candidate."""
    return [
        (
            _(CRITERIA[criterion]),
            percent(recommendation.weights[criterion]),
            *(bounds(*row.values[criterion]) for row in recommendation.ranking),
        )
        for criterion in CRITERIA
    ]


def central_rows(recommendation: Recommendation) -> list[tuple[str, ...]]:
    """The typical weights with which each candidate ranks first."""
    return [
        (name_of(row.candidate), *(percent(row.central[criterion]) for criterion in CRITERIA))
        for row in recommendation.ranking
        if row.central
    ]


def flip_rows(flips: Iterable[Flip]) -> list[tuple[str, ...]]:
    """Kind, change, size, answer after it."""
    return [(_(FLIPS[flip.kind]), sentence(flip.text), f"{flip.size:.1f}", name_of(flip.choice)) for flip in flips]


def unknown_rows(unknowns: Iterable[Unknown]) -> list[tuple[str, ...]]:
    """What is not known, what settles it, and where."""
    return [(sentence(item.text), sentence(item.settle), sentence(item.where)) for item in unknowns]


def reason_text(reason: Reason) -> str:
    """The sentence of a reason."""
    return sentence(reason.text)


def library_rows(stack: Stack, first: bool = False) -> list[tuple[str, str, str, str, str]]:
    """Role, name, version, address, purpose; with `first` only what is recommended first in each role."""
    return [
        (_(ROLES[role]) if role in ROLES else role, library.name, library.version, library.url, str(library.statement))
        for role, libraries in stack.libraries.items()
        for library in libraries[: 1 if first else None]
    ]


def ranking_names(recommendation: Recommendation) -> list[str]:
    """The candidates in the order of the ranking: heads of columns."""
    return [name_of(row.candidate) for row in recommendation.ranking]


def criterion_names() -> list[str]:
    """The criteria: heads of columns."""
    return [_(label) for label in CRITERIA.values()]

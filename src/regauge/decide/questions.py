"""The needs by asking: every question says why it is asked, and can be skipped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from regauge.decide import facts
from regauge.decide.fact_words import FRAMEWORKS
from regauge.decide.libraries import KINDS
from regauge.decide.needs import CANDIDATES, CRITERIA, CRITERIA_WORDS, Device, Needs, System, Target, needs_of
from regauge.errors import BadNeeds
from regauge.language import N_, _

LEVELS = (
    N_("0 none"),
    N_("1 has tried it"),
    N_("2 has trained a model with it"),
    N_("3 uses it at work"),
    N_("4 knows it well"),
    N_("5 expert"),
)


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        field: dotted path in the needs.
        text: what is asked.
        why: why it is asked.
        kind: ``text``, ``number``, ``select`` (one of `options`) or ``checkbox`` (any of them).
    """

    field: str
    text: str
    why: str
    kind: str
    options: tuple[str, ...] = ()


def questions() -> tuple[Question, ...]:
    """All questions in order, in the current language."""
    return (*_project(), *_team(), *_code_and_features(), *_weights())


def _project() -> tuple[Question, ...]:
    devices, targets, systems = (get_args(kind) for kind in (Device, Target, System))
    support = _("a framework without support for it is eliminated, and only figures from it count")
    return (
        Question("name", _("What is the project called?"), _("it heads the report"), "text"),
        Question("kind", _("What kind of project is it?"), _("it decides which features matter"), "select", KINDS),
        Question("hardware.train", _("What does it train on?"), support, "checkbox", devices),
        Question("hardware.devices", _("On how many devices in all?"), _("several need sharding"), "number"),
        Question("hardware.nodes", _("On how many machines?"), _("several can fail one by one"), "number"),
        Question(
            "hardware.serve", _("What does it serve on?"), _("it decides the deployment path"), "checkbox", targets
        ),
        Question("hardware.os", _("Which operating system?"), _("GPU support differs between them"), "select", systems),
    )


def _team() -> tuple[Question, ...]:
    levels = tuple(_(level) for level in LEVELS)
    known = _("without it nothing can be said about what has to be learned")
    weeks = _("experience counts more in short projects")
    return (
        Question("team.people", _("How many people?"), _("it is shown in the report"), "number"),
        *(
            Question(
                f"team.experience.{name}",
                _("How well does the team know {name}?").format(name=FRAMEWORKS[name]),
                known,
                "select",
                levels,
            )
            for name in CANDIDATES
        ),
        Question("timeline_weeks", _("In how many weeks must it work?"), weeks, "number"),
    )


def _code_and_features() -> tuple[Question, ...]:
    sources = (*CANDIDATES, *_retired())
    return (
        Question(
            "existing_code.framework",
            _("Is there code already, and in which framework?"),
            _("moving it costs work"),
            "select",
            sources,
        ),
        Question(
            "existing_code.path", _("Where is that code?"), _("it is read, not run, to see what converts"), "text"
        ),
        Question("must", _("What must the framework have?"), _("who lacks it is eliminated"), "checkbox", features()),
        Question(
            "nice", _("What would be nice to have?"), _("it counts, but eliminates nobody"), "checkbox", features()
        ),
    )


def _weights() -> tuple[Question, ...]:
    why = _("without weights every weighting is taken as equally likely")
    text = _("How much does {criterion} count? (any positive number)")
    return tuple(
        Question(f"weights.{criterion}", text.format(criterion=_(CRITERIA_WORDS[criterion])), why, "number")
        for criterion in CRITERIA
    )


def features() -> tuple[str, ...]:
    """Dimensions that can be asked for: some framework has it, another has it not or in part only."""
    base = facts.load()
    found = []
    for name in base.dimensions():
        answers = {fact.value for fact in base.about(name) if fact.framework in CANDIDATES}
        if "yes" in answers and answers & {"no", "partial"}:
            found.append(name)
    return tuple(found)


def _retired() -> tuple[str, ...]:
    base = facts.load()
    return tuple(name for name in base.frameworks() if base.retired(name) is not None)


Asker = Callable[[Question], Any]


def ask_needs(asker: Asker | None = None) -> Needs:
    """The needs that a person answers with.

    Args:
        asker: gives the answer to a question, None for one that is skipped; asks in the terminal when None.

    Raises:
        BadNeeds: there is no terminal to ask in, or the answers contradict each other.
        KeyboardInterrupt: the person gave up.
    """
    if asker is None:
        require_terminal()
        asker = ask_in_terminal
    data: dict[str, Any] = {}
    for question in questions():
        if question.field == "existing_code.path" and "existing_code" not in data:
            continue
        answer = asker(question)
        if answer not in (None, "", (), []):
            _set(data, question.field.split("."), _value(question, answer))
    return needs_of(data)


def require_terminal() -> None:
    """Raises `BadNeeds` where nobody can answer."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadNeeds(
            "there is no terminal to ask in",
            code="N130",
            why="without a file the needs are asked for one by one",
            next="regauge choose NEEDS.yaml; regauge choose --template writes a commented one",
        )


def _value(question: Question, answer: Any) -> Any:
    if question.field.startswith("team.experience."):
        return int(str(answer)[0])
    if question.kind == "number":
        number = float(answer)
        whole = question.field.startswith(("hardware.", "team."))
        return int(number) if whole and number.is_integer() else number
    return tuple(answer) if isinstance(answer, list) else answer


def _set(data: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        data = data.setdefault(part, {})
    data[path[-1]] = value


def ask_in_terminal(question: Question) -> Any:
    """One question by questionary; an empty answer, or the first choice, skips it."""
    import questionary

    skip = _("(skip)")
    why = _("why: {reason}").format(reason=question.why)
    if question.kind == "checkbox":
        return questionary.checkbox(question.text, choices=list(question.options), instruction=f"({why})").unsafe_ask()
    if question.kind == "select":
        choice = questionary.select(
            question.text, choices=[skip, *question.options], instruction=f"({why})", use_search_filter=False
        ).unsafe_ask()
        return None if choice == skip else choice
    instruction = f"({why}; {_('empty skips')}) "
    validate: Mapping[str, Any] = {"validate": _is_number} if question.kind == "number" else {}
    return questionary.text(question.text, instruction=instruction, **validate).unsafe_ask()


def _is_number(text: str) -> bool | str:
    if not text.strip():
        return True
    try:
        return float(text) > 0 or _("a number above 0, or nothing")
    except ValueError:
        return _("a number above 0, or nothing")


def ask_where_to_save(name: str = "NEEDS.yaml") -> Path | None:
    """Where the answers are kept, a file that is not there yet; None if they are not."""
    import questionary

    def free(text: str) -> bool | str:
        return not Path(text.strip()).exists() or not text.strip() or _("it is there already: another name, please")

    text = _("Save the answers as (empty: do not save)")
    answer = questionary.text(text, default="" if Path(name).exists() else name, validate=free).unsafe_ask()
    return Path(answer.strip()) if answer.strip() else None


def answers_of(fields: Iterable[tuple[str, Any]]) -> Asker:
    """An asker that answers from a list, for tests and scripts."""
    known = dict(fields)
    return lambda question: known.get(question.field)

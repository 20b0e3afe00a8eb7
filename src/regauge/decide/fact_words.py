"""Facts in the language of the reader: their texts, and the labels of their fields.

The Chinese texts stand in ``frameworks.zh.yaml`` as pairs of English and Chinese, so that a changed English text is one
without a translation. A text is looked up whole; one that has no pair stays English.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import yaml

from regauge.decide.fact_file import LOADER, BadFacts
from regauge.decide.facts import Fact
from regauge.language import N_, _, language

FOLDER = Path(__file__).parent

FRAMEWORKS = {
    "pytorch": "PyTorch",
    "jax": "JAX",
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "theano": "Theano",
    "aesara": "Aesara",
    "pytensor": "PyTensor",
    "mxnet": "MXNet",
    "horovod": "Horovod",
    "common": N_("several frameworks"),
}
AREAS = {
    "programming-model": N_("programming model"),
    "autodiff": N_("automatic differentiation"),
    "vectorisation": N_("vectorisation"),
    "data": N_("data loading"),
    "models": N_("model libraries"),
    "optimisers": N_("optimisers"),
    "checkpointing": N_("checkpoints"),
    "distributed": N_("distributed training"),
    "hardware": N_("hardware and platforms"),
    "deployment": N_("deployment"),
    "ecosystem": N_("ecosystem"),
    "tooling": N_("tools"),
    "governance": N_("releases, support, governance"),
    "community": N_("community"),
    "status": N_("state of the project"),
}
VALUES = {"yes": N_("yes"), "no": N_("no"), "partial": N_("partly")}
KINDS = {
    "docs": N_("documentation"),
    "page": N_("page"),
    "thread": N_("discussion"),
    "repo": N_("repository"),
    "registry": N_("package registry"),
    "package": N_("installed package"),
    "observed": N_("observed"),
}
CONFIDENCES = {
    "high": N_("high (a primary source, or a machine check)"),
    "medium": N_("medium (secondary, old or partly read)"),
    "low": N_("low (a vendor's or an old claim)"),
}
LEVELS = {
    "api": N_("names and signatures"),
    "behaviour": N_("a tiny operation that is run"),
    "metadata": N_("package metadata"),
}
STATUSES = {
    "confirmed": N_("confirmed"),
    "stale": N_("stale"),
    "not checked": N_("not checked"),
    "failed": N_("failed"),
}


def label(table: Mapping[str, str], key: str) -> str:
    """The label of a key in the current language."""
    return _(table[key])


def value_text(fact: Fact) -> str:
    """The answer as a reader sees it: yes, no, partly or the number."""
    return label(VALUES, fact.value) if isinstance(fact.value, str) else f"{fact.value:.10g}"


def translated(text: str) -> str:
    """A text of a fact (statement, note, about, replaced_by) in the current language."""
    return texts(language()).get(text, text)


def in_language(fact: Fact) -> Fact:
    """The fact with its texts in the current language; everything that a program reads stays."""
    return replace(
        fact,
        statement=translated(fact.statement),
        about=translated(fact.about),
        note=translated(fact.note) if fact.note else None,
        replaced_by=translated(fact.replaced_by) if fact.replaced_by else None,
    )


@lru_cache
def texts(name: str) -> Mapping[str, str]:
    """English text to its translation; empty for English itself.

    Raises:
        BadFacts: the file of this language is damaged or translates one text twice.
    """
    path = FOLDER / f"frameworks.{name}.yaml"
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    try:
        pairs = yaml.load(path.read_text(encoding="utf-8"), LOADER)
        for pair in pairs:
            if pair["en"] in found:
                raise ValueError(f"translated twice: {pair['en']}")
            found[pair["en"]] = pair[name]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise BadFacts(
            "the file of translated facts cannot be read", where=str(path), received=f"{type(error).__name__}: {error}"
        ) from error
    return found

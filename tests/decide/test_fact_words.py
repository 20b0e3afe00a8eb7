"""Facts in other languages: every text has its pair, and every pair its text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from regauge.decide import fact_file, fact_words, facts
from regauge.decide.fact_words import in_language, texts, translated
from regauge.language import LANGUAGES, use_language

BASE = facts.load()
TRANSLATED = [name for name in LANGUAGES if name != "en"]
# Versions, dates and the names of packages are the same in every language; any other word has to be translated.
NAMES = {
    *("torch", "jax", "flax", "nnx", "optax", "orbax", "equinox", "keras", "tensorflow", "pytensor", "timm"),
    *(
        "transformers",
        "safetensors",
        "litert",
        "ai",
        "edge",
        "tpu",
        "inference",
        "cpu",
        "checkpoint",
        "export",
        "compile",
    ),
}


def wanted() -> set[str]:
    """English texts that need a translation."""
    found = set()
    for fact in BASE.facts:
        found |= {fact.statement, fact.note} - {None}
        for text in (fact.about, fact.replaced_by or ""):
            if {word.lower() for word in re.findall(r"[A-Za-z]{2,}", text)} - NAMES:
                found.add(text)
    return found


@pytest.mark.parametrize("name", TRANSLATED)
def test_every_text_is_translated(name: str) -> None:
    missing = wanted() - set(texts(name))
    assert not missing, "new or changed; add pairs to frameworks.zh.yaml:\n" + "\n".join(sorted(missing))


@pytest.mark.parametrize("name", TRANSLATED)
def test_no_translation_of_what_no_fact_says(name: str) -> None:
    said = {text for fact in BASE.facts for text in (fact.statement, fact.note, fact.about, fact.replaced_by)}
    assert set(texts(name)) <= said


@pytest.mark.parametrize("name", TRANSLATED)
def test_translations_are_in_their_language_and_keep_versions(name: str) -> None:
    for english, other in texts(name).items():
        assert re.search(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", other), english  # letters or punctuation
        kept = re.findall(r"\d+\.\d+(?:\.\d+)*", english)
        assert [number for number in kept if number not in other] == [], english


@pytest.mark.parametrize("name", TRANSLATED)
def test_names_of_the_interface_are_kept(name: str) -> None:
    """Dotted names, options in brackets and commands are not translated."""
    for english, other in texts(name).items():
        for dotted in re.findall(r"\b(?:torch|jax|lax|jnp|numpy)\.[\w.]+\w", english):
            assert dotted in other, (english, dotted)


def test_a_fact_in_the_current_language() -> None:
    fact = BASE.by_id("mx-status")
    assert in_language(fact) == fact
    with use_language("zh"):
        shown = in_language(fact)
        assert "已退役" in shown.statement
        assert shown.replaced_by == "项目未指明"
        assert (shown.id, shown.value, shown.sources) == (fact.id, fact.value, fact.sources)
        assert translated("no fact says this") == "no fact says this"


def test_labels_cover_the_schema() -> None:
    assert tuple(fact_words.AREAS) == fact_file.AREAS
    assert set(fact_words.FRAMEWORKS) == set(fact_file.FRAMEWORKS.values())
    assert tuple(fact_words.VALUES) == fact_file.VALUES
    assert tuple(fact_words.KINDS) == fact_file.KINDS
    assert tuple(fact_words.CONFIDENCES) == fact_file.CONFIDENCES
    assert tuple(fact_words.LEVELS) == fact_file.LEVELS


@pytest.mark.parametrize(
    "text",
    ["- en: a\n  zh: 甲\n- en: a\n  zh: 乙\n", "- en: a\n", "a: [", "7\n"],
    ids=["twice", "half", "yaml", "number"],
)
def test_a_damaged_file_of_translations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "frameworks.zh.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(fact_words, "FOLDER", tmp_path)
    with pytest.raises(fact_file.BadFacts, match="the file of translated facts cannot be read"):
        texts.__wrapped__("zh")

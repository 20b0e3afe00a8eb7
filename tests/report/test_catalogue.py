from __future__ import annotations

import ast
import re
import string

import pytest

from regauge.language import LANGUAGES, MESSAGE_CONTEXT
from regauge.report import catalogue

TRANSLATED = [language for language in LANGUAGES if language != "en"]


def _expression(source: str) -> ast.expr:
    return ast.parse(source, mode="eval").body


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_is_translated(language: str) -> None:
    missing = catalogue.untranslated(language)
    assert not missing, "python -m regauge.report.catalogue adds them; then translate:\n" + "\n".join(missing)


@pytest.mark.parametrize("language", TRANSLATED)
def test_catalogue_holds_nothing_that_no_source_says(language: str) -> None:
    wanted = {(catalogue.key_of(message), message.context) for message in catalogue.extract_messages()}
    stored = {(catalogue.key_of(message), message.context) for message in catalogue.read(language)}
    assert stored <= wanted


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_use_the_values_of_their_message(language: str) -> None:
    for message in catalogue.read(language):
        if not message.id:
            continue
        for text in filter(None, message.string if isinstance(message.string, tuple) else (message.string,)):
            assert _fields(text) == _fields(catalogue.key_of(message)), catalogue.key_of(message)


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_are_in_their_language(language: str) -> None:
    """At least one Chinese character, unless the message is a command or only names and numbers."""
    for message in catalogue.read(language):
        key = catalogue.key_of(message)
        command = re.match(r"(regauge|pip|\{0\} -m) ", key)
        words = re.findall(r"[A-Za-z]+", re.sub(r"\{.*?\}|\w+=|[a-z_]+\.[\w.]+|--[\w-]+", "", key))
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        if len(words) >= 2 and not command:
            assert all(re.search(r"[\u4e00-\u9fff]", text) for text in texts if text), key


@pytest.mark.parametrize("language", TRANSLATED)
def test_stored_catalogue_is_up_to_date(language: str) -> None:
    """Also: an update without changes changes nothing."""
    assert catalogue.updated(language) == catalogue.path_of(language).read_bytes()


def test_patterns_of_literals_and_values() -> None:
    assert catalogue.pattern_of(_expression("'no such file'")) == "no such file"
    assert catalogue.pattern_of(_expression("f'no {a!r} in {b}'")) == "no {0} in {1}"
    assert catalogue.pattern_of(_expression("f'a set {{1}} of {n}'")) == "a set {{1}} of {0}"
    assert catalogue.pattern_of(_expression("'first part, ' + name")) == "first part, {0}"
    assert catalogue.pattern_of(_expression("'word'")) is None
    assert catalogue.pattern_of(_expression("f'{a}:{b}'")) is None
    assert catalogue.pattern_of(_expression("name")) is None


def test_extraction_finds_interface_texts_and_messages() -> None:
    found = {(catalogue.key_of(message), message.context) for message in catalogue.extract_messages()}
    assert ("The check", None) in found  # a template
    assert ("Both sources", None) in found  # of both languages
    assert ("training step", None) in found  # a constant
    assert ("no such file: {0}", MESSAGE_CONTEXT) in found  # an error, with a value inside
    assert ("there is no translation for language {0}", MESSAGE_CONTEXT) in found


def _fields(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}

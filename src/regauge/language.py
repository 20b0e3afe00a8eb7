"""The languages of everything a person reads: gettext catalogues, read from their .po files at first use.

No compiled .mo file exists, so an editable install, a wheel and a source tree behave alike without a build step:
Babel parses the .po once per process, only when another language than English is asked for.

    from regauge.language import _, ngettext

    print(_("{name}: equal").format(name=case.name))

Format *after* translating; a module-level constant is marked with `N_` and translated with `_` where it is shown.
"""

from __future__ import annotations

import gettext
import io
import itertools
import locale as system_locale
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from regauge.errors import RegaugeError

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

LANGUAGES: dict[str, str] = {"en": "English", "zh": "中文"}
CATALOGUES = Path(__file__).parent / "locale"

# Messages of errors and findings are stored as patterns under this context: see `translate_message`.
MESSAGE_CONTEXT = "message"

_current: ContextVar[str] = ContextVar("regauge_language", default="en")


class UnknownLanguage(RegaugeError):
    """The language is not one of `LANGUAGES`."""

    default_code = "L100"


def set_language(name: str) -> str:
    """Show everything in this language from now on; accepts ``zh``, ``zh_CN.UTF-8`` and the like.

    Returns:
        The key of `LANGUAGES` that was chosen.

    Raises:
        UnknownLanguage: there is no catalogue for it.
    """
    key = _key(name)
    if key is None:
        raise UnknownLanguage(
            f"there is no translation for language {name!r}",
            received=name,
            next=f"choose one of {', '.join(LANGUAGES)}",
        )
    _current.set(key)
    return key


def language() -> str:
    """The key of the current language."""
    return _current.get()


@contextmanager
def use_language(name: str) -> Iterator[str]:
    """Within the block everything is shown in this language."""
    before = _current.get()
    try:
        yield set_language(name)
    finally:
        _current.set(before)


def preferred_language(arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> str:
    """The language of a command line, before it is parsed: help texts must already be translated.

    Takes ``--lang zh`` or ``--lang=zh`` from `arguments`, then REGAUGE_LANG, LC_ALL, LC_MESSAGES and LANG; what is
    unknown counts as English here, and `set_language` refuses it later with a message.
    """
    environment = os.environ if environment is None else environment
    wanted = [following for option, following in itertools.pairwise(arguments) if option == "--lang"]
    wanted += [argument.partition("=")[2] for argument in arguments if argument.startswith("--lang=")]
    wanted += [environment.get(name, "") for name in ("REGAUGE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")]
    first = next((name for name in wanted if name), "en")
    return _key(first) or "en"


def _(message: str) -> str:
    """`message` in the current language; English where the catalogue has no entry."""
    return _translations(_current.get()).gettext(message)


def ngettext(singular: str, plural: str, count: int) -> str:
    """The form for `count` in the current language; format it with the count afterwards."""
    return _translations(_current.get()).ngettext(singular, plural, count)


def N_(message: str) -> str:
    """Mark a constant for translation; it is translated with `_` where it is shown."""
    return message


def _key(name: str) -> str | None:
    normal = system_locale.normalize(name).partition("_")[0].partition(".")[0].partition("-")[0].lower()
    if normal in ("c", "posix"):
        return "en"
    return normal if normal in LANGUAGES else None


def translate_message(text: str) -> str:
    """The finished English text of an error, finding or limit in the current language.

    Such texts are made where they arise, with values inside, long before anyone chooses a language. The catalogue
    stores their patterns (``no such file: {0}``); the longest pattern that fits gives the translation and the values
    are set into it. Several texts may be joined by semicolons. A text that no pattern fits, such as a framework's own
    message, stays as it is.
    """
    parts = text.split("; ")
    found = [_translated(part) for part in parts]
    if len(parts) > 1 and None not in found:
        return _("; ").join(part for part in found if part is not None)
    whole = _translated(text)
    return text if whole is None else whole


def _translated(text: str) -> str | None:
    for pattern, translation in _patterns(_current.get()):
        match = pattern.fullmatch(text)
        if match:
            # A value can be a message of its own, such as the reason inside a finding.
            exact = _translations(_current.get()).pgettext
            return translation.format(*(exact(MESSAGE_CONTEXT, value) for value in match.groups()))
    return None


@lru_cache(maxsize=len(LANGUAGES))
def _patterns(name: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    if name == "en":
        return ()
    found = [
        (message.id, message.string)
        for message in _catalogue(name)
        if message.context == MESSAGE_CONTEXT and isinstance(message.id, str) and isinstance(message.string, str)
    ]
    found.sort(key=lambda pair: -len(re.sub(r"\{\d+\}", "", pair[0])))
    return tuple(
        (re.compile(_expression(source), re.DOTALL), translation) for source, translation in found if translation
    )


def _expression(pattern: str) -> str:
    """The regular expression of a pattern: ``{0}`` stands for any text, doubled braces for single ones."""
    pieces = re.split(r"\{\d+\}", pattern)
    return "(.*?)".join(re.escape(piece.replace("{{", "{").replace("}}", "}")) for piece in pieces)


@lru_cache(maxsize=len(LANGUAGES))
def _translations(name: str) -> gettext.NullTranslations:
    if name == "en":
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo

    compiled = io.BytesIO()
    write_mo(compiled, _catalogue(name))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@lru_cache(maxsize=len(LANGUAGES))
def _catalogue(name: str) -> Catalog:
    from babel.messages.pofile import read_po

    with (CATALOGUES / name / "LC_MESSAGES" / "regauge.po").open("rb") as file:
        return read_po(file, locale=name)

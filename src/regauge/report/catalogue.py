"""The message catalogues: extraction from the sources, and update of every .po file.

    python -m regauge.report.catalogue            # add new messages, drop those that no source has any more
    python -m regauge.report.catalogue --check    # list what is not translated; exit 1 if there is something

Two kinds of messages are collected. Interface texts are marked in the code: ``_("...")``, ``N_``, ``ngettext`` and, in
templates, ``both``. Messages of errors, findings and limits are written where they arise, in English and often with
values inside; the syntax tree gives their pattern, ``no such file: {0}``, kept in the context ``message``, and
`regauge.language.translate_message` finds the pattern that a finished text was made from.
"""

from __future__ import annotations

import ast
import datetime
import io
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from regauge import __version__
from regauge.language import CATALOGUES, LANGUAGES, MESSAGE_CONTEXT

PACKAGE = Path(__file__).parents[1]
KEYWORDS = {"_": None, "N_": None, "both": None, "ngettext": (1, 2)}
# Where these calls name a text that a person reads: positions and keywords of the arguments.
TEXTS = {"text", "what", "why", "next", "received", "reason", "note", "details", "fix", "when", "effect"}
TEXTS |= {"claim", "limits", "settle"}
VARIABLES = {"why", "note", "reason", "what"}
RECORDS = (
    *("Finding", "Limit", "Tier", "Distance", "BuiltIn"),
    *("Problem", "Conflict", "Reason", "Flip", "Unknown", "Evidence"),
    *("Group", "Entry"),
    *("Cause", "Trial"),
)
MAKERS = {"value_trials", "replacement_trials"}  # functions of one module that others hand such texts to
KEYED = {"Tier", "Distance"}  # what these are called is a key that the report words itself
WIDTH = 120
HEADER = "# {name}: every text of regauge that a person reads.\n# Licensed as regauge itself, Apache-2.0.\n#"


def extract_messages() -> Catalog:
    """All messages of the package, with the files that they come from, in the order of their text."""
    catalogue = Catalog(project="regauge", charset="utf-8")
    for place, message, context in _extracted():
        catalogue.add(message, locations=[(place, 0)], context=context)
    return catalogue


@cache
def _extracted() -> tuple[tuple[str, str | tuple[str, ...], str | None], ...]:
    files = sorted(file for file in PACKAGE.rglob("*") if file.suffix in (".py", ".j2"))
    classes = _message_classes(_tree(file) for file in files if file.suffix == ".py")
    places = [(file.relative_to(PACKAGE).as_posix(), file) for file in files]
    return tuple((place, *found) for place, file in places for found in _messages(file, classes))


def updated(language: str) -> bytes:
    """The .po file of a language as it should be for the present sources.

    Translations are kept only for messages that are unchanged to the letter: a near match is never guessed.
    """
    current = read(language)
    current.update(extract_messages(), no_fuzzy_matching=True)
    current.obsolete.clear()
    current.creation_date = current.revision_date = _date_of(language)
    current.header_comment = HEADER.format(name=LANGUAGES[language])
    current.project, current.version = "regauge", __version__
    current.msgid_bugs_address, current.last_translator, current.language_team = "none", "regauge", language
    current.fuzzy = False
    buffer = io.BytesIO()
    write_po(buffer, current, width=WIDTH, sort_output=True, include_lineno=False, ignore_obsolete=True)
    return buffer.getvalue()


def untranslated(language: str) -> list[str]:
    """Messages of the sources whose translation is missing or fuzzy, as ``file: message``."""
    current = read(language)
    missing = []
    for wanted in extract_messages():
        if not wanted.id:
            continue
        found = current.get(key_of(wanted), wanted.context)
        if found is None or found.fuzzy or not _complete(found):
            missing.append(f"{wanted.locations[0][0]}: {key_of(wanted)}")
    return missing


def read(language: str) -> Catalog:
    """The catalogue as it is stored; empty if there is none."""
    path = path_of(language)
    if not path.is_file():
        return Catalog(locale=language, charset="utf-8", project="regauge", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def path_of(language: str) -> Path:
    return CATALOGUES / language / "LC_MESSAGES" / "regauge.po"


def pattern_of(node: ast.expr) -> str | None:
    """The pattern of a string expression, ``{0}`` for each value inside; None if it is not a sentence of its own."""
    pieces = _pieces(node)
    if pieces is None:
        return None
    text, fields = "", 0
    for piece in pieces:
        if piece is None:
            text += "{" + str(fields) + "}"
            fields += 1
        else:
            text += piece.replace("{", "{{").replace("}", "}}")
    letters = sum(character.isalpha() for piece in pieces if piece for character in piece)
    return text if letters >= 3 and " " in text.strip() else None


def _pieces(node: ast.expr) -> list[str | None] | None:
    """Literal text and, as None, values, in order; None when the expression is not a string literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _pieces(node.left), _pieces(node.right)
        if left is None and right is None:
            return None
        return (left or [None]) + (right or [None])
    return None


def _messages(file: Path, classes: frozenset[str]) -> Iterator[tuple[str | tuple[str, ...], str | None]]:
    method = "python" if file.suffix == ".py" else "jinja2.ext:babel_extract"
    with file.open("rb") as stream:
        for _line, message, _comments, context in extract(method, stream, keywords=KEYWORDS):
            yield message, context
    if file.suffix == ".py":
        for pattern in _patterns(_tree(file), classes):
            yield pattern, MESSAGE_CONTEXT


def _patterns(tree: ast.Module, classes: frozenset[str]) -> Iterator[str]:
    """Patterns of the texts of this file that end in an error, a finding or another record for a person."""
    for expression in _texts(tree, classes):
        for alternative in _alternatives(expression):
            pattern = pattern_of(alternative)
            if pattern:
                yield pattern


def _texts(tree: ast.Module, classes: frozenset[str]) -> Iterator[ast.expr]:
    """Arguments of a message class or of a function that returns one, also by way of a variable; what variables and
    functions called `why` and the like hold; reasons of unused weights."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    makers = classes | MAKERS | {function.name for function in functions if _name(function.returns) in classes - KEYED}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in makers:
            yield from _arguments(node)
        elif isinstance(node, ast.Assign | ast.AugAssign) and _targets(node) & VARIABLES:
            yield node.value
        elif isinstance(node, ast.keyword) and node.arg == "unused" and isinstance(node.value, ast.Dict):
            yield from node.value.values
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) in makers]
    called = {_name(argument.func) for call in calls for argument in _arguments(call) if isinstance(argument, ast.Call)}
    for function in functions:
        if function.name.rpartition("_")[2] in VARIABLES or function.name in called:
            yield from (node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value)
        yield from _assigned(function, makers)


def _arguments(call: ast.Call) -> list[ast.expr]:
    named = [keyword.value for keyword in call.keywords if keyword.arg in TEXTS]
    return named if _name(call.func) in KEYED else [*call.args, *named]


def _assigned(function: ast.FunctionDef, makers: frozenset[str]) -> Iterator[ast.expr]:
    """What the variables hold that this function hands to a maker of messages."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and _name(node.func) in makers]
    handed = {_name(argument) for call in calls for argument in _arguments(call)} - {""}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AugAssign) and _targets(node) & handed:
            yield node.value


def _targets(node: ast.Assign | ast.AugAssign) -> set[str]:
    """The names that an assignment binds; ``self.notes`` counts as ``note``, like a loop over them."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {_name(target).removesuffix("s") if _name(target) == "notes" else _name(target) for target in targets}


def _message_classes(trees: Iterable[ast.Module]) -> frozenset[str]:
    """Names of the classes that carry texts for a person: records by name, errors by their base classes."""
    definitions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = {"RegaugeError", *RECORDS}
    while True:
        more = {node.name for node in definitions if any(_name(base) in names for base in node.bases)}
        if more <= names:
            return frozenset(names)
        names |= more


def _name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _alternatives(node: ast.expr) -> Iterator[ast.expr]:
    """The expressions that may be the text: both arms of a condition, items of a list, operands of ``or``."""
    if isinstance(node, ast.IfExp):
        yield from _alternatives(node.body)
        yield from _alternatives(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _alternatives(value)
    elif isinstance(node, ast.List | ast.Tuple):
        for value in node.elts:
            yield from _alternatives(value)
    else:
        yield node


def key_of(message: Message) -> str:
    """The English text; the singular of a plural message."""
    return message.id[0] if isinstance(message.id, tuple | list) else message.id


def _complete(message: Message) -> bool:
    texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return bool(texts) and all(texts)


def _date_of(language: str) -> datetime.datetime:
    """The date that the file has already, so that an update without changes changes nothing."""
    stored = read(language).creation_date if path_of(language).is_file() else None
    return stored if isinstance(stored, datetime.datetime) else datetime.datetime.now(datetime.UTC)


def main(arguments: list[str]) -> int:
    """Update every catalogue, or with ``--check`` only list what is missing."""
    missing = []
    for language in LANGUAGES:
        if language == "en":
            continue
        if "--check" not in arguments:
            path_of(language).write_bytes(updated(language))
        missing += [f"{language}: {line}" for line in untranslated(language)]
    print("\n".join(missing) or "every message is translated")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

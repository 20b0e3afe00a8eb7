"""The schema of the file of facts: one refusal per rule, each with its line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from regauge.decide.fact_file import BadFacts, read_facts

GOOD = """\
- id: pt-example
  framework: pytorch
  area: deployment
  dimension: example_export
  statement: It exports.
  value: 'yes'
  about: torch 2.13
  source:
  - ref: https://example.org/page
    kind: docs
  confidence: high
  check:
    imports:
    - math
    expr: math.pi > 3
    level: api
"""
LINES = GOOD.splitlines()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "facts.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_fact_is_read(tmp_path: Path) -> None:
    optional = "  replaced_by: torch.export\n  note: A remark.\n"
    (fact,) = read_facts(written(tmp_path, GOOD + optional))
    assert (fact.id, fact.framework, fact.value) == ("pt-example", "pytorch", "yes")
    assert [(source.ref, source.kind) for source in fact.sources] == [("https://example.org/page", "docs")]
    assert fact.check is not None
    assert (fact.check.imports, fact.check.expr, fact.check.level) == (("math",), "math.pi > 3", "api")
    assert (fact.replaced_by, fact.note) == ("torch.export", "A remark.")


def test_a_fact_without_a_check(tmp_path: Path) -> None:
    text = "\n".join(LINES[:11]) + "\n  check: null\n"
    assert read_facts(written(tmp_path, text))[0].check is None


@pytest.mark.parametrize("value", ["8", "0.75", "-1"])
def test_a_number_is_a_value(tmp_path: Path, value: str) -> None:
    (fact,) = read_facts(written(tmp_path, GOOD.replace("'yes'", value)))
    assert fact.value == float(value)


CHECK = "  check:\n    imports:\n    - math\n    expr: math.pi > 3\n    level: api\n"
SOURCE = "  - ref: https://example.org/page\n    kind: docs\n"
MAPPING = "must be a mapping of fields"

# What is replaced, by what, the line that must be named, the field, and the rule that is broken.
REFUSED = {
    "an unknown framework": ("pytorch", "caffe", 2, "framework", "must be one of pytorch, jax"),
    "a prefix of another": ("pt-", "jx-", 1, "id", "it lacks the prefix of the framework pytorch"),
    "an unknown area": ("deployment", "cooking", 3, "area", "must be one of programming-model"),
    "a dimension with spaces": ("example_export", "example export", 4, "dimension", "lower-case words"),
    "a dimension in capitals": ("example_export", "Example_export", 4, "dimension", "lower-case words"),
    "an empty statement": ("It exports.", "''", 5, "statement", "must be a text that is not empty"),
    "a bare yes": ("'yes'", "yes", 6, "value", "must stand in quotes"),
    "another word": ("'yes'", "maybe", 6, "value", "must be a number or one of yes, no, partial"),
    "no finite number": ("'yes'", ".nan", 6, "value", "must be a number or one of"),
    "a list as value": ("'yes'", "[1, 2]", 6, "value", "must be a number or one of"),
    "a bare date": ("torch 2.13", "2026-11-23", 7, "about", "must be a text"),
    "an unknown kind": ("docs", "rumour", 10, "kind", "must be one of docs, page"),
    "an unknown confidence": ("high", "certain", 11, "confidence", "must be one of high, medium, low"),
    "an unknown level": ("level: api", "level: deep", 16, "level", "must be one of api, behaviour, metadata"),
    "a broken expression": ("math.pi > 3", "math.pi >", 15, "expr", "it is not Python"),
    "a broken import": ("- math", "- math as", 14, "imports", "it is not Python"),
    "no imports": ("    imports:\n    - math\n", "    imports: []\n", 13, "imports", "at least one import"),
    "a check that is a text": (CHECK, "  check: by hand\n", 12, "check", MAPPING),
    "a source that is a text": (SOURCE, "  - https://example.org/page\n", 9, "source", MAPPING),
    "no sources": (f"  source:\n{SOURCE}", "  source: []\n", 8, "source", "at least one source"),
    "an unknown field": ("  about:", "  year: '2026'\n  about:", 7, "year", "no field has this name"),
    "a field twice": ("  about:", "  value: 'no'\n  about:", 7, "value", "it is given twice"),
    "a missing field": ("  about: torch 2.13\n", "", 1, "about", "it is missing"),
    "a missing field of a source": ("    kind: docs\n", "", 9, "kind", "it is missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_rule_names_line_and_field(tmp_path: Path, case: str) -> None:
    old, new, line, field, rule = REFUSED[case]
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(BadFacts) as caught:
        read_facts(path)
    error = caught.value
    assert error.where == f"{path}:{line}"
    assert error.what.startswith(f"the field {field} breaks the schema of facts; ")
    assert rule in error.what
    assert error.exit_code == 2


def test_an_id_twice(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + GOOD.replace("example_export", "another_export"))
    with pytest.raises(BadFacts, match="it is used twice, first in line 1") as caught:
        read_facts(path)
    assert caught.value.where == f"{path}:17"


def test_two_answers_of_one_framework(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + GOOD.replace("pt-example", "pt-other"))
    with pytest.raises(BadFacts, match="one framework has two answers to this question, the first in line 1"):
        read_facts(path)


def test_the_same_question_for_another_framework(tmp_path: Path) -> None:
    other = GOOD.replace("pt-example", "jx-example").replace("framework: pytorch", "framework: jax")
    assert len(read_facts(written(tmp_path, GOOD + other))) == 2


@pytest.mark.parametrize("text", ["", "[]\n", "a text\n", "id: pt-example\n"])
def test_no_list_of_facts(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadFacts, match="holds no list of facts"):
        read_facts(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "line"),
    [(GOOD + "  note: 'open\n", ":18"), (GOOD.replace("'yes'", "!!python/object:os.system {}"), ":6")],
)
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, text: str, line: str) -> None:
    """Also a tag that would build an object: nothing is executed."""
    path = written(tmp_path, text)
    with pytest.raises(BadFacts, match="the file of facts is not YAML") as caught:
        read_facts(path)
    assert caught.value.where == f"{path}{line}"


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadFacts, match="cannot be read"):
        read_facts(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFacts, match="cannot be read"):
        read_facts(tmp_path / "binary.yaml")

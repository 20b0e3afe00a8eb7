"""NEEDS.yaml: what it may say, and every way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from regauge.decide.facts import load
from regauge.decide.needs import SHORT_NAMES, needs_of, parse_needs, read_needs
from regauge.decide.needs_file import DEEPEST, LARGEST_FILE, MOST_VALUES
from regauge.decide.needs_template import needs_yaml, template
from regauge.errors import BadNeeds
from regauge.language import LANGUAGES, use_language

ISSUE = """
name: defect detector
kind: vision
cases: [models/net.py:case]
hardware: {train: [nvidia-gpu], devices: 8, nodes: 1, serve: [cpu], os: linux}
team: {people: 4, experience: {pytorch: 4, jax: 1}}
timeline_weeks: 10
must: [onnx_export, dynamic_shapes_in_compiled_code]
nice: [hugging_face_transformers]
weights: {performance: 3, functions: 2, community: 1, migration: 2, learning: 1}
candidates: [pytorch, jax, keras, tensorflow]
"""


def refusal(text: str) -> BadNeeds:
    with pytest.raises(BadNeeds) as caught:
        parse_needs(text)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_whole_file() -> None:
    needs = parse_needs(ISSUE)
    assert needs.name == "defect detector"
    assert needs.hardware.train == ("nvidia-gpu",)
    assert needs.team.experience == {"pytorch": 4, "jax": 1}
    assert needs.weights.stated()["performance"] == 3.0
    assert parse_needs(needs_yaml(needs)) == needs


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_template_is_valid_and_commented_in_every_language(language: str) -> None:
    with use_language(language):
        text = template()
    needs = parse_needs(text)
    assert needs.kind == "vision"
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(comments) >= 12
    uncommented = "\n".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# weights:"))
    assert parse_needs(f"{text}\n{uncommented}").weights.stated()


def test_one_problem_names_line_field_what_was_read_and_what_is_allowed() -> None:
    error = refusal("name: x\nkind: vison\n")
    assert error.where == "NEEDS.yaml:2"
    assert error.details == (
        "NEEDS.yaml:2:1, field kind: not one of the allowed values; read: vison; "
        "allowed: vision, language, speech, control, science, generative, recommendation, other",
    )


# The needs, and for each problem in them the beginning of its line and something that the line must say.
WRONG: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "unknown fields with near ones": (
        "kinds: vision\nhardware: {trian: [cpu]}",
        [("1:1, field kinds:", "allowed: kind"), ("2:12, field hardware.trian:", "allowed: train")],
    ),
    "wrong types": (
        "name: [a]\nhardware: {devices: 8.5, train: cpu}\nteam: {people: true}\nweights: 3\nmust: onnx_export",
        [
            ("1:1, field name:", "this is not text; read: [a]"),
            ("2:12, field hardware.devices:", "not a whole number; read: 8.5"),
            ("2:26, field hardware.train:", "not a list"),
            ("3:8, field team.people:", "not a whole number; read: true"),
            ("4:1, field weights:", "not a group of fields"),
            ("5:1, field must:", "not a list"),
        ],
    ),
    "absurd weights": (
        "weights: {performance: -1, functions: 0, community: .nan, migration: .inf, learning: 1e30}",
        [
            ("1:11, field weights.performance:", "read: -1"),
            ("1:28, field weights.functions:", "read: 0"),
            ("1:53, field weights.community:", "not a finite number; read: .nan"),
            ("1:70, field weights.migration:", "not a finite number; read: .inf"),
            ("1:76, field weights.learning:", "allowed: <= 1e+06"),
        ],
    ),
    "numbers out of range": (
        "hardware: {devices: 0, nodes: -2}\nteam: {experience: {pytorch: 9, jax: -1}}\ntimeline_weeks: 0",
        [
            ("1:12, field hardware.devices:", "allowed: >= 1"),
            ("1:24, field hardware.nodes:", "read: -2"),
            ("2:21, field team.experience.pytorch:", "allowed: <= 5"),
            ("2:33, field team.experience.jax:", "allowed: >= 0"),
            ("3:1, field timeline_weeks:", "allowed: > 0"),
        ],
    ),
    "dimensions that no fact knows": (
        "must: [onnx_exprt]\nnice: [dynamic_shape]",
        [("1:8, field must[0]:", "allowed: onnx_export"), ("2:8, field nice[0]:", "dynamic_shapes_in_compiled_code")],
    ),
    "a dimension of numbers": (
        "must: [pypi_download_rank]",
        [("1:8, field must[0]:", "numbers, which no need can decide")],
    ),
    "unknown frameworks": (
        "candidates: [torch, jax]\nteam: {experience: {jaxx: 3}}\nexisting_code: {framework: chainer}",
        [
            ("1:14, field candidates[0]:", "read: torch; allowed: pytorch"),
            ("2:21, field team.experience.jaxx:", "not a framework that is known"),
            ("3:17, field existing_code.framework:", "read: chainer"),
        ],
    ),
    "duplicate fields": ("kind: vision\nname: a\nkind: science", [("3:1, field kind:", "the field stands here twice")]),
    "fields without names": (
        "1: a\n[x]: b",
        [("1:1, the whole:", "must be text"), ("2:1, the whole:", "must be text")],
    ),
    "tags": ("name: !!python/object/apply:os.system [ls]", [("1:1, field name:", "not text")]),
    "a tag on a text": ("name: !secret x", [("1:7, field name:", "a tag that NEEDS.yaml does not have")]),
    "no candidates": ("candidates: []", [("1:1, field candidates:", "an empty list")]),
    "a path that is not there": (
        "existing_code: {framework: pytorch, path: no/such}",
        [("1:37, field existing_code.path:", "no such file or directory; read: no/such")],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_problem_is_told_at_once(name: str) -> None:
    text, expected = WRONG[name]
    details = refusal(text).details
    for place, said in expected:
        line = next((line for line in details if line.startswith(f"NEEDS.yaml:{place} ")), None)
        assert line is not None, f"{place} is not among {details}"
        assert said in line


CONFLICTS = {
    "an NVIDIA GPU under macOS": ("hardware: {train: [nvidia-gpu], os: macos}", "macOS does not drive this device"),
    "a TPU under Windows": ("hardware: {train: [tpu], os: windows}", "TPUs are driven by Linux only"),
    "a TPU under macOS": ("hardware: {train: [tpu], os: macos}", "macOS does not drive this device"),
    "an Apple GPU under Linux": ("hardware: {train: [apple-gpu], os: linux}", "Apple's GPUs are driven by macOS only"),
    "more nodes than devices": ("hardware: {devices: 1, nodes: 4}", "every node has at least one device"),
    "a dimension and its opposite": (
        "must: [dynamic_shapes_in_compiled_code, recompiles_per_new_input_shape]",
        "one is the opposite of the other",
    ),
    "a dimension of another system": (
        "hardware: {os: linux}\nmust: [nvidia_gpu_windows]",
        "the dimension speaks of another operating system",
    ),
    "only ended candidates": ("candidates: [theano, mxnet]", "every candidate has ended"),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_contradictory_needs_are_named(name: str) -> None:
    text, said = CONFLICTS[name]
    details = refusal(text).details
    assert len(details) == 1
    assert said in details[0]


def test_all_conflicts_at_once() -> None:
    text = "hardware: {train: [apple-gpu], os: linux, devices: 1, nodes: 4}\nmust: [nvidia_gpu_windows]"
    assert len(refusal(text).details) == 3


def test_ended_candidates_are_told_with_date_and_fact() -> None:
    assert "mxnet (2023-11, mx-status)" in refusal("candidates: [mxnet]").details[0]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN = {
    "a bomb of aliases": (BOMB, "aliases repeat each other too often"),
    "an alias of itself": ("a: &a [*a]", "aliases repeat each other too often"),
    "deep nesting": ("[" * 5000, "nested too deeply"),
    "deep mappings": ("{a: " * 200 + "1" + "}" * 200, "nested too deeply"),
    "too many values": (f"must: [{'x,' * (MOST_VALUES + 1)}]", "too many values"),
    "no YAML": ("a: [b", "not valid YAML"),
    "two documents": ("kind: vision\n---\nkind: vision", "not valid YAML"),
    "an unknown escape": ('name: "\\q"', "not valid YAML"),
    "a control character": ("name: \x07", "not valid YAML"),
    "nothing": ("", "cannot be used"),
    "a list": ("- kind", "cannot be used"),
    "a text": ("vision", "cannot be used"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_needs_at_all(name: str) -> None:
    text, said = BROKEN[name]
    error = refusal(text)
    assert said in error.what
    assert error.next == "regauge choose --template writes a commented example"


def test_nesting_within_the_limit_is_judged_by_the_schema() -> None:
    assert "name" in refusal(f"name: {'[' * (DEEPEST - 2)}{']' * (DEEPEST - 2)}").details[0]


FILES = {
    "binary": (b"\x00\x01\x02kind", "not text"),
    "not UTF-8": ("kind: vision # é".encode("latin-1"), "not text"),
    "too large": (b"#" * (LARGEST_FILE + 1), "too large"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_text(name: str, tmp_path: Path) -> None:
    content, said = FILES[name]
    path = tmp_path / "NEEDS.yaml"
    path.write_bytes(content)
    with pytest.raises(BadNeeds, match=said):
        read_needs(path)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(BadNeeds, match="no such file"):
        read_needs(tmp_path / "NEEDS.yaml")
    with pytest.raises(BadNeeds, match="must be a file"):
        read_needs(tmp_path)


def test_the_code_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    path = tmp_path / "NEEDS.yaml"
    path.write_text("existing_code: {framework: pytorch, path: src}", encoding="utf-8")
    code = read_needs(path).existing_code
    assert code is not None
    assert code.path == str(tmp_path / "src")


def test_a_byte_order_mark_and_scientific_numbers() -> None:
    assert parse_needs("\ufeffkind: vision".removeprefix("\ufeff")).kind == "vision"
    assert parse_needs("weights: {performance: 1e3}").weights.performance == 1000.0


def test_plain_values_are_checked_alike() -> None:
    assert needs_of({"kind": "vision", "must": ["onnx_export"]}).must == ("onnx_export",)
    with pytest.raises(BadNeeds, match="needs, field must\\[0\\]: no fact has this dimension"):
        needs_of({"must": ["onnx_exprt"]})


def test_short_names_of_dimensions() -> None:
    needs = parse_needs("kind: vision\nmust: [onnx_export, dynamic_shapes]\nnice: [huggingface_models]\n")
    assert needs.must == ("dynamic_shapes_in_compiled_code", "onnx_export")
    assert needs.nice == ("hugging_face_transformers",)
    assert set(SHORT_NAMES.values()) <= set(load().dimensions())


def test_wanted_and_needed_is_needed() -> None:
    assert needs_of({"must": ["vmap"], "nice": ["vmap", "onnx_export"]}).nice == ("onnx_export",)


def test_names_in_chinese_and_odd_characters() -> None:
    assert parse_needs("name: 缺陷检测").name == "缺陷检测"
    assert "\\ud800" in refusal('name: "\\ud800"').details[0]

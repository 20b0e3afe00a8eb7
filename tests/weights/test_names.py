"""Paths as libraries write them, read: kinds, words, places; and the page that shows the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from regauge.weights import synonyms
from regauge.weights.names import natural, positions, read

PAGE = (Path(__file__).parents[2] / "docs" / "weight-maps.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "kind", "words", "numbers"),
    [
        ("encoder.layer.0.attention.self.query.weight", "weight", "layer attn q", [0]),
        ("encoder.layer.3.output.LayerNorm.bias", "bias", "layer mlp norm", [3]),
        ("['params']['h']['3']['attn']['c_attn']['kernel']", "weight", "layer attn qkv", [3]),
        ("model.layers.2.self_attn.o_proj.weight", "weight", "layer attn out", [2]),
        ("layers.1.feed_forward.w1.weight", "weight", "layer mlp gate", [1]),
        ("lstm.weight_ih_l0", "weight", "lstm ih l", [0]),
        ("lstm.bias_hh_l1_reverse", "bias", "lstm hh l reverse", [1]),
        ("self_attn.in_proj_weight", "weight", "attn qkv", []),
        ("params/BatchNorm_0/scale", "weight", "norm", [0]),
        ("batch_stats/BatchNorm_0/mean", "mean", "norm", [0]),
        ("bn.running_var", "variance", "norm", []),
        ("bn.num_batches_tracked", "count", "norm", []),
        ("mlp/~/linear_0/w", "weight", "mlp linear", [0]),
        ("blocks.0.mlp.fc1.weight", "weight", "layer mlp up", [0]),
        ("dense.kernel.value", "weight", "linear", []),
        ("pos_embedding", "", "position embed", []),
        ("w1", "weight", "", [1]),
        ("x", "", "x", []),
        ("", "", "", []),
    ],
)
def test_paths_are_read(path, kind, words, numbers):
    name = read(path)
    assert (name.kind, " ".join(name.words), [number for number, _ in name.numbers]) == (kind, words, numbers)


def test_members_of_a_family_have_one_pattern():
    assert read("layers.3.fc1.weight").pattern == read("layers.12.fc1.weight").pattern
    assert read("layers.3.fc1.weight").pattern != read("layers.3.fc2.weight").pattern


def test_numbers_are_places():
    names = [read(f"net.{n}.weight") for n in (0, 2, 5, 11)]
    assert [positions(names)[name.raw] for name in names] == [(0,), (1,), (2,), (3,)]


def test_numbers_are_sorted_as_numbers():
    assert sorted(["l.10", "l.9", "l", "l.1"], key=natural) == ["l", "l.1", "l.9", "l.10"]


def test_no_spelling_has_two_meanings():
    spellings = [way for ways in synonyms.PHRASES.values() for way in ways]
    assert sorted(spellings) == sorted(set(spellings))
    words = [word for words in synonyms.KINDS.values() for word in words]
    assert sorted(words) == sorted(set(words))


def test_fused_words_are_made_of_words_that_exist():
    known = {word for phrase in synonyms.PHRASES for word in phrase.split()}
    assert {part for parts in synonyms.FUSED.values() for part in parts} <= known
    assert set(synonyms.FUSED) <= set(synonyms.PHRASES)


@pytest.mark.parametrize("table", [synonyms.KINDS, synonyms.PHRASES, synonyms.FUSED], ids=["kinds", "phrases", "fused"])
def test_the_page_shows_the_tables(table):
    missing = [key for key, ways in table.items() if f"| {key} | {', '.join(f'`{way}`' for way in ways)} |" not in PAGE]
    assert not missing


def test_the_page_shows_what_may_be_absent():
    assert [part for part, reason in synonyms.OPTIONAL.items() if f"| `{part}` | {reason} |" not in PAGE] == []
    assert ", ".join(f"`{order}`" for order in synonyms.DOCUMENTED_ORDERS) in PAGE

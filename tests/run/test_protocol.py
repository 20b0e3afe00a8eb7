"""Trees and JSON files between processes."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict, namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regauge.run.protocol import flatten_tree, leaf_names, read_json, unflatten_tree, write_json


class Leaf:
    pass


def is_leaf(node):
    return isinstance(node, Leaf)


Point = namedtuple("Point", ["x", "y"])


@dataclasses.dataclass
class Output:
    logits: object
    cache: object = None


KEYS = st.text("abcdef", min_size=1, max_size=3)
TREES = st.recursive(
    st.one_of(st.builds(Leaf), st.none(), st.integers(), st.booleans(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(KEYS, inner, max_size=3)
    ),
)


@given(TREES)
def test_a_tree_survives_its_skeleton(tree):
    skeleton, leaves = flatten_tree(tree, is_leaf, "inputs")
    skeleton = json.loads(json.dumps(skeleton))
    assert unflatten_tree(skeleton, leaves) == tree
    assert leaf_names(skeleton) == list(leaves)


def test_names_are_places():
    skeleton, leaves = flatten_tree(({"a": Leaf()}, [Leaf(), 3]), is_leaf, "outputs")
    assert list(leaves) == ["outputs.0.a", "outputs.1.0"]
    assert skeleton == {
        "tuple": [
            {"dict": {"a": {"leaf": "outputs.0.a"}}},
            {"list": [{"leaf": "outputs.1.0"}, {"value": 3}]},
        ]
    }


def test_a_single_leaf_without_a_name():
    leaf = Leaf()
    skeleton, leaves = flatten_tree(leaf, is_leaf)
    assert (skeleton, leaves) == ({"leaf": ""}, {"": leaf})


@pytest.mark.parametrize(
    ("tree", "record"), [(Output(Leaf()), "dataclass"), (Point(Leaf(), 1), "NamedTuple")], ids=["dataclass", "tuple"]
)
def test_records_come_back_as_named_tuples(tree, record):
    skeleton, leaves = flatten_tree(tree, is_leaf, "out")
    assert (skeleton["type"], skeleton["record"]) == (type(tree).__name__, record)
    found = unflatten_tree(json.loads(json.dumps(skeleton)), leaves)
    assert all(getattr(found, field) is getattr(tree, field) for field in found._fields)
    assert type(found) is type(unflatten_tree(skeleton, leaves))  # so that their structures are equal
    assert len(leaves) == 1


def test_other_mappings_come_back_as_dicts():
    skeleton, leaves = flatten_tree(OrderedDict(logits=Leaf()), is_leaf, "out")
    assert skeleton["type"] == "OrderedDict"
    assert type(unflatten_tree(skeleton, leaves)) is dict


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), 3j], ids=lambda value: type(value).__name__)
def test_what_is_no_tree_is_named_with_its_place(value):
    with pytest.raises(TypeError, match=rf"^inputs\.1\.a holds a {type(value).__name__}, which is not"):
        flatten_tree((1, {"a": value}), is_leaf, "inputs")


def test_two_leaves_of_one_name_are_refused():
    with pytest.raises(TypeError, match=r"two arrays have the name inputs\.a\.b"):
        flatten_tree({"a.b": Leaf(), "a": {"b": Leaf()}}, is_leaf, "inputs")


def test_json_is_written_at_once_and_unescaped(tmp_path):
    path = tmp_path / "reply.json"
    write_json(path, {"text": "等价", "n": 1})
    write_json(path, {"text": "等价", "n": 2})
    assert read_json(path) == {"text": "等价", "n": 2}
    assert "等价" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["reply.json"]


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "reply.json"
    write_json(path, {"n": 1})
    with pytest.raises(TypeError):
        write_json(path, {"n": object()})
    assert read_json(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["reply.json"]

"""A sample of the suite: some mutants are caught by the named tier, some correct pairs are equal. All: `make judge`."""

from __future__ import annotations

from pathlib import Path

import pytest

from judge.correct import PAIRS
from judge.judging import judge_mutant, judge_pair
from judge.mutation import At, Mutation, mutated
from judge.mutations import MUTATIONS
from judge.pairs import Pair

_MUTANTS = {
    ("batch norm eps 1e-6 for 1e-5", "resnet"),
    ("gates of a GRU exchanged", "gru"),
    ("clip for clamp", "graph"),
    ("sum of the loss for its mean", "mlp"),
    ("clipping without 1e-6", "mlp"),
    ("variance with ddof 0 for 1", "mlp"),
}
_PAIRS = {
    ("as it is", "graph"),
    ("attention by its formula", "decoder"),
    ("layers stacked under a scan", "functions"),
    ("attention", "functions"),
    ("optimizer: RMSprop with momentum", "mlp"),
}

# the port as it is beside the port with a mistake: NNX, Linen and plain functions; the last ones run always
_TWO_OF_JAX = {
    ("layer norm eps 1e-6 for 1e-5", "encoder"),  # NNX
    ("GELU by tanh for the exact one", "encoder"),
    ("padding mask left out", "encoder"),
    ("key and value exchanged", "encoder"),
    ("average pool without padding in the count", "cnn"),
    ("batch norm momentum 0.01 for 0.1", "cnn"),
    ("ReLU as maximum", "cnn"),
    ("softmax over the wrong axis", "decoder"),  # Linen
    ("scale of attention left out", "decoder"),
    ("causal mask off by one", "decoder"),
    ("square weight not transposed", "decoder"),
    ("another slope of leaky ReLU", "resnet"),
    ("max pool padded with zeros", "resnet"),
    ("update gate inverted", "gru"),  # a plain function
    ("gates of a GRU exchanged", "gru"),
    ("bias left out", "gru"),
    ("scatter that sets for one that adds", "graph"),
    ("variance with ddof 0 for 1", "cnn"),
}
_ALWAYS = {"scatter that sets for one that adds", "gates of a GRU exchanged"}

ALL = [(mutation, place) for mutation in MUTATIONS for place in mutation.places]


def name_of(mutation: Mutation, place: At) -> str:
    return f"{mutation.name} in {place.base}"


@pytest.mark.parametrize(
    ("mutation", "place"),
    [pytest.param(*pair, id=name_of(*pair)) for pair in ALL if (pair[0].name, pair[1].base) in _MUTANTS],
)
def test_a_mutant_is_caught(mutation: Mutation, place: At, tmp_path: Path) -> None:
    result = judge_mutant(mutation, place, tmp_path)
    assert result.right, result


@pytest.mark.parametrize(
    ("mutation", "place"),
    [
        pytest.param(*pair, id=name_of(*pair), marks=[] if pair[0].name in _ALWAYS else [pytest.mark.slow])
        for pair in ALL
        if (pair[0].name, pair[1].base) in _TWO_OF_JAX
    ],
)
def test_a_mutant_of_a_jax_model_is_explained(mutation: Mutation, place: At, tmp_path: Path) -> None:
    result = judge_mutant(mutation, place, tmp_path, jax_alone=True)
    assert result.right, result
    assert result.right_cause, result


@pytest.mark.parametrize(
    "pair", [pytest.param(pair, id=f"{pair.name} in {pair.base}") for pair in PAIRS if (pair.name, pair.base) in _PAIRS]
)
def test_a_correct_pair_is_equal(pair: Pair, tmp_path: Path) -> None:
    result = judge_pair(pair, tmp_path)
    assert result.right, result


def test_the_samples_are_of_the_suite() -> None:
    assert {(mutation.name, place.base) for mutation, place in ALL} >= _MUTANTS | _TWO_OF_JAX
    assert {(pair.name, pair.base) for pair in PAIRS} >= _PAIRS


def test_every_mutant_changes_its_base_and_compiles() -> None:
    names = [name_of(*pair) for pair in ALL]
    assert len(set(names)) == len(names)
    for mutation, place in ALL:
        before, after, line = mutated(place)
        compile(after, name_of(mutation, place), "exec")
        assert place.common or (line and before != after), name_of(mutation, place)


def test_the_suite_is_as_large_as_it_says() -> None:
    assert len(MUTATIONS) >= 60
    assert len({f"{pair.name} in {pair.base}" for pair in PAIRS}) == len(PAIRS) >= 60

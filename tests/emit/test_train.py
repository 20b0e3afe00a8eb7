"""The text of train.py: golden files of common optimizers, what it holds, and that it runs as the contract says."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from regauge.emit.formatting import format_source
from regauge.emit.parameter_rules import rule_text
from regauge.emit.schedules import number, schedule_text
from regauge.emit.train import emit_train
from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Formula,
    Group,
    LinearWarmup,
    MultiStep,
    NAdam,
    RAdam,
    RMSprop,
    Schedule,
    Sequence,
    StepLR,
    WarmupCosine,
)
from regauge.run.jax_source import load_sources
from regauge.weights.mapping import WeightEntry

GOLDEN = Path(__file__).parents[1] / "golden" / "train"

LOSS = """def loss(outputs, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[:, None], axis=1).mean()
"""

ENTRIES = [
    WeightEntry("embed.weight", "embed.embedding", (), (16, 8)),
    WeightEntry("norm.weight", "norm.scale", (), (8,)),
    WeightEntry("norm.bias", "norm.bias", (), (8,)),
    WeightEntry("head.weight", "head.kernel", (("permute", (1, 0)),), (4, 8)),
    WeightEntry("head.bias", "head.bias", (), (4,)),
    WeightEntry("norm.running_mean", "norm.mean", (), (8,), role="buffer", trainable=False),
]
FIXED = [WeightEntry("embed.weight", "embed.embedding", (), (16, 8), trainable=False), *ENTRIES[1:]]
NO_DECAY = Group(("*.bias", "norm.*"), {"weight_decay": 0.0})

STEP_CASES = {
    "damped": SGD(lr=0.1, momentum=0.9, dampening=0.5),
    "amsgrad": AdamW(lr=0.1, amsgrad=True, schedule=Constant(0.5, 1)),
    "centered": RMSprop(lr=0.01, centered=True, momentum=0.5, schedule=Exponential(0.9)),
    "nadam": NAdam(lr=0.1, schedule=CosineRestarts(2, 10, 1e-3)),
    "radam": RAdam(lr=0.1, weight_decay=0.1, decoupled_weight_decay=True),
    "adamax": Adamax(lr=0.1),
    "adadelta": Adadelta(lr=5.0, clip_value=0.5),
    "moving momentum": SGD(
        lr=0.05, momentum=0.9, nesterov=True, momentum_schedule=Formula("cycle", ("-", "base", ("*", 0.1, "step")))
    ),
    "moving beta": AdamW(
        lr=0.1,
        schedule=Formula("learning_rate", ("where", ("<", "step", 2), ("/", ("+", "step", 1), 2), 1.0)),
        momentum_schedule=Formula("loss", ("**", 0.9, "step")),
    ),
    "frozen": SGD(lr=0.1, frozen=("embed.*",), groups=(Group("*.bias", {"lr": 0.3}),), clip_norm=0.1),
}

GOLDEN_CASES = {
    "adamw": (AdamW(lr=3e-4), ENTRIES),
    "sgd_momentum": (SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, schedule=StepLR(30)), ENTRIES),
    "adamw_finetuning": (
        AdamW(lr=5e-5, weight_decay=0.01, schedule=WarmupCosine(100, 1000), clip_norm=1.0, groups=(NO_DECAY,)),
        ENTRIES,
    ),
    "adam_fixed_embedding": (Adam(lr=1e-3, schedule=Cosine(200, 1e-5)), FIXED),
    "rmsprop": (RMSprop(lr=1e-3, momentum=0.9), ENTRIES),
    "adagrad": (Adagrad(lr=0.01, lr_decay=1e-4), ENTRIES),
    "loss_only": (None, ENTRIES),
}


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_golden(name):
    optimizer, entries = GOLDEN_CASES[name]
    text = format_source(emit_train(loss=LOSS, optimizer=optimizer, entries=entries, name="Classifier"))
    path = GOLDEN / f"{name}.py"
    if os.environ.get("REGAUGE_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"rewrite {path} with REGAUGE_UPDATE_GOLDEN=1 if this is meant"


class Norm(nnx.Module):
    def __init__(self):
        self.scale = nnx.Param(jnp.ones(8))
        self.bias = nnx.Param(jnp.zeros(8))
        self.mean = nnx.BatchStat(jnp.zeros(8))


class Classifier(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(16, 8, rngs=rngs)
        self.norm = Norm()
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens).mean(1)
        self.norm.mean[...] = 0.9 * self.norm.mean[...] + 0.1 * x.mean(0)
        return self.head(x * self.norm.scale[...] + self.norm.bias[...])


def loaded(optimizer, entries=ENTRIES, **options):
    text = emit_train(loss=LOSS, optimizer=optimizer, entries=entries, name="Classifier", **options)
    return load_sources({"train": format_source(text)})["train"]


def after_steps(train, steps=3):
    """Parameters before and after, state after, losses."""
    graphdef, params, state, opt_state = train.init(Classifier(nnx.Rngs(0)))
    before = jax.tree.map(np.array, nnx.to_pure_dict(params))
    tokens = jnp.arange(48).reshape(12, 4) % 16
    targets = jnp.arange(12) % 4
    losses = []
    step = train.make_train_step(graphdef)
    for _ in range(steps):
        params, state, opt_state, value = step(params, state, opt_state, (tokens,), targets)
        losses.append(float(value))
    assert step._cache_size() == 1  # no dtype or weak type changes from step to step
    return before, jax.tree.map(np.array, nnx.to_pure_dict(params)), nnx.to_pure_dict(state), losses


@pytest.mark.parametrize("optimizer", STEP_CASES.values(), ids=STEP_CASES)
def test_every_helper_in_the_jitted_step(optimizer):
    before, after, _, losses = after_steps(loaded(optimizer))
    assert losses[-1] < losses[0]
    assert not np.array_equal(before["head"]["bias"], after["head"]["bias"])


@pytest.mark.parametrize("name", [name for name in GOLDEN_CASES if name != "loss_only"])
def test_jitted_step_trains_and_carries_the_state(name):
    before, after, state, losses = after_steps(loaded(*GOLDEN_CASES[name]))
    assert losses[-1] < losses[0]
    assert np.abs(state["norm"]["mean"]).max() > 0
    assert ("embedding" in state.get("embed", {})) == (name == "adam_fixed_embedding")
    assert not np.array_equal(before["head"]["kernel"], after["head"]["kernel"])


class Chosen(Classifier):
    def __call__(self, tokens, mode="sum"):
        return super().__call__(tokens)


@pytest.mark.parametrize("rewrites", [False, True])
def test_texts_of_the_case_stay_outside_of_the_jitted_step(rewrites):
    train = loaded(SGD(lr=0.1), texts=True, rewrites=rewrites)
    tokens, targets = jnp.arange(8).reshape(2, 4), jnp.array([0, 1])
    losses = []
    for inputs in ((tokens, "sum"), {"tokens": tokens, "mode": "sum"}, (tokens,)):
        graphdef, *carry = train.init(Chosen(nnx.Rngs(0)))
        losses.append(float(train.make_train_step(graphdef)(*carry, inputs, targets)[3]))
    assert losses == [losses[0]] * 3


def test_loss_without_an_optimizer():
    train = loaded(None)
    assert not hasattr(train, "make_optimizer")
    assert not hasattr(train, "train_step")
    graphdef, params, state, opt_state = train.init(Classifier(nnx.Rngs(0)))
    assert opt_state is None
    inputs = {"tokens": jnp.arange(8).reshape(2, 4)}
    value, outputs, gradients, _ = train.loss_and_gradients(graphdef, params, state, inputs, jnp.array([0, 1]))
    assert value.shape == ()
    assert outputs.shape == (2, 4)
    assert jax.tree.structure(gradients) == jax.tree.structure(params)


def test_frozen_by_the_spec_keeps_its_gradient_in_the_norm_but_does_not_move():
    optimizer = SGD(lr=1.0, clip_norm=1e-3, frozen=("embed.*",))
    before, after, _, _ = after_steps(loaded(optimizer), steps=1)
    np.testing.assert_array_equal(before["embed"]["embedding"], after["embed"]["embedding"])
    moved = np.sqrt(sum(np.sum((after["head"][k] - before["head"][k]) ** 2) for k in ("kernel", "bias")))
    assert 0 < moved < 1e-3  # the embedding's gradient takes its share of the limit


def test_a_parameter_without_gradient_does_not_decay():
    optimizer = AdamW(lr=0.1, weight_decay=0.5)
    usual, decayed, _, _ = after_steps(loaded(optimizer), steps=1)
    before, kept, _, _ = after_steps(loaded(optimizer, without_gradient=["norm.weight"]), steps=1)
    np.testing.assert_array_equal(before["norm"]["scale"], kept["norm"]["scale"])
    assert not np.array_equal(usual["norm"]["scale"], decayed["norm"]["scale"])


def test_without_decay_a_parameter_without_gradient_needs_no_group():
    text = emit_train(loss=LOSS, optimizer=Adam(), entries=ENTRIES, name="X", without_gradient=["norm.weight"])
    assert "partition" not in text


def test_groups_may_name_weights_that_the_module_does_not_hold():
    optimizer = AdamW(groups=(Group(("pooler.weight",), {"lr": 1.0}),))
    with pytest.raises(UnsupportedOptimizer, match=r"no parameter is named 'pooler.weight'"):
        emit_train(loss=LOSS, optimizer=optimizer, entries=ENTRIES, name="X")
    assert "partition" not in emit_train(
        loss=LOSS, optimizer=optimizer, entries=ENTRIES, name="X", unused=["pooler.weight"]
    )


def test_mixed_dtypes_keep_their_gradients_narrow():
    mixed = [*ENTRIES[:-1], WeightEntry("low.weight", "low.kernel", (), (2,), "bfloat16")]
    train = loaded(SGD(lr=1.0, clip_norm=1.0), mixed)
    gradients = {"low": jnp.ones(2, jnp.bfloat16), "head": jnp.ones(2, jnp.float32)}
    clipped, _ = train.clip_by_norm(1.0).update(gradients, None)
    assert {key: value.dtype for key, value in clipped.items()} == {"low": jnp.bfloat16, "head": jnp.float32}


@pytest.mark.parametrize(
    ("optimizer", "entries", "said"),
    [
        (SGD(), [ENTRIES[-1]], "no parameter is left to train"),
        (SGD(frozen=("*",)), ENTRIES, "all frozen"),
        (SGD(groups=(Group(("nowhere",), {"lr": 1.0}),)), ENTRIES, "no parameter is named 'nowhere'"),
    ],
)
def test_refusals(optimizer, entries, said):
    with pytest.raises(UnsupportedOptimizer, match=said):
        emit_train(loss=LOSS, optimizer=optimizer, entries=entries, name="X")


def test_complex_parameters_are_refused_with_the_reason():
    entries = [*ENTRIES, WeightEntry("phase", "phase", (), (2,), "complex64")]
    with pytest.raises(UnsupportedOptimizer, match="conjugate") as caught:
        emit_train(loss=LOSS, optimizer=SGD(), entries=entries, name="X")
    assert caught.value.details == ("phase: complex64",)
    assert "make_optimizer" not in emit_train(loss=LOSS, optimizer=None, entries=entries, name="X")


def test_groups_may_name_parameters_that_do_not_train():
    optimizer = SGD(groups=(Group("embed.*", {"lr": 1.0}),))
    assert "partition" not in emit_train(loss=LOSS, optimizer=optimizer, entries=FIXED, name="X")


def test_a_buffer_in_the_place_of_a_parameter_does_not_train():
    held = WeightEntry("embed.weight", "embed.embedding", (), (16, 8), role="buffer", trainable=False)
    before, after, state, _ = after_steps(loaded(SGD(lr=0.1), [held, *ENTRIES[1:]]))
    assert "embed" not in after
    assert state["embed"]["embedding"].shape == (16, 8)
    assert "embed" not in before


def test_a_rate_of_zero_has_no_share():
    with pytest.raises(UnsupportedOptimizer, match="needs a learning rate above 0"):
        schedule_text(WarmupCosine(2, 9, 1e-3), 0.0, {})


def test_a_name_that_would_end_the_docstring():
    text = emit_train(loss=LOSS, optimizer=None, entries=ENTRIES, name='a"""\\b')
    compile(text, "train.py", "exec")


def test_helpers_of_the_loss_are_imported():
    loss = "def loss(outputs, targets):\n    return ops.cross_entropy(outputs, targets)"
    assert "import ops\n" in emit_train(loss=loss, optimizer=None, entries=ENTRIES, name="X")


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-3, 5e-5, 0.05, 0.1, 1 / 3, 3e-4, -2.5e-7, 1e8, 123456.0, 0.9999, 7])
def test_numbers_read_back_exactly(value):
    assert float(eval(number(value))) == value
    assert {1e-3: "1e-3", 0.05: "0.05", 3e-4: "3e-4", 0.0: "0.0", 1e8: "1e8"}.get(value, number(value)) == number(value)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (StepLR(30), "optax.exponential_decay(0.1, transition_steps=30, decay_rate=0.1, staircase=True)"),
        (MultiStep((80, 30)), "optax.piecewise_constant_schedule(0.1, {30: 0.1, 80: 0.1})"),
        (Exponential(0.99), "optax.exponential_decay(0.1, transition_steps=1, decay_rate=0.99)"),
        (Cosine(50), "cosine_annealing(0.1, 50)"),
        (Constant(), "optax.constant_schedule(0.1)"),
        (LinearWarmup(5, 0.1), "optax.linear_schedule(0.01, 0.1, 5)"),
        (CosineRestarts(4, 2), "cosine_restarts(0.1, 4, factor=2)"),
        (Formula("Noam", ("**", "step", -0.5)), "lambda step: 0.1 * noam(step)"),
        (Formula("OneCycleLR", ("*", "base", 2.0)), "lambda step: one_cycle_lr(step, 0.1)"),
        (Sequence((LinearWarmup(5), Cosine(9)), (5,)),
         "optax.join_schedules([optax.linear_schedule(0.1 / 3, 0.1, 5), cosine_annealing(0.1, 9)], [5])"),
        (WarmupCosine(2, 9, 1e-3),
         "optax.warmup_cosine_decay_schedule(0.0, 0.1, warmup_steps=2, decay_steps=9, end_value=1e-3)"),
    ],
)  # fmt: skip
def test_schedules_in_optax(schedule, said):
    assert schedule_text(schedule, 0.1, {}) == said


def test_a_schedule_without_text_is_refused():
    with pytest.raises(UnsupportedOptimizer, match="Schedule"):
        schedule_text(Schedule(), 0.1, {})


STAIRS = [StepLR(3, 0.9), StepLR(7, 0.9), StepLR(10, 0.9), MultiStep((500, 1000, 1500))]


@pytest.mark.parametrize("schedule", STAIRS, ids=repr)
def test_stairs_stand_at_the_right_step_in_float32(schedule):
    helpers: dict[str, str] = {}
    text = schedule_text(schedule, 0.1, helpers)
    module = load_sources({"train": "import jax.numpy as jnp\nimport optax\nschedule = " + text})["train"]
    rates = jax.jit(jax.vmap(lambda step: module.schedule(jnp.asarray(step, float))))(jnp.arange(2000))
    falls = 1 + np.flatnonzero(np.diff(np.asarray(rates)) != 0)
    if isinstance(schedule, StepLR):
        # beyond that the rate has become smaller than float32 can tell apart from its neighbour
        expected = np.arange(schedule.step_size, 2000, schedule.step_size)[: len(falls)]
        assert len(falls) > 150
    else:
        expected = np.array(schedule.milestones)
    np.testing.assert_array_equal(falls, expected)


@pytest.mark.parametrize(
    ("selected", "others", "rule"),
    [
        (["a.bias", "b.0.bias"], ["a.kernel", "b.0.kernel"], 'path[-1] == "bias"'),
        (["a.bias", "b.scale"], ["a.kernel"], 'path[-1] in ("bias", "scale")'),
        (["e.a.kernel", "e.a.bias"], ["d.kernel", "d.bias", "e.b.bias"], 'name.startswith("e.a.")'),
        (["a.kernel", "a.bias", "c.kernel", "c.bias"], ["b.kernel", "b.bias"], 'name.startswith(("a.", "c."))'),
        (["a.kernel"], ["b.kernel"], 'name == "a.kernel"'),
        (["a.kernel", "b.bias"], ["a.bias", "b.kernel"], 'name in {"a.kernel", "b.bias"}'),
    ],
)
def test_rules_for_sets_of_parameters(selected, others, rule):
    assert rule_text(selected, others) == rule
    chosen = [name for name in [*selected, *others] if eval(rule, {"name": name, "path": tuple(name.split("."))})]
    assert sorted(chosen) == sorted(selected)

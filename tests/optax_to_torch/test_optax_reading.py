"""What is read off a transformation of optax: masks on every kind of parameters, and all that is refused."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import optax
import optax.contrib
import pytest
from flax import linen, nnx

from regauge.capture.jax_optimizer import from_optax
from regauge.errors import BadCase, UnsupportedOptimizer
from regauge.optax_schedules import Traced
from regauge.optax_specs import (
    AddDecayedWeights,
    ApplyIfFinite,
    Masked,
    MultiSteps,
    Scale,
    ScaleByAdam,
    from_json,
    to_json,
)
from regauge.run.jax_program import program_of

X = jnp.ones((2, 3))


class Nnx(nnx.Module):
    def __init__(self) -> None:
        self.first = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
        self.second = nnx.Linear(4, 2, rngs=nnx.Rngs(1))

    def __call__(self, x: Any) -> Any:
        return self.second(self.first(x))


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.Dense(2, name="second")(linen.Dense(4, name="first")(x))


class Equinox(eqx.Module):
    first: eqx.nn.Linear
    second: eqx.nn.Linear
    act: Any

    def __call__(self, x: Any) -> Any:
        return self.second(self.act(self.first(x)))


def haiku_model() -> Any:
    made = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(2, name="second")(hk.Linear(4, name="first")(x))))
    return made, made.init(jax.random.key(0), X)


MODELS = {
    "nnx": (Nnx, "first", "kernel"),
    "linen": (lambda: (Linen(), Linen().init(jax.random.key(0), X)), "first", "kernel"),
    "equinox": (
        lambda: Equinox(
            eqx.nn.Linear(3, 4, key=jax.random.key(0)), eqx.nn.Linear(4, 2, key=jax.random.key(1)), jnp.tanh
        ),
        "first",
        "weight",
    ),
    "haiku": (haiku_model, "first", "w"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_mask_sees_the_tree_that_its_person_wrote_it_for(kind: str) -> None:
    make, module, leaf = MODELS[kind]

    def chosen(params: Any) -> Any:
        def is_chosen(path: Any, _: Any) -> bool:
            text = jax.tree_util.keystr(path)
            return module in text and leaf in text

        return jax.tree_util.tree_map_with_path(is_chosen, params)

    spec = from_optax(optax.adamw(1e-3, mask=chosen), program_of(make()))
    assert spec.name == "adamw"
    assert spec.parts[1] == Masked((f"{module}.{leaf}",), (AddDecayedWeights(1e-4),))


def test_a_mask_that_is_a_tree() -> None:
    params = {"a": {"w": jnp.ones(2), "b": jnp.ones(2)}, "c": jnp.ones(3)}
    program = program_of((lambda params, x: x, params))
    spec = from_optax(optax.masked(optax.sgd(0.1), {"a": True, "c": False}), program)
    assert spec.parts == (Masked(("a.b", "a.w"), (Scale(-0.1),)),)
    with pytest.raises(UnsupportedOptimizer, match="cannot be written") as caught:
        from_optax(optax.masked(optax.sgd(0.1), {"a": True, "d": False}), program)
    assert any("a mask does not fit the parameters" in line for line in caught.value.details)


def test_injected_hyperparameters_are_their_first_values() -> None:
    made = optax.inject_hyperparams(optax.adam)(learning_rate=optax.linear_schedule(0.0, 1.0, 5), b1=0.8)
    adam, scale = from_optax(made, program_of(Nnx())).parts
    assert adam == ScaleByAdam(b1=0.8)
    assert isinstance(scale, Scale)
    assert scale.factor == -1
    assert len(scale.curves) == 1


def test_a_schedule_of_a_person_is_a_graph_and_the_spec_is_json() -> None:
    spec = from_optax(optax.sgd(lambda count: 0.1 / (1.0 + count)), program_of(Nnx()))
    (scale,) = spec.parts
    assert isinstance(scale, Scale)
    assert isinstance(scale.curves[0], Traced)
    assert from_json(to_json(spec)) == spec


REFUSED = {
    "adafactor": (optax.adafactor(1e-3), "scale_by_factored_rms has no counterpart in torch: it looks at rows"),
    "centralize": (optax.chain(optax.centralize(), optax.sgd(0.1)), "it looks at rows and columns"),
    "noise": (optax.noisy_sgd(0.1, key=0), "it draws from a random key of JAX"),
    "lookahead": (optax.lookahead(optax.sgd(0.1), 5, 0.5), "lookahead has no counterpart in torch: it trains other"),
    "line search": (optax.lbfgs(), "its update calls the loss"),
    "all updates": (optax.chain(optax.normalize_by_update_norm(), optax.sgd(0.1)), "it takes products of all updates"),
    "plateau": (
        optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau()),
        "its update depends on the value of the loss",
    ),
    "a function": (optax.chain(optax.stateless(lambda u, p: u), optax.sgd(0.1)), "is a function of your own"),
    "MultiSteps inside": (
        optax.chain(optax.clip(1.0), optax.MultiSteps(optax.sgd(0.1), 2).gradient_transformation()),
        "put it around the whole",
    ),
    "MultiSteps that varies": (optax.MultiSteps(optax.sgd(0.1), lambda n: n + 1), "write it with a whole number"),
    "MultiSteps that skips": (
        optax.MultiSteps(optax.sgd(0.1), 2, should_skip_update_fn=lambda *_: (jnp.array(False), ())),
        "of these functions optax.skip_not_finite is known",
    ),
    "apply_every": (optax.chain(optax.apply_every(2), optax.sgd(0.1)), "accumulate gradients with optax.MultiSteps"),
    "own": (
        optax.GradientTransformation(lambda params: (), lambda updates, state, params=None: (updates, state)),
        "the transformation",
    ),
    "low precision": (optax.adam(1e-3, mu_dtype=jnp.bfloat16), "ScaleByAdam with mu_dtype=bfloat16"),
    "Python in a schedule": (optax.sgd(lambda n: 0.1 if n < 3 else 0.01), "cannot be traced"),
    "an array as rate": (optax.sgd(jnp.ones(3)), "is no finite number"),
    "infinite": (optax.sgd(float("inf")), "is no finite number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_exact_counterpart_is_refused(name: str) -> None:
    optimizer, text = REFUSED[name]
    with pytest.raises(UnsupportedOptimizer, match="cannot be written for torch as it is") as caught:
        from_optax(optimizer, program_of(Nnx()))
    assert any(text in line for line in caught.value.details), caught.value.details


def test_wrappers_are_read_from_outside_in() -> None:
    optimizer = optax.apply_if_finite(optax.MultiSteps(optax.sgd(0.1), 3).gradient_transformation(), 2)
    spec = from_optax(optimizer, program_of(Nnx()))
    assert spec.wrappers == (ApplyIfFinite(2), MultiSteps(3))
    assert spec.parts == (Scale(-0.1),)
    assert from_json(to_json(spec)) == spec


def test_everything_that_is_refused_is_said_at_once() -> None:
    optimizer = optax.chain(optax.centralize(), optax.adam(1e-3, mu_dtype=jnp.bfloat16))
    with pytest.raises(UnsupportedOptimizer) as caught:
        from_optax(optimizer, program_of(Nnx()))
    assert len(caught.value.details) == 2


def test_what_is_no_transformation() -> None:
    with pytest.raises(BadCase, match=r"must be an optax\.GradientTransformation"):
        from_optax(object(), program_of(Nnx()))

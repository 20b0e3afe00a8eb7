"""Transformations and schedules of optax, by name."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

WARMUP = optax.warmup_cosine_decay_schedule(0.0, 1e-2, 5, 20, 1e-3)


def matrices(params: Any) -> Any:
    return jax.tree.map(lambda array: array.ndim > 1, params)


def by_path(params: Any) -> Any:
    def label(path: Any, _: Any) -> str:
        return "w" if jax.tree_util.keystr(path).endswith("['kernel']") else "b"

    return jax.tree_util.tree_map_with_path(label, params)


OPTIMIZERS: dict[str, optax.GradientTransformation] = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, 0.9),
    "nesterov": optax.sgd(0.1, 0.9, nesterov=True),
    "gradient ascent": optax.scale(1e-2),
    "adam": optax.adam(1e-2),
    "adam with eps_root": optax.adam(1e-2, eps_root=1e-6),
    "nadam": optax.nadam(1e-2),
    "nadamw": optax.nadamw(1e-2),
    "adamw": optax.adamw(1e-2, weight_decay=0.1),
    "adamw on matrices": optax.adamw(1e-2, weight_decay=0.1, mask=matrices),
    "adamw with a schedule": optax.adamw(WARMUP, weight_decay=0.1, mask=matrices),
    "adamw with a schedule of the decay": optax.adamw(1e-2, weight_decay=WARMUP),
    "amsgrad": optax.amsgrad(1e-2),
    "adamax": optax.adamax(1e-2),
    "adamax with a schedule": optax.adamax(WARMUP),
    "adamaxw": optax.adamaxw(1e-2, weight_decay=0.1),
    "adabelief": optax.adabelief(1e-2),
    "yogi": optax.yogi(1e-2),
    "radam": optax.radam(1e-2),
    "lion": optax.lion(1e-2),
    "rmsprop": optax.rmsprop(1e-2),
    "rmsprop with eps outside": optax.rmsprop(1e-2, eps_in_sqrt=False),
    "rmsprop with momentum": optax.rmsprop(1e-2, momentum=0.9),
    "rmsprop with torch's momentum": optax.rmsprop(1e-2, momentum=0.9, eps_in_sqrt=False),
    "rmsprop with nesterov and a schedule": optax.rmsprop(WARMUP, momentum=0.9, nesterov=True),
    "rmsprop centered": optax.rmsprop(1e-2, centered=True, initial_scale=1.0, bias_correction=True),
    "rmsprop centered as torch's": optax.rmsprop(1e-2, centered=True, eps_in_sqrt=False),
    "adagrad": optax.adagrad(1e-2),
    "adagrad from zero": optax.adagrad(1e-2, initial_accumulator_value=0.0),
    "adadelta": optax.adadelta(1.0, weight_decay=0.01),
    "adadelta with a schedule": optax.adadelta(WARMUP),
    "sign_sgd": optax.sign_sgd(1e-2),
    "signum": optax.signum(1e-2),
    "lamb": optax.lamb(1e-2, weight_decay=0.1),
    "lars": optax.lars(WARMUP, weight_decay=0.1),
    "fromage": optax.fromage(1e-2),
    "adan": optax.adan(1e-2, weight_decay=0.1),
    "novograd": optax.novograd(1e-2, weight_decay=0.1),
    "rprop": optax.rprop(1e-2),
    "optimistic_gradient_descent": optax.optimistic_gradient_descent(1e-2, alpha=0.5, beta=0.7),
}

FROZEN = {"dense": {"kernel": True, "bias": False}, "norm": {"scale": True}, "out": False}

CHAINS: dict[str, optax.GradientTransformation] = {
    "clip": optax.chain(optax.clip(0.5), optax.sgd(0.1, 0.9)),
    "clip_by_global_norm": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)),
    "clip_by_block_rms": optax.chain(optax.adam(1e-2), optax.clip_by_block_rms(1e-3)),
    "two clippings": optax.chain(optax.clip(0.5), optax.clip_by_global_norm(1.0), optax.lion(WARMUP, mask=matrices)),
    "named_chain": optax.named_chain(("clip", optax.clip(0.5)), ("step", optax.sgd(0.1))),
    "L2 and adam": optax.chain(optax.add_decayed_weights(0.1, mask=matrices), optax.adam(WARMUP)),
    "schedule by hand": optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(WARMUP), optax.scale(-1.0)),
    "two schedules": optax.chain(optax.sgd(WARMUP, 0.9), optax.scale_by_schedule(optax.exponential_decay(1.0, 5, 0.5))),
    "ema": optax.chain(optax.ema(0.9), optax.scale(-0.1)),
    "two momenta": optax.chain(optax.trace(0.5), optax.trace(0.9, nesterov=True), optax.scale(-0.01)),
    "inject_hyperparams": optax.inject_hyperparams(optax.adamw)(learning_rate=WARMUP, weight_decay=0.1),
    "flatten": optax.flatten(optax.adam(1e-2)),
    "partition": optax.partition(
        {"a": optax.adamw(1e-2), "b": optax.sgd(WARMUP, 0.9), "c": optax.set_to_zero()},
        {"dense": "a", "norm": "c", "out": "b"},
    ),
    "partition by a function": optax.partition({"w": optax.adamw(WARMUP), "b": optax.adam(1e-3)}, by_path),
    "partition of clipped chains": optax.partition(
        {
            "a": optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2)),
            "b": optax.chain(optax.clip(0.1), optax.sgd(0.1)),
        },
        {"dense": "a", "norm": "b", "out": "a"},
    ),
    "mask in a partition": optax.partition(
        {"a": optax.adamw(1e-2, weight_decay=0.1, mask=matrices), "b": optax.sgd(0.1)},
        {"dense": "a", "norm": "b", "out": "a"},
    ),
    "frozen after the norm": optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(1e-2),
        optax.freeze(FROZEN),
    ),
    "frozen before the norm": optax.chain(optax.freeze(FROZEN), optax.clip_by_global_norm(1.0), optax.adam(1e-2)),
    "frozen before the decay": optax.chain(
        optax.clip(0.5), optax.freeze(FROZEN), optax.clip_by_global_norm(1.0), optax.adamw(1e-2, weight_decay=0.1)
    ),
    "frozen before L2 and the norm": optax.chain(
        optax.freeze(FROZEN), optax.add_decayed_weights(0.1), optax.clip_by_global_norm(1.0), optax.sgd(1e-2, 0.9)
    ),
    "frozen between": optax.chain(optax.adam(1e-2), optax.freeze(FROZEN), optax.add_decayed_weights(-1e-2)),
    "L2 of matrices before the norm": optax.chain(
        optax.scale(0.5),
        optax.add_decayed_weights(0.1, mask=matrices),
        optax.clip_by_global_norm(1.0),
        optax.adam(1e-2),
    ),
    "NaN, zero_nans": optax.chain(
        optax.zero_nans(), optax.clip_by_global_norm(1.0), optax.adam(1e-2), optax.zero_nans()
    ),
    "nonnegative": optax.chain(optax.sgd(0.1, 0.9), optax.keep_params_nonnegative()),
    "MultiSteps": optax.MultiSteps(
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(WARMUP, weight_decay=0.1)), 3
    ),
    "MultiSteps of sums": optax.MultiSteps(optax.sgd(0.1, 0.9), 2, use_grad_mean=False).gradient_transformation(),
    "NaN, MultiSteps if finite": optax.MultiSteps(optax.adam(1e-2), 2, should_skip_update_fn=optax.skip_not_finite),
    "NaN, apply_if_finite": optax.apply_if_finite(optax.adam(WARMUP), 3),
    "NaN, apply_if_finite in MultiSteps": optax.MultiSteps(optax.apply_if_finite(optax.adam(1e-2), 9), 4),
    "moving beta": optax.inject_hyperparams(optax.adamw)(1e-2, b1=optax.linear_schedule(0.8, 0.95, 9)),
    "moving momentum": optax.inject_hyperparams(optax.sgd)(WARMUP, optax.linear_schedule(0.8, 0.95, 9)),
    "masked out": optax.masked(optax.sgd(0.1), {"dense": True, "norm": True, "out": False}),
}

SCHEDULES: dict[str, Any] = {
    "constant": optax.constant_schedule(1e-2),
    "linear": optax.linear_schedule(1e-2, 1e-3, 10, 3),
    "polynomial": optax.polynomial_schedule(1e-2, 1e-3, 2, 10),
    "piecewise_constant": optax.piecewise_constant_schedule(1e-2, {3: 0.5, 10: 0.1}),
    "exponential": optax.exponential_decay(1e-2, 5, 0.5),
    "exponential in stairs": optax.exponential_decay(1e-2, 5, 0.5, 2, True, 2e-3),
    "exponential growth": optax.exponential_decay(1e-3, 5, 2.0, end_value=5e-3),
    "cosine": optax.cosine_decay_schedule(1e-2, 15),
    "cosine with a floor": optax.cosine_decay_schedule(1e-2, 15, 0.1, 2.0),
    "joined": optax.join_schedules(
        [optax.constant_schedule(1e-2), optax.linear_schedule(1e-2, 0.0, 5), optax.constant_schedule(3e-3)], [4, 12]
    ),
    "warmup_constant": optax.warmup_constant_schedule(0.0, 1e-2, 5),
    "warmup_cosine": WARMUP,
    "warmup_exponential": optax.warmup_exponential_decay_schedule(0.0, 1e-2, 5, 5, 0.5, 2),
    "cosine_onecycle": optax.cosine_onecycle_schedule(18, 1e-2),
    "linear_onecycle": optax.linear_onecycle_schedule(18, 1e-2),
    "sgdr": optax.sgdr_schedule(
        [
            {"init_value": 0.0, "peak_value": 1e-2, "warmup_steps": 2, "decay_steps": 6},
            {"init_value": 1e-3, "peak_value": 5e-3, "warmup_steps": 3, "decay_steps": 8},
        ]
    ),
    "own": lambda count: 1e-2 / (1.0 + jnp.square(0.1 * count)),
    "own in a warm-up": optax.join_schedules([optax.linear_schedule(0.0, 1e-2, 4), lambda c: 1e-2 / (c + 1.0)], [4]),
}

CASES = {**OPTIMIZERS, **CHAINS, **{f"schedule {name}": optax.sgd(s, 0.9) for name, s in SCHEDULES.items()}}

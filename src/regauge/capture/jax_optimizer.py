"""A person's optax transformation as data, or a list of everything in it that has no exact counterpart.

optax builds transformations as closures: which one it is says the name of the function, its arguments are what the
function holds. Whatever is not in the tables below is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import jax
import optax

from regauge.capture.jax_optax_wrappers import missing_reason, unwrapped
from regauge.capture.jax_schedule import closure, number, place, read_schedule
from regauge.errors import BadCase, UnsupportedOptimizer
from regauge.optax_specs import (
    AddDecayedWeights,
    Clip,
    ClipByBlockRms,
    ClipByGlobalNorm,
    Ema,
    KeepParamsNonnegative,
    Masked,
    OptaxOptimizer,
    Part,
    Scale,
    ScaleByAdadelta,
    ScaleByAdam,
    ScaleByAdamax,
    ScaleByAdan,
    ScaleByAmsgrad,
    ScaleByBelief,
    ScaleByLion,
    ScaleByNovograd,
    ScaleByOptimisticGradient,
    ScaleByRadam,
    ScaleByRms,
    ScaleByRprop,
    ScaleByRss,
    ScaleBySign,
    ScaleByStddev,
    ScaleByTrustRatio,
    ScaleByYogi,
    SetToZero,
    Trace,
    Wrapper,
    ZeroNans,
)
from regauge.run.jax_optimizer_tree import OptimizerTree
from regauge.run.jax_program import JaxProgram

# Transformations whose arguments are the fields of their class; and dtypes of accumulators, which must be left alone.
_PLAIN: dict[str, type[Part]] = {
    "trace.update_fn": Trace,
    "ema.update_fn": Ema,
    "scale_by_adam.update_fn": ScaleByAdam,
    "scale_by_amsgrad.update_fn": ScaleByAmsgrad,
    "scale_by_adamax.update_fn": ScaleByAdamax,
    "scale_by_belief.update_fn": ScaleByBelief,
    "scale_by_yogi.update_fn": ScaleByYogi,
    "scale_by_radam.update_fn": ScaleByRadam,
    "scale_by_lion.update_fn": ScaleByLion,
    "scale_by_rms.update_fn": ScaleByRms,
    "scale_by_stddev.update_fn": ScaleByStddev,
    "scale_by_rss.update_fn": ScaleByRss,
    "scale_by_adadelta.update_fn": ScaleByAdadelta,
    "scale_by_adan.update_fn": ScaleByAdan,
    "scale_by_novograd.update_fn": ScaleByNovograd,
    "scale_by_rprop.update_fn": ScaleByRprop,
    "scale_by_optimistic_gradient.update_fn": ScaleByOptimisticGradient,
    "scale_by_sign.update_fn": ScaleBySign,
    "scale_by_trust_ratio.update_fn": ScaleByTrustRatio,
    "clip.update_fn": Clip,
    "clip_by_block_rms.update_fn": ClipByBlockRms,
    "clip_by_global_norm.update_fn": ClipByGlobalNorm,
    "set_to_zero.update_fn": SetToZero,
    "zero_nans.update_fn": ZeroNans,
    "keep_params_nonnegative.update_fn": KeepParamsNonnegative,
}
_DTYPES = ("mu_dtype", "accumulator_dtype")

# What reports call a chain, by the transformation that makes it what it is.
_NAMES: dict[type[Part], str] = {
    ScaleByAdam: "adam",
    ScaleByAmsgrad: "amsgrad",
    ScaleByAdamax: "adamax",
    ScaleByBelief: "adabelief",
    ScaleByYogi: "yogi",
    ScaleByRadam: "radam",
    ScaleByLion: "lion",
    ScaleByRms: "rmsprop",
    ScaleByStddev: "rmsprop",
    ScaleByRss: "adagrad",
    ScaleByAdadelta: "adadelta",
    ScaleBySign: "sign_sgd",
    ScaleByAdan: "adan",
    ScaleByNovograd: "novograd",
    ScaleByRprop: "rprop",
    ScaleByOptimisticGradient: "optimistic_gradient_descent",
}


def from_optax(optimizer: Any, program: JaxProgram) -> OptaxOptimizer:
    """The spec of an optax transformation.

    Args:
        optimizer: an optax.GradientTransformation.
        program: whose parameters it trains; masks and labels are asked for their tree.

    Raises:
        BadCase: it is no transformation.
        UnsupportedOptimizer: everything in it that has no exact counterpart, at once.
    """
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise BadCase(
            "the optimizer of a JAX case must be an optax.GradientTransformation",
            received=type(optimizer).__name__,
            next="optimizer=optax.adamw(1e-3)",
        )
    reader, trees = _Reader(), OptimizerTree(program, optimizer)
    inner, wrappers = reader.wrappers(optimizer)
    parts = reader.of(inner, trees.nested(program.params), trees.nested({name: name for name in program.params}))
    complex_ones = [f"{n}: {a.dtype}" for n, a in program.params.items() if jax.numpy.iscomplexobj(a)]
    if complex_ones:
        reader.problems.append(UnsupportedOptimizer(f"its parameters are complex: {', '.join(complex_ones)}").what)
    if reader.problems:
        raise UnsupportedOptimizer(
            "the optimizer cannot be written for torch as it is",
            details=list(dict.fromkeys(reader.problems)),
            why="another optimizer would train another model",
            next="use the transformations that docs/optimizers.md lists, or leave out the case's optimizer",
        )
    return OptaxOptimizer(_name(OptaxOptimizer("", parts)), parts, wrappers)


def _name(spec: OptaxOptimizer) -> str:
    every = list(spec.every())
    names = list(dict.fromkeys(_NAMES[type(part)] for part in every if type(part) in _NAMES))
    if len(names) > 1:
        return "optax"
    name = names[0] if names else "sgd"
    kinds = [type(part) for part in every]
    if ScaleByTrustRatio in kinds:
        return "lamb" if name == "adam" else "lars"
    decoupled = AddDecayedWeights in kinds and names and kinds.index(AddDecayedWeights) > _core(kinds)
    return f"{name}w" if decoupled and name in ("adam", "adamax") else name


def _core(kinds: list[type[Part]]) -> int:
    return next(index for index, kind in enumerate(kinds) if kind in _NAMES)


def _with_inner(held: Mapping[str, Any]) -> dict[str, Any]:
    """What a transformation holds, with what the functions of optax within it hold."""
    found = dict(held)
    for value in held.values():
        if callable(value) and place(value):
            found = {**_with_inner(closure(value)), **found}
    return found


class _Reader:
    """Reads transformations; what it cannot read goes to `problems`.

    Trees of parameters are as optax's masks leave them: with `optax.MaskedNode` in place of what is left out.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._nested: dict[str, Callable[..., tuple[Part, ...]]] = {
            "with_extra_args_support.update": self._inner("tx"),
            "flatten.update_fn": self._inner("inner"),  # other shapes of the same elements
            "chain.update_fn": self._chain,
            "named_chain.update_fn": self._named_chain,
            "masked.update_fn": self._masked,
            "partition.update_fn": self._partition,
            "inject_hyperparams.wrapped_transform.update_fn": self._injected,
            "identity.update_fn": lambda *_: (),
            "scale.update_fn": self._scale,
            "scale_by_schedule.update_fn": self._scale_by_schedule,
            "add_decayed_weights.update_fn": self._decay,
        }

    def wrappers(self, optimizer: Any) -> tuple[Any, tuple[Wrapper, ...]]:
        """The transformation inside, and what stands around it."""
        try:
            return unwrapped(optimizer)
        except UnsupportedOptimizer as error:
            self.problems.append(error.what)
        return optax.identity(), ()

    def parts(self, update: Any, init: Any, params: Any, names: Any) -> tuple[Part, ...]:
        """The chain that an update function makes.

        Args:
            update: of a transformation.
            init: of the same one; some arguments are in it alone.
            params: tree of the parameters that it is given.
            names: the same tree with their names as leaves.
        """
        try:
            return self._read(update, init, params, names)
        except UnsupportedOptimizer as error:
            self.problems.append(error.what)
        return ()

    def _read(self, update: Any, init: Any, params: Any, names: Any) -> tuple[Part, ...]:
        found = place(update)
        name = found.partition(".")[0]
        held = {**closure(init), **closure(update)} if place(init) else closure(update)
        try:
            if found in self._nested:
                return self._nested[found](held, params, names)
            if found in _PLAIN:
                return (self._plain(_PLAIN[found], held),)
        except KeyError as error:
            raise UnsupportedOptimizer(
                f"{name} holds no {error}: this version of optax writes it differently"
            ) from error
        reason = missing_reason(name)
        if reason:
            raise UnsupportedOptimizer(f"the transformation {name} has no counterpart in torch: {reason}")
        own = f"{getattr(update, '__module__', '')}.{getattr(update, '__qualname__', type(update).__name__)}"
        raise UnsupportedOptimizer(f"the transformation {name or own} is not known")

    def of(self, transformation: Any, params: Any, names: Any) -> tuple[Part, ...]:
        return self.parts(transformation.update, transformation.init, params, names)

    def _plain(self, cls: type[Part], held: Mapping[str, Any]) -> Part:
        name = cls.__name__
        for dtype in _DTYPES:
            if held.get(dtype) is not None:
                raise UnsupportedOptimizer(
                    f"{name} with {dtype}={held[dtype]}: its rounding has no counterpart; leave it out, which changes "
                    "nothing where the parameters have that dtype"
                )
        if cls is ScaleByLion and held["mode"] != "hard":
            raise UnsupportedOptimizer(f"{name} with mode={held['mode']!r}")
        held = _with_inner(held)
        values: dict[str, Any] = {}
        for item in fields(cls):
            value = held[item.name]
            values[item.name] = bool(value) if item.type == "bool" else read_schedule(value, f"{name}.{item.name}")
        return cls(**values)

    def _inner(self, name: str) -> Callable[..., tuple[Part, ...]]:
        return lambda held, params, names: self.of(held[name], params, names)

    def _chain(self, held: Mapping[str, Any], params: Any, names: Any) -> tuple[Part, ...]:
        pairs = zip(held["update_fns"], held["init_fns"], strict=True)
        return tuple(part for update, init in pairs for part in self.parts(update, init, params, names))

    def _named_chain(self, held: Mapping[str, Any], params: Any, names: Any) -> tuple[Part, ...]:
        return tuple(part for _, one in held["transforms"] for part in self.of(one, params, names))

    def _masked(self, held: Mapping[str, Any], params: Any, names: Any) -> tuple[Part, ...]:
        mask = held["mask"]
        callables = jax.tree.leaves(jax.tree.map(callable, mask))
        if callables and all(callables):
            mask = self._asked(mask, params, "mask")
        return self._where(mask, held["inner"], params, names)

    def _partition(self, held: Mapping[str, Any], params: Any, names: Any) -> tuple[Part, ...]:
        labels = held["param_labels"]
        if callable(labels):
            labels = self._asked(labels, params, "param_labels")
        found: list[Part] = []
        for group, inner in held["transforms"].items():
            mask = jax.tree.map(lambda label, group=group: label == group, labels)
            found += self._where(mask, inner, params, names)
        return tuple(found)

    def _asked(self, function: Callable[[Any], Any], params: Any, what: str) -> Any:
        try:
            return function(params)
        except Exception as error:  # whatever a person's function does with a tree
            raise UnsupportedOptimizer(f"its {what} raises {type(error).__name__}: {error}") from error

    def _where(self, mask: Any, inner: Any, params: Any, names: Any) -> tuple[Part, ...]:
        def kept(tree: Any) -> Any:
            return jax.tree.map(lambda m, leaf: leaf if m else optax.MaskedNode(), mask, tree)

        try:
            chosen = kept(names)
        except (ValueError, TypeError) as error:
            raise UnsupportedOptimizer(f"a mask does not fit the parameters: {error}") from error
        found = tuple(jax.tree.leaves(chosen))
        if not found:
            return ()
        parts = self.of(inner, kept(params), chosen)
        return parts if len(found) == len(jax.tree.leaves(names)) else (Masked(found, parts),)

    def _injected(self, held: Mapping[str, Any], params: Any, names: Any) -> tuple[Part, ...]:
        """Hyperparameters that are held in the state: the transformation that their first values and schedules make."""
        given = {**held["other_hps"], **held["numeric_hps"]}
        given |= {name: getattr(curve, "schedule_fn", curve) for name, curve in held["sched_hps"].items()}
        try:
            return self.of(held["inner_factory"](**given), params, names)
        except UnsupportedOptimizer:
            raise
        except Exception as error:  # a factory that computes with its arguments refuses functions
            raise UnsupportedOptimizer(f"inject_hyperparams of {', '.join(held['sched_hps'])}: {error}") from error

    def _scale(self, held: Mapping[str, Any], _params: Any, _names: Any) -> tuple[Part, ...]:
        return (Scale(number(held["step_size"], "step_size")),)

    def _scale_by_schedule(self, held: Mapping[str, Any], _params: Any, _names: Any) -> tuple[Part, ...]:
        schedule, factor = held["step_size_fn"], 1.0
        if place(schedule) == "scale_by_learning_rate.<lambda>":
            own = closure(schedule)
            schedule, factor = own["learning_rate"], number(own["m"], "m")
        curve = read_schedule(schedule, "learning_rate")
        return (Scale(factor * curve),) if isinstance(curve, int | float) else (Scale(factor, (curve,)),)

    def _decay(self, held: Mapping[str, Any], _params: Any, _names: Any) -> tuple[Part, ...]:
        decay = read_schedule(held["weight_decay"], "weight_decay")
        return () if decay == 0 else (AddDecayedWeights(decay),)

"""The Python API: convert in this process, check, compare, choose."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from regauge.case import refuse_unknown_layers
from regauge.errors import BadCase

if TYPE_CHECKING:
    from regauge.decide.audit import Audit
    from regauge.decide.needs import Needs
    from regauge.decide.recommendation import Recommendation
    from regauge.pipeline import Comparison
    from regauge.run.jax_model import JaxModel
    from regauge.run.torch_model import Converted
    from regauge.verify.result import Check


def to_jax(
    module: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    train: bool = False,
    dynamic: Any = "auto",
    layers: Literal["auto", "scan", "unroll"] = "auto",
    known: Sequence[str] = (),
) -> JaxModel:
    """Convert a torch module or function to JAX, in this process.

    Args:
        module: torch.nn.Module or a function of tensors; it is not changed.
        args: example positional arguments; shapes and dtypes are taken from them.
        kwargs: example keyword arguments.
        train: whether calls of the result run in training mode (dropout, batch statistics).
        dynamic: "auto" keeps sizes symbolic where capture can prove it; None fixes all; a dict is passed on to
            torch.export as `dynamic_shapes`.
        layers: equal layers in a row become a scan over stacked weights ("scan"), stay one by one ("unroll"), or do
            what their number suggests ("auto"); findings say which lists stay loops although a scan was asked for.

    Returns:
        A model that holds the weights, calls a jitted function, and shows its source.

    Raises:
        CaptureError: torch.export cannot capture the module.
        UnsupportedOps: operators without a rule, all at once.
        BadCase: there is no such choice of `layers`, or `known` names no such input.
    """
    from regauge.capture import in_memory
    from regauge.run import jax_model

    refuse_unknown_layers(layers)
    inputs = _inputs(module, args, kwargs)
    captured, weights, arrays, reference = in_memory.capture(module, inputs, train=train, dynamic=dynamic, known=known)
    return jax_model.build(replace(captured, layers=layers), jax_model.Original(weights, arrays, reference), train)


def to_torch(
    fn_or_module: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    params: Any = None,
    train: bool = False,
    dynamic: Any = "auto",
    layers: Literal["auto", "scan", "unroll"] = "auto",
) -> Converted:
    """Convert a JAX model or function to a torch module, in this process.

    Args:
        fn_or_module: an nnx.Module, (Linen module, variables), an equinox.Module, a keras.Model of the JAX
            backend, (Haiku transform, params), a function of arrays, or one of (params, inputs) with `params`; it is
            not changed.
        args: example positional arguments; shapes and dtypes are taken from them.
        kwargs: example keyword arguments.
        params: a pytree: first argument of a function, variables of a Linen module, parameters of a Haiku transform.
        train: whether the result starts in training mode.
        dynamic: "auto" keeps the first axis of inputs symbolic where the trace allows it; None fixes all sizes; a
            pytree of `jax.export` shapes such as ``"batch, 16"``, in the structure of the inputs, says which stay.
        layers: the layers of a scan over stacked weights become a list, each with weights of its own ("unroll",
            "auto"), or stay a scan ("scan").

    Returns:
        A torch.nn.Module with the weights: `source`, `sources`, `findings` and `save(directory)` besides its own.

    Raises:
        CaptureError: the model cannot be traced.
        UnsupportedOps: primitives without a rule, all at once.
        BadCase: there is no such choice of `layers`.
    """
    refuse_unknown_layers(layers)
    from regauge.capture import jax_in_memory
    from regauge.run import torch_model

    model = fn_or_module if params is None else (fn_or_module, params)
    inputs = args if kwargs is None else _all_by_name(model, args, kwargs)
    captured, weights, arrays, reference = jax_in_memory.capture(
        model, inputs, train=train, dynamic=dynamic, layers=layers
    )
    return torch_model.build(captured, torch_model.Original(weights, arrays, reference), train)


def _all_by_name(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...] | dict[str, Any]:
    """Positional and keyword arguments of a JAX model as one dict."""
    if not args:
        return dict(kwargs)
    from regauge.run.jax_program import program_of

    names = program_of(model).positions
    return {**dict(zip(names, args, strict=False)), **kwargs}


def check(
    original: Any,
    converted: Any = None,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    weight_map: Any = None,
    converted_args: tuple[Any, ...] | None = None,
    frameworks: tuple[str, str] | None = None,
    out: str | Path | None = None,
    **options: Any,
) -> Check:
    """Judge whether two models are the same function, whoever wrote them; each may be of PyTorch or of JAX.

    ``check(torch_module, nnx_module, (x,))`` judges models and functions in this process, which stay as they are.
    ``check("a.py:case", "b.py:case")`` judges two cases in worker processes. ``check("a.py:case")`` converts one case
    and judges the conversion.

    Args:
        original: a model as `Case` takes it, a function, a `Case`, or the reference of one.
        converted: the same, or what `to_jax` gave; None to judge regauge's own conversion of a reference.
        args: positional arguments of both models, arrays of any framework.
        kwargs: keyword arguments in place of `args`.
        weight_map: names of the original to names of the converted model: a dict, a function of a name, a PairMap or
            the path of a saved map; what it leaves open is inferred.
        converted_args: positional arguments of the converted model, where it takes another layout.
        frameworks: ``("torch", "jax")``, for functions that do not tell.
        out: where results are kept, and a file that reproduces a difference; ``build`` where workers are used and
            none is given. Models of this process are stored there as pickles for that file, nowhere else.
        options: quick and fresh; for pairs also float32, steps; for workers also timeout, interpreters.

    Raises:
        BadCase: a case cannot be read, or a model rejects its own inputs.
        WeightMismatch: the weights cannot be paired.
        RegaugeError: the case cannot be captured or converted, or a worker failed.
    """
    if isinstance(original, str) != isinstance(converted, str | None) or not isinstance(original, str):
        return _check_live(original, converted, args, kwargs, weight_map, converted_args, frameworks, out, options)
    from regauge.output import prepare_output, writing
    from regauge.pipeline import Options, alone, check_stage, convert_stage
    from regauge.progress import Silence
    from regauge.report.check_html import write_check_page

    place, silence = prepare_output(Path("build" if out is None else out)), Silence()
    with writing(place), alone(place):
        if converted is not None:
            from regauge.judging import judge_cases

            found = judge_cases(original, converted, place, Options(**options), silence, weight_map=weight_map)
        else:
            chosen = Options(**options)
            conversion = convert_stage(original, place, chosen, silence)
            found = check_stage(original, conversion, place, chosen, silence)
        write_check_page(found, place)
    return found


def _check_live(
    original: Any,
    converted: Any,
    args: tuple[Any, ...] | None,
    kwargs: Mapping[str, Any] | None,
    weight_map: Any,
    converted_args: tuple[Any, ...] | None,
    frameworks: tuple[str, str] | None,
    out: str | Path | None,
    options: Mapping[str, Any],
) -> Check:
    from regauge.emit.conversion import conversion_of, names_of
    from regauge.emit.package import symbols_json
    from regauge.output import prepare_output
    from regauge.verify.live import sides_of_models
    from regauge.verify.pair import check_pair, read_map
    from regauge.verify.plan import CheckOptions

    if converted is None or isinstance(original, str) or isinstance(converted, str):
        raise BadCase(
            "give two models of this process, or two case references",
            received=f"{type(original).__name__} and {type(converted).__name__}",
            next="regauge.check(original, converted, (x,))",
        )
    made = conversion_of(converted)
    if made is not None and not hasattr(converted, "state_dict"):  # a JaxModel, which holds the module
        weight_map = names_of(made) if weight_map is None else weight_map
        converted = converted.module
    sides = sides_of_models(original, converted, args, kwargs, converted_args, frameworks)
    sides = replace(sides, symbols=None if made is None else symbols_json(made))
    chosen = CheckOptions(**options, reproduce=None if out is None else prepare_output(Path(out)))
    with tempfile.TemporaryDirectory(prefix="regauge-") as work:
        found = check_pair(sides, Path(work), weight_map=read_map(weight_map), options=chosen)
        if chosen.reproduce is not None:
            _keep(found, Path(work), chosen.reproduce)
    return found


def _keep(found: Check, work: Path, place: Path) -> None:
    """Result, weight map and page of a check of this process, as the command leaves those of two cases."""
    from regauge.output import writing
    from regauge.report.check_html import CHECK, MAP, write_check_page
    from regauge.run.protocol import write_json

    with writing(place):
        write_json(place / CHECK, found.to_json())
        if (work / MAP).is_file():
            shutil.copyfile(work / MAP, place / MAP)
        write_check_page(found, place)


def compare(case: str, out: str | Path = "build", **options: Any) -> Comparison:
    """Convert a case, check it, measure both sides and write the report: the command ``regauge compare``.

    Args:
        case: ``file.py:name``, ``package.module:name`` or a built-in name.
        out: where results are kept; a later call with the same place resumes them.
        options: fields of `regauge.pipeline.Options`.

    Raises:
        RegaugeError: as `check`; what earlier stages found stays in `out`.
    """
    from regauge import pipeline

    return pipeline.compare(case, Path(out), pipeline.Options(**options))


def choose(
    needs: Needs | Mapping[str, Any] | str | Path, *, results: Sequence[str | Path] = (), seed: int = 0
) -> Recommendation:
    """Recommend a framework for needs: the command ``regauge choose``, without its files.

    Args:
        needs: path of a NEEDS.yaml, or its fields as plain values.
        results: output directories of `compare` and of ``regauge facts --check``: measurements count within their
            scope, and contradicted facts do not count.
        seed: of the draws; the same seed gives the same answer.

    Raises:
        BadNeeds: the needs are wrong or contradict each other, every problem at once, or no candidate is left.
    """
    from regauge.decide.needs import needs_of, read_needs
    from regauge.decide.recommend import recommend

    wanted = read_needs(Path(needs)) if isinstance(needs, str | Path) else needs_of(needs)
    return recommend(wanted, results=[Path(place) for place in results], seed=seed)


def audit(path: str | Path, to: Literal["jax", "torch"] | None = None, **options: Any) -> Audit:
    """Read a code base and say what a switch would take: the command ``regauge audit``; none of its code is run.

    Args:
        path: a directory, a .py file or a notebook.
        to: the framework to move to; the other one of what the tree mostly uses when None.
        options: further arguments of `regauge.decide.audit.audit_tree`: exclude, cases.

    Raises:
        BadAudit: there is nothing to read at `path`.
    """
    from regauge.decide.audit import audit_tree

    return audit_tree(path, to, **options)


def _inputs(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> tuple[Any, ...] | dict[str, Any]:
    """Arguments as capture takes them: all by position, or all by name."""
    if not isinstance(args, tuple):
        raise BadCase("args must be a tuple of positional arguments", received=type(args).__name__, next="(x,)")
    if not kwargs:
        return args
    if not args:
        return dict(kwargs)
    function: Callable[..., Any] = getattr(module, "forward", module)
    bound = inspect.signature(function).bind(*args, **kwargs)
    named = dict(bound.arguments)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= named.pop(name, {})
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY) and name in named:
            raise BadCase(
                "positional-only arguments beside keywords cannot be passed on by name",
                received=name,
                next="give all arguments by position, or give the model named parameters",
            )
    return named

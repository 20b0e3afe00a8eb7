"""The elementary transformations of optax as statements on one parameter `p` and its `update`.

The lines of every transformation follow optax's functions of the same name (`optax._src.transform`, optax 0.2): moments
start where optax starts them, and every epsilon stands where optax has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from regauge.errors import UnsupportedOptimizer
from regauge.optax_specs import (
    AddDecayedWeights,
    Clip,
    ClipByBlockRms,
    Ema,
    KeepParamsNonnegative,
    Part,
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
    Trace,
    ZeroNans,
)


@dataclass(frozen=True)
class Lines:
    """One transformation in text; ``$b1`` is a name that the class chooses.

    Attributes:
        options: numbers by name.
        state: first value by name, an expression of `p`.
        body: statements that turn `update` into the next one.
        counts: whether they read ``step``, the number of steps with this one.
    """

    body: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    counts: bool = False


_ZEROS = "torch.zeros_like(p)"
_MU = '$mu = state["$mu"].mul_($b1).add_(update, alpha=1 - $b1)'
_NU = '$nu = state["$nu"].mul_($b2).addcmul_(update, update, value=1 - $b2)'
_MU_HAT = "mu_hat = $mu / (1 - $b1**step)"
_NESTEROV = "mu_hat = $b1 * $mu / (1 - $b1 ** (step + 1)) + (1 - $b1) * update / (1 - $b1**step)"
_NU_HAT = "nu_hat = $nu / (1 - $b2**step)"
_MOMENTS = {"mu": _ZEROS, "nu": _ZEROS}


def _mean(part: Any) -> str:
    return _NESTEROV if part.nesterov else _MU_HAT


def _root(square: str, part: Any) -> str:
    """The denominator, with the second epsilon where there is one."""
    inside = f"({square} + $eps_root)" if part.eps_root else square
    return f"({inside}.sqrt() + $eps)"


def _options(part: Any, *names: str) -> dict[str, Any]:
    optional = {"eps_root": part.eps_root} if getattr(part, "eps_root", 0) else {}
    return {**{name: getattr(part, name) for name in names}, **optional}


def _full(value: float, option: str) -> str:
    return f"torch.full_like(p, ${option})" if value else _ZEROS


def _trace(part: Trace) -> Lines:
    body = ['$trace = state["$trace"].mul_($momentum).add_(update)']
    body.append("update = update + $momentum * $trace" if part.nesterov else "update = $trace")
    return Lines(tuple(body), {"momentum": part.decay}, {"trace": _ZEROS})


def _ema(part: Ema) -> Lines:
    body = ['$ema = state["$ema"].mul_($decay).add_(update, alpha=1 - $decay)']
    body.append("update = $ema / (1 - $decay**step)" if part.debias else "update = $ema")
    return Lines(tuple(body), {"decay": part.decay}, {"ema": _ZEROS}, part.debias)


def _adam(part: ScaleByAdam) -> Lines:
    body = (_MU, _NU, _mean(part), _NU_HAT, f"update = mu_hat / {_root('nu_hat', part)}")
    return Lines(body, _options(part, "b1", "b2", "eps"), _MOMENTS, True)


def _amsgrad(part: ScaleByAmsgrad) -> Lines:
    body = [_MU, _NU]
    mean, square = "$mu", "$nu"
    if part.bias_correction_mu:
        mean = "mu_hat"
        body.append(_MU_HAT)
    if part.bias_correction_nu:
        square = "nu_hat"
        body.append(_NU_HAT)
    body.append(f'$nu_max = state["$nu_max"].copy_(torch.maximum(state["$nu_max"], {square}))')
    body.append(f"update = {mean} / {_root('$nu_max', part)}")
    counts = part.bias_correction_mu or part.bias_correction_nu
    return Lines(tuple(body), _options(part, "b1", "b2", "eps"), {**_MOMENTS, "nu_max": _ZEROS}, counts)


def _adamax(part: ScaleByAdamax) -> Lines:
    largest = '$nu = state["$nu"].copy_(torch.maximum(update.abs() + $eps, $b2 * state["$nu"]))'
    return Lines(
        (_MU, largest, _MU_HAT, "update = mu_hat / $nu"), _options(part, "b1", "b2", "eps"), _MOMENTS, counts=True
    )


def _belief(part: ScaleByBelief) -> Lines:
    square = '$nu = state["$nu"].mul_($b2).addcmul_(error, error, value=1 - $b2)'
    square += ".add_($eps_root)" if part.eps_root else ""
    body = (_MU, "error = update - $mu", square, _mean(part), _NU_HAT, "update = mu_hat / (nu_hat.sqrt() + $eps)")
    return Lines(body, _options(part, "b1", "b2", "eps"), _MOMENTS, True)


def _yogi(part: ScaleByYogi) -> Lines:
    body = (
        _MU,
        "square = update * update",
        '$nu = state["$nu"].sub_((1 - $b2) * torch.sign(state["$nu"] - square) * square)',
        _MU_HAT,
        _NU_HAT,
        f"update = mu_hat / {_root('nu_hat', part)}",
    )
    start = _full(part.initial_accumulator_value, "start")
    options = {**_options(part, "b1", "b2", "eps"), "start": part.initial_accumulator_value}
    return Lines(body, options, {"mu": start, "nu": start}, True)


def _radam(part: ScaleByRadam) -> Lines:
    body = (
        _MU,
        _NU,
        _mean(part),
        _NU_HAT,
        "limit = 2 / (1 - $b2) - 1",
        "length = limit - 2 * step * $b2**step / (1 - $b2**step)",
        "factor = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)",
        f"adaptive = factor.sqrt() * mu_hat / {_root('nu_hat', part)}",
        "update = torch.where(length >= $threshold, adaptive, mu_hat)",
    )
    return Lines(body, _options(part, "b1", "b2", "eps", "threshold"), _MOMENTS, True)


def _lion(part: ScaleByLion) -> Lines:
    body = (
        'direction = torch.sign($b1 * state["$mu"] + (1 - $b1) * update)',
        'state["$mu"].mul_($b2).add_(update, alpha=1 - $b2)',
        "update = direction",
    )
    return Lines(body, _options(part, "b1", "b2"), {"mu": _ZEROS})


def _rms(part: ScaleByRms) -> Lines:
    body, state = [], {"nu": _full(part.initial_scale, "start")}
    mean, square = "$mu", "$nu"
    centered = isinstance(part, ScaleByStddev)
    if centered:
        state["mu"] = _ZEROS
        body.append('$mu = state["$mu"].mul_($decay).add_(update, alpha=1 - $decay)')
    body.append('$nu = state["$nu"].mul_($decay).addcmul_(update, update, value=1 - $decay)')
    if part.bias_correction:
        body.append("nu_hat = $nu / (1 - $decay**step)")
        square = "nu_hat"
        if centered:
            body.append("mu_hat = $mu / (1 - $decay**step)")
            mean = "mu_hat"
    if centered:
        body.append(f"variance = {square} - {mean} * {mean}")
        square = "variance"
    body.append(
        f"update = update * torch.rsqrt({square} + $eps)"
        if part.eps_in_sqrt
        else f"update = update / ({square}.sqrt() + $eps)"
    )
    start = {"start": part.initial_scale} if part.initial_scale else {}
    return Lines(tuple(body), {**_options(part, "decay", "eps"), **start}, state, part.bias_correction)


def _rss(part: ScaleByRss) -> Lines:
    body = (
        '$total = state["$total"].addcmul_(update, update)',
        "update = torch.where($total > 0, update * torch.rsqrt($total + $eps), 0.0)",
    )
    start = {"start": part.initial_accumulator_value} if part.initial_accumulator_value else {}
    state = {"total": _full(part.initial_accumulator_value, "start")}
    return Lines(body, {**_options(part, "eps"), **start}, state)


def _adadelta(part: ScaleByAdadelta) -> Lines:
    body = (
        '$e_g = state["$e_g"].mul_($rho).addcmul_(update, update, value=1 - $rho)',
        'update = (state["$e_x"] + $eps).sqrt() / ($e_g + $eps).sqrt() * update',
        'state["$e_x"].mul_($rho).addcmul_(update, update, value=1 - $rho)',
    )
    return Lines(body, _options(part, "rho", "eps"), {"e_g": _ZEROS, "e_x": _ZEROS})


def _adan(part: ScaleByAdan) -> Lines:
    body = (
        'change = torch.where(step == 1, 0.0, update - state["$g"])',
        '$m = state["$m"].mul_($b1).add_(update, alpha=1 - $b1)',
        '$v = state["$v"].mul_($b2).add_(change, alpha=1 - $b2)',
        "ahead = update + (1 - $b2) * change",
        '$n = state["$n"].mul_($b3).addcmul_(ahead, ahead, value=1 - $b3)',
        'state["$g"].copy_(update)',
        "update = $m / (1 - $b1**step) + (1 - $b2) * $v / (1 - $b2**step)",
        "n_hat = $n / (1 - $b3**step)",
        f"update = update / {_root('n_hat', part)}",
    )
    state = dict.fromkeys(("m", "v", "n", "g"), _ZEROS)
    return Lines(body, _options(part, "b1", "b2", "b3", "eps"), state, True)


def _novograd(part: ScaleByNovograd) -> Lines:
    decay = " + $weight_decay * p" if part.weight_decay else ""
    body = (
        "square = torch.linalg.vector_norm(update) ** 2",
        '$nu = torch.where(step == 1, square, $b2 * state["$nu"] + (1 - $b2) * square)',
        'state["$nu"].copy_($nu)',
        f"update = update / {_root('$nu', part)}{decay}",
        'update = state["$mu"].mul_($b1).add_(update)',
    )
    options = {**_options(part, "b1", "b2", "eps"), **({"weight_decay": part.weight_decay} if decay else {})}
    return Lines(body, options, {"mu": _ZEROS, "nu": "torch.zeros((), dtype=p.dtype, device=p.device)"}, True)


def _rprop(part: ScaleByRprop) -> Lines:
    body = (
        '$previous, $step_size = state["$previous"], state["$step_size"]',
        "agreement = update * $previous",
        "size = torch.where(agreement > 0, $step_size * $eta_plus, $step_size * $eta_minus)",
        "size = torch.clamp(size, $min_step_size, $max_step_size)",
        "$step_size.copy_(torch.where(agreement == 0, $step_size, size))",
        "move = torch.where(agreement < 0, 0.0, $step_size * torch.sign(update))",
        "update = torch.where(agreement < 0, 0.0, $previous)  # as optax has it: the move of the step before",
        "$previous.copy_(move)",
    )
    options = _options(part, "learning_rate", "eta_minus", "eta_plus", "min_step_size", "max_step_size")
    return Lines(body, options, {"previous": _ZEROS, "step_size": "torch.full_like(p, $learning_rate)"})


def _optimistic(part: ScaleByOptimisticGradient) -> Lines:
    body = (
        'previous = torch.where(step == 1, update, state["$previous"])',
        'state["$previous"].copy_(update)',
        "update = ($alpha + $beta) * update - $beta * previous",
    )
    return Lines(body, _options(part, "alpha", "beta"), {"previous": _ZEROS}, True)


def _trust_ratio(part: ScaleByTrustRatio) -> Lines:
    def norm(value: str) -> str:
        found = f"torch.linalg.vector_norm({value})"
        return f"torch.clamp({found}, min=$min_norm)" if part.min_norm else found

    eps = " / (update_norm + $eps)" if part.eps else " / update_norm"
    factor = "$trust_coefficient * " if part.trust_coefficient != 1 else ""
    body = (
        f"param_norm = {norm('p')}",
        f"update_norm = {norm('update')}",
        f"ratio = {factor}param_norm{eps}",
        "update = update * torch.where((param_norm == 0) | (update_norm == 0), 1.0, ratio)",
    )
    names = ("min_norm", "eps") if part.min_norm else ("eps",)
    options = {name: getattr(part, name) for name in names if getattr(part, name)}
    return Lines(body, {**options, **({"trust_coefficient": part.trust_coefficient} if factor else {})})


def _decay(part: AddDecayedWeights) -> Lines:
    return Lines(("update = update + $weight_decay * p",), {"weight_decay": part.weight_decay})


def _clip(part: Clip) -> Lines:
    return Lines(("update = torch.clamp(update, -$max_delta, $max_delta)",), {"max_delta": part.max_delta})


def _block_rms(part: ClipByBlockRms) -> Lines:
    body = "update = update / torch.clamp((update * update).mean().sqrt() / $threshold, min=1.0)"
    return Lines((body,), {"threshold": part.threshold})


_WRITERS: dict[type[Part], Callable[[Any], Lines]] = {
    Trace: _trace,
    Ema: _ema,
    ScaleByAdam: _adam,
    ScaleByAmsgrad: _amsgrad,
    ScaleByAdamax: _adamax,
    ScaleByBelief: _belief,
    ScaleByYogi: _yogi,
    ScaleByRadam: _radam,
    ScaleByLion: _lion,
    ScaleByRms: _rms,
    ScaleByStddev: _rms,
    ScaleByRss: _rss,
    ScaleByAdadelta: _adadelta,
    ScaleByAdan: _adan,
    ScaleByNovograd: _novograd,
    ScaleByRprop: _rprop,
    ScaleByOptimisticGradient: _optimistic,
    ScaleBySign: lambda part: Lines(("update = torch.sign(update)",)),
    ScaleByTrustRatio: _trust_ratio,
    AddDecayedWeights: _decay,
    Clip: _clip,
    ClipByBlockRms: _block_rms,
    ZeroNans: lambda part: Lines(("update = torch.where(update.isnan(), 0.0, update)",)),
    KeepParamsNonnegative: lambda part: Lines(("update = torch.where(p + update < 0, -p, update)",)),
}


def lines_of(part: Part) -> Lines:
    """The statements of a transformation.

    Raises:
        UnsupportedOptimizer: it has none: it is no function of one parameter alone.
    """
    writer = _WRITERS.get(type(part))
    if writer is None:
        raise UnsupportedOptimizer(f"{type(part).__name__} has no counterpart in torch yet")
    return writer(part)

"""Updates that torch.optim does not have, as the text of a `torch.optim.Optimizer` of the file's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regauge.emit.optax_normal import Parts
from regauge.emit.torch_update_lines import Lines, lines_of
from regauge.optax_specs import (
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
)

# Names of the classes, by what makes them.
_NAMES: dict[type[Part], str] = {
    ScaleByAdam: "Adam",
    ScaleByAmsgrad: "AMSGrad",
    ScaleByAdamax: "Adamax",
    ScaleByBelief: "AdaBelief",
    ScaleByYogi: "Yogi",
    ScaleByRadam: "RAdam",
    ScaleByLion: "Lion",
    ScaleByRms: "RMSprop",
    ScaleByStddev: "CenteredRMSprop",
    ScaleByRss: "Adagrad",
    ScaleByAdadelta: "Adadelta",
    ScaleByAdan: "Adan",
    ScaleByNovograd: "NovoGrad",
    ScaleByRprop: "Rprop",
    ScaleByOptimisticGradient: "OptimisticGradient",
    ScaleBySign: "SignSGD",
    ScaleByTrustRatio: "LARS",
}


@dataclass(frozen=True)
class Written:
    """A class of the file.

    Attributes:
        name: of the class, before others of the file are considered.
        text: with ``{name}`` where its name stands.
        options: what its groups must give, a number, or the `Curve` and `Scale` parts that move it.
    """

    name: str
    text: str
    options: dict[str, Any]


def written(parts: Parts) -> Written:
    """The class of an update.

    Args:
        parts: what a parameter goes through; one part or more.
    """
    pieces: list[Lines] = []
    for part in parts[:-1]:
        pieces.append(_scaled(part, last=False) if isinstance(part, Scale) else lines_of(part))
    ends_scaled = isinstance(parts[-1], Scale)
    pieces.append(_scaled(parts[-1], last=True) if isinstance(parts[-1], Scale) else lines_of(parts[-1]))
    names = _Names()
    options: dict[str, Any] = {}
    state: dict[str, str] = {}
    body: list[str] = []
    for piece in pieces:
        chosen = names.choose((*piece.options, *piece.state))
        options |= {chosen[name]: value for name, value in piece.options.items()}
        state |= {chosen[name]: _put(first, chosen) for name, first in piece.state.items()}
        body += [_put(line, chosen) for line in piece.body]
    if not ends_scaled:
        body.append("p.add_(update)")
    counts = any(piece.counts for piece in pieces)
    ordered = dict(sorted(options.items(), key=lambda item: item[0] != "lr"))
    name = next((_NAMES[type(part)] for part in parts if type(part) in _NAMES), "SGD")
    return Written(name, _class(parts, ordered, state, body, counts), ordered)


def _scaled(part: Scale, last: bool) -> Lines:
    """A factor; a descent's has the name and the sign of a learning rate."""
    if part.factor < 0:
        value = Scale(-part.factor, part.curves)
        return Lines(("p.sub_($lr * update)" if last else "update = -$lr * update",), {"lr": value})
    return Lines(("p.add_($scale * update)" if last else "update = $scale * update",), {"scale": part})


class _Names:
    """Names of options and states that are free in one class."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def choose(self, names: Sequence[str]) -> dict[str, str]:
        chosen = {}
        for name in dict.fromkeys(names):
            self._used[name] = self._used.get(name, 0) + 1
            chosen[name] = name if self._used[name] == 1 else f"{name}_{self._used[name]}"
        return chosen


def _put(text: str, chosen: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: chosen[found[1]], text)


def _class(parts: Parts, options: dict[str, Any], state: dict[str, str], body: list[str], counts: bool) -> str:
    names = list(options)
    defaults = ", ".join(f'"{name}": {name}' for name in names)
    lines = [
        "class {name}(torch.optim.Optimizer):",
        f'    """As optax has it: {title(parts)}."""',
        "",
        f"    def __init__({', '.join(['self', 'params', *names])}):",
        f"        super().__init__(params, {{{defaults}}})",
        "",
        "    @torch.no_grad()",
        "    def step(self):",
        "        for group in self.param_groups:",
        *(f'            {name} = group["{name}"]' for name in names),
        '            for p in group["params"]:',
    ]
    inner = ["if p.grad is None:", "    continue"]
    first = dict(state)
    if counts:
        first = {"step": "torch.zeros((), dtype=torch.float64)", **first}
    if first:
        inner += ["state = self.state[p]", "if not state:"]
        inner += [f'    state["{name}"] = {value}' for name, value in first.items()]
    if counts:
        inner.append('state["step"] = step = state["step"] + 1')
    inner.append("update = p.grad")
    return "\n".join([*lines, *(f"                {line}" for line in [*inner, *body])])


def title(parts: Parts) -> str:
    """The transformations by optax's names: ``scale_by_lion, add_decayed_weights, scale``."""
    return ", ".join(_snake(type(part).__name__) for part in parts)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

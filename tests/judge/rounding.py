"""How much worse than the original a correct port's rounding is: ``python -m judge.rounding`` from `tests`.

Correct ports of four models are evaluated in float32 and in bfloat16 with ten seeds; the ratios that the factors k of
tier 2 bound are written as a table into docs/equivalence.md, between its two marks. Each seed's ratios are kept in a
file, so that `--resume` goes on where a run ended.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np

from judge.mutation import edited, load, text_of
from judge.suite import CACHE, KEPT, ROOT

PAGE = ROOT / "docs" / "equivalence.md"
FIRST, LAST = "<!-- written by make rounding -->", "<!-- end -->"
MODELS = {"cnn": "batch-norm CNN", "lstm": "LSTM", "decoder": "transformer", "moe": "mixture of experts"}
PRECISIONS = ("float32", "bfloat16")
SEEDS = 10

# float inputs come in float32, and a model of bfloat16 casts them
_CASTS = {
    "cnn": (
        (
            "        x = (x - x.mean((1, 2, 3)",
            "        x = x.to(self.head.weight.dtype)\n        x = (x - x.mean((1, 2, 3)",
        ),
        ("        centred = x -", "        x = x.astype(self.head.kernel[...].dtype)\n        centred = x -"),
    ),
    "moe": (
        ("        q, k, v = self.qkv(", "        x = x.to(self.head.weight.dtype)\n        q, k, v = self.qkv("),
        (
            "        q, k, v = jnp.moveaxis(self.qkv(",
            "        x = x.astype(self.head.kernel[...].dtype)\n        q, k, v = jnp.moveaxis(self.qkv(",
        ),
        # the angles are float32 on both sides, as torch.arange has them; attention is in the dtype of the weights
        ("rotate(q), rotate(k), v,", "rotate(q).to(v.dtype), rotate(k).to(v.dtype), v,"),
        ("jnp.arange(x.shape[1], dtype=x.dtype)", "jnp.arange(x.shape[1], dtype=jnp.float32)"),
        ("jnp.arange(0, SIZE, 2, x.dtype)", "jnp.arange(0, SIZE, 2, jnp.float32)"),
        ("a * sin], -1).reshape(x.shape)", "a * sin], -1).reshape(x.shape).astype(x.dtype)"),
    ),
}

# what a ratio belongs to, with its factor in `Limits`
NORMS = {
    "outputs": ("all outputs, typical inputs", "together"),
    "gradients": ("all gradients, typical inputs", "together"),
    "state": ("all buffers, typical inputs", "together"),
    "special": ("all of a kind, special inputs", "alone"),
    "loss": ("loss", "alone"),
    "tensor": ("one tensor", "alone"),
    "element": ("largest element of an output", "element"),
}


def measure(base: str, precision: str, seed: int) -> dict[str, list[float]]:
    """The ratios of one seed by the keys of `NORMS`."""
    import regauge
    from regauge.verify import onestep, tolerance

    found: dict[str, list[float]] = {name: [] for name in NORMS}
    limits = tolerance.LIMITS
    if precision == "bfloat16":
        limits = replace(limits, floor=2.0**-7, free_pass=math.inf, cap=math.inf)
    own = onestep._against_rounding

    def recorded(kind: str, step: Any, original: Any, other: Any, typical: Any) -> Iterable[Any]:
        for name, ratio in _ratios(kind, step, original, other, typical, limits.floor):
            found[name].append(ratio)
        return own(kind, step, original, other, typical)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(onestep, "_against_rounding", recorded))
        stack.enter_context(mock.patch.object(onestep, "LIMITS", limits))
        original, port = _sides(base, precision, seed, Path(stack.enter_context(TemporaryDirectory())))
        regauge.check(original, port, locate=False)
    return found


def _ratios(kind: str, step: Any, original: Any, other: Any, typical: Any, floor: float) -> Iterable[tuple[str, float]]:
    """As `onestep._against_rounding` compares them, one ratio to the original's error each."""
    together = max(original.together, *(error.together for error in typical), floor)
    name = kind if kind in NORMS and step.typical else "loss" if kind == "loss" else "special"
    if step.typical or kind != "state":
        yield name, other.together / together
    for tensor, norm in other.norms.items():
        worst = max(original.norms[tensor], *(error.norms.get(tensor, 0.0) for error in typical), floor)
        if not (kind == "state" and step.is_constant):
            yield "tensor", norm / worst
        if kind == "outputs":
            largest = [original.largest[tensor], *(error.largest.get(tensor, 0.0) for error in typical)]
            yield "element", other.largest[tensor] / max(*largest, floor)


def _sides(base: str, precision: str, seed: int, directory: Path) -> tuple[Any, Any]:
    text = edited(text_of(base), _CASTS.get(base, ()))
    module = load(base, text, directory)
    case = replace(module.original(seed), optimizer=None)
    port = replace(module.port(case), optimizer=None)
    if precision == "bfloat16":
        import torch

        case.model.to(torch.bfloat16)
        port = replace(port, model=_low(port.model))
    return case, port


def _low(model: Any) -> Any:
    """A port with its weights in bfloat16."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    def cast(leaf: Any) -> Any:
        return leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    if isinstance(model, tuple):
        return (model[0], jax.tree.map(cast, model[1]))
    state = nnx.state(model, nnx.Not(nnx.RngState))
    nnx.update(model, jax.tree.map(cast, state))
    for _, part in nnx.iter_modules(model):
        if vars(part).get("dtype") == jnp.float32:  # of nnx.Embed, which keeps the dtype that it was made with
            part.dtype = jnp.bfloat16
    return model


def table(kept: Path) -> str:
    """The largest ratios and their quantiles, in Markdown."""
    from regauge.verify.tolerance import LIMITS

    text = "| model | precision | norm | k | seeds | ratios | median | 99 % | largest |\n"
    text += "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    for base, title in MODELS.items():
        for precision in PRECISIONS:
            files = sorted(kept.glob(f"{base}-{precision}-*.json"))
            seeds: list[Mapping[str, list[float]]] = [json.loads(file.read_text(encoding="utf-8")) for file in files]
            for name, (norm, factor) in NORMS.items():
                ratios = [ratio for seed in seeds for ratio in seed[name]]
                if ratios:
                    quantiles = " | ".join(f"{np.quantile(ratios, q):.2g}" for q in (0.5, 0.99, 1.0))
                    k = f"{getattr(LIMITS, factor):.0f}"
                    text += f"| {title} | {precision} | {norm} | {k} | {len(files)} | {len(ratios)} | {quantiles} |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resume", action="store_true", help="keep the ratios that are there")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    os.environ |= CACHE
    kept = KEPT / "rounding"
    kept.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for base in MODELS:
            for precision in PRECISIONS:
                file = kept / f"{base}-{precision}-{seed}.json"
                if not (options.resume and file.is_file()):
                    file.write_text(json.dumps(measure(base, precision, seed)), encoding="utf-8")
                    print(f"{base} {precision} seed {seed}", flush=True)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(FIRST)
    _, _, after = rest.partition(LAST)
    PAGE.write_text(f"{before}{FIRST}\n\n{table(kept)}\n{LAST}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

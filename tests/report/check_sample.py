"""A check of a pair that differs in the epsilon of a layer norm, as the judge gives it, with sources to point at."""

from __future__ import annotations

import json
from pathlib import Path

from regauge.findings import Finding
from regauge.verify.result import Cause, Check, Distance, ModuleDistance, Place, Tier
from regauge.weights.pair_map import Kind, PairMap, Part

HERE = Path(__file__).parents[1] / "endtoend" / "pair"
JAX_MARK = "self.norm = nnx.LayerNorm(8, epsilon=eps, rngs=rngs)"
ORIGINAL, PORT = HERE / "torch_side.py", HERE / "jax_side.py"


def place(path: Path, text: str, module: str, operation: str, distance: float | None) -> Place:
    """The line of a file that holds `text`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines, start=1) if text in line)
    return Place(module, operation, str(path), number, lines[number - 1].strip(), distance)


def modules(count: int = 16) -> tuple[ModuleDistance, ...]:
    """A stack of blocks; the norm of block 9 is the first that differs."""
    rows = []
    for index in range(count):
        apart = index >= 9
        distance = (4.4e-6 if apart else 3e-16) * (1 + 0.1 * index)
        here = place(ORIGINAL, "self.norm(self.a(x))", f"blocks.{index}.norm", "aten.layer_norm.default", None)
        rows.append(ModuleDistance(f"blocks.{index}.norm", here, None, distance, 2e-7 * (1 + index), not apart))
    rows[0] = ModuleDistance("embed", None, None, 0.0, None, True)
    return tuple(rows)


def pair_check() -> Check:
    """Different in evaluation and in training, with a place, causes and modules."""
    names = ("a.weight", "a.bias", "norm.weight", "norm.bias", "b.weight", "b.bias")
    far = tuple(Distance(n, 7.2e-6 * (i + 1), 9e-6, 1e-10, False, note="on random 1") for i, n in enumerate(names))
    near = tuple(Distance(n, 3e-16, 4e-16, 1e-10, True, note="on reference") for n in names)
    rounded = tuple(Distance(n, 2.1e-6, 4.4e-6, 6e-7, False, original_norm=1.9e-7) for n in names)
    outputs = (Distance("outputs", 4.4e-6, 8e-6, 1e-10, False, note="on random 1"),)
    text = "eps is 1e-06 in the converted model and 1e-05 in the original: with 1e-05 the distance falls to 5e-16"
    return Check(
        "torch_side.py:case jax_side.py:wrong",
        "different",
        (
            Tier("weights", "equal", "", 1, 0.0, 0.0, distances=near),
            Tier("tier 1 outputs", "different", "eval", 9, 4.4e-6, 1e-10, "outputs 4.4e-06", outputs),
            Tier("tier 1 gradients", "different", "train", 9, 4.3e-5, 1e-10, "a.weight 7.2e-06", far),
            Tier("tier 1 state", "equal", "train", 9, 1e-16, 1e-10, distances=near[:1]),
            Tier("tier 2 gradients", "different", "train", 9, 2.1e-6, 6e-7, "a.weight 2.1e-06", rounded),
            Tier("trajectory", "not checked", "train", why="no optimizer: converted model"),
        ),
        first_difference="norm",
        findings=(Finding("V126", "warning", "", "Only the original has a loss: it is left out, and gradients are "
                          "those of a probe of the outputs"),),
        inputs_tried=("reference", "random 1", "kinks and ties", "zeros"),
        seconds=31.5,
        versions={"torch": "2.13.0", "jax": "0.10.2"},
        sides=(f"{ORIGINAL}:case", f"{PORT}:wrong"),
        causes=(
            Cause("eps", text, 4.4e-6, 5e-16, f"{PORT.name}:15: epsilon=1e-05", True),
            Cause("gelu-approximation", "the tanh form of GELU was tried", 4.4e-6, 4.1e-6, "", False),
        ),
        places=(
            place(ORIGINAL, "self.norm = nn.LayerNorm(8)", "norm", "aten.layer_norm.default", 0.0),
            place(PORT, "epsilon=eps", "norm", "LayerNorm", 4.4e-6),
        ),
        modules=modules(),
        environment={"cpu": "a processor", "python": "3.11.9"},
    )  # fmt: skip


def pair_map() -> PairMap:
    """A transposed weight, one as it is, a fused one and a buffer that the port has no place for."""
    kind = Kind((8, 8), "float32")
    return PairMap(
        (
            Part("a.weight", "a.kernel", (("permute", (1, 0)),)),
            Part("a.bias", "a.bias"),
            Part("q.weight", "qkv.kernel", put=((0, 0, 8),)),
            Part("k.weight", "qkv.kernel", put=((0, 8, 16),)),
        ),
        dict.fromkeys(("a.weight", "a.bias", "q.weight", "k.weight", "steps"), kind),
        {"a.kernel": kind, "a.bias": kind, "qkv.kernel": Kind((16, 8), "float32")},
        absent_sources={"steps": "a counter that nothing reads"},
        evidence={"a.kernel": "value", "a.bias": "given", "qkv.kernel": "name"},
    )


def stored(directory: Path) -> Path:
    """The directory as `regauge check` leaves it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "check.json").write_text(json.dumps(pair_check().to_json()), encoding="utf-8")
    (directory / "weight_map.json").write_text(json.dumps(pair_map().to_json()), encoding="utf-8")
    return directory

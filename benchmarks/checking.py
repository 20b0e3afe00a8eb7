"""Time and memory of checking a BERT-base pair: ``python -m benchmarks.checking`` (``make bench-check``).

The pair is transformers' BertForSequenceClassification with random weights (110 million) and a port written by hand
for NNX (`benchmarks/bert_pair`), two rows of 16 tokens, dropout, AdamW. A model's *own* memory is the peak of a fresh
process that loads it and takes two training steps in float32: framework, weights, gradients, two moments, activations.
All memory is that of the processes themselves (``RssAnon``): what is mapped from files the kernel can take back.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
PAIR = ROOT / "benchmarks" / "bert_pair"
EVERY = 0.05  # seconds between two looks at the memory


def anonymous(process: psutil.Process) -> int:
    """Bytes that belong to a process alone and to no file."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon")), 0)


def measured(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Wall and CPU seconds and the peak memory of a command with all that it starts."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = 0
    # a file and not a pipe, which fills while nobody reads it
    with (
        TemporaryFile("w+", encoding="utf-8") as printed,
        subprocess.Popen(command, stdout=printed, env=dict(environment), cwd=ROOT) as running,
    ):
        root = psutil.Process(running.pid)
        while running.poll() is None:
            with contextlib.suppress(psutil.Error):
                peak = max(peak, sum(map(anonymous, [root, *root.children(recursive=True)])))
            time.sleep(EVERY)
        printed.seek(0)
        output = printed.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": time.perf_counter() - started, "cpu_s": cpu, "peak": peak, "output": output}


def train_torch() -> None:
    """Two steps of the original, by itself."""
    from benchmarks.bert_pair import original

    case = original.case()
    for _ in range(2):
        case.optimizer.zero_grad()
        case.loss(case.model(**case.inputs), case.targets).backward()
        case.optimizer.step()


def train_jax() -> None:
    """Two steps of the port, by itself, jitted with its arrays donated."""
    import jax
    import optax
    from flax import nnx

    from benchmarks.bert_pair import port

    case = port.case()
    split: Any = nnx.split
    graphdef, params, rest = split(case.model, nnx.Param, ...)
    case.model = None

    def loss(params: Any, rest: Any) -> Any:
        return case.loss(nnx.merge(graphdef, params, rest, copy=True)(**case.inputs), case.targets)

    def step(params: Any, slots: Any, rest: Any) -> Any:
        updates, slots = case.optimizer.update(jax.grad(loss)(params, rest), slots, params)
        return optax.apply_updates(params, updates), slots

    jitted = jax.jit(step, donate_argnums=(0, 1))
    slots = case.optimizer.init(params)
    for _ in range(2):
        params, slots = jitted(params, slots, rest)
    jax.block_until_ready(params)


def save_weights(path: Path) -> None:
    """The original's weights, for the port."""
    from safetensors.torch import save_file

    from benchmarks.bert_pair import original

    save_file({name: tensor.contiguous() for name, tensor in original.case().model.state_dict().items()}, path)


def main() -> None:
    with TemporaryDirectory() as directory:
        weights = Path(directory) / "weights.safetensors"
        environment = {
            **os.environ,
            "BERT_WEIGHTS": str(weights),
            "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT)),
        }
        alone = [sys.executable, "-m", "benchmarks.checking"]
        measured([*alone, "save", str(weights)], environment)
        own = {name: measured([*alone, name], environment)["peak"] for name in ("torch", "jax")}
        case = [f"{PAIR / name}.py:case" for name in ("original", "port")]
        command = [sys.executable, "-m", "regauge.cli.main", "check", *case, "--json", "--out", f"{directory}/out"]
        found = measured(command, environment)
        check = json.loads(found.pop("output"))["check"]
    result = {
        **found,
        "own": own,
        "times_own": found["peak"] / max(own.values()),
        "verdict": check["verdict"],
        "inputs": len(check["inputs_tried"]),
        "tiers": {f"{tier['name']} {tier['mode']}".strip(): tier["verdict"] for tier in check["tiers"]},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    actions = {"torch": train_torch, "jax": train_jax}
    if len(sys.argv) == 3:
        save_weights(Path(sys.argv[2]))
    elif len(sys.argv) == 2:
        actions[sys.argv[1]]()
    else:
        main()

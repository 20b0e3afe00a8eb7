"""How converting grows with depth: capture, emission and writing of one small encoder with more and more layers.

Called by `python -m benchmarks`: ``python -m benchmarks.scaling DIRECTION DEPTH`` prints a JSON line. Times are
processor time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.handwritten import TOKENS, VOCABULARY

DEPTHS = (4, 12, 24, 48, 96)
WIDTH, HEADS = 16, 2


def main(direction: str, depth: str) -> None:
    from regauge.emit.conversion import convert
    from regauge.emit.package import write_folder

    captured_with, writing = {"to-jax": to_jax, "to-torch": to_torch}[direction]()
    for layers in (1, int(depth)):  # the first conversion imports what all of them need
        with writing():
            times = [time.process_time()]
            captured, *weights = captured_with(layers)
            times.append(time.process_time())
            conversion = convert(captured)
            times.append(time.process_time())
            with TemporaryDirectory() as folder:
                write_folder(conversion, *weights, Path(folder) / "saved")
            times.append(time.process_time())
    spent = dict(zip(("capture", "emit", "write"), (b - a for a, b in pairwise(times)), strict=True))
    print(json.dumps({"depth": int(depth), "nodes": len(captured.graph.nodes), **spent}))


Direction = tuple[Callable[[int], Any], Callable[[], AbstractContextManager[None]]]


def to_jax() -> Direction:
    """What captures an encoder of so many layers, and the framework that is written."""
    import torch

    from benchmarks.originals import Encoder
    from regauge.capture.in_memory import capture

    tokens = torch.randint(0, VOCABULARY, (2, TOKENS))
    return lambda layers: capture(Encoder(layers, WIDTH, HEADS), (tokens,), train=True), nullcontext


def to_torch() -> Direction:
    """The same from JAX."""
    import jax
    from flax import nnx

    from benchmarks.handwritten import Encoder
    from regauge.capture.jax_in_memory import capture
    from regauge.emit.target import writing
    from regauge.emit.torch_target import TORCH

    tokens = jax.random.randint(jax.random.key(0), (2, TOKENS), 0, VOCABULARY)
    return (
        lambda layers: capture(Encoder(layers, WIDTH, HEADS, rngs=nnx.Rngs(0)), (tokens,), train=True),
        lambda: writing(TORCH),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

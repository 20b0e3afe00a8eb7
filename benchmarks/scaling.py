"""How converting grows with depth: capture, emission and writing of one small encoder with more and more layers.

Called by `python -m benchmarks`: ``python -m benchmarks.scaling DEPTH`` prints a JSON line. Times are processor time.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import originals

DEPTHS = (4, 12, 24, 48, 96)
WIDTH, HEADS = 16, 2


def main(depth: str) -> None:
    from regauge.capture.in_memory import capture
    from regauge.emit.conversion import convert
    from regauge.emit.package import write_folder

    torch.manual_seed(0)
    tokens = torch.randint(0, originals.VOCABULARY, (2, originals.TOKENS))
    for warm in (True, False):  # the first conversion imports what all of them need
        model = originals.Encoder(1 if warm else int(depth), WIDTH, HEADS)
        times = [time.process_time()]
        captured, tensors, arrays, reference = capture(model, (tokens,), train=True)
        times.append(time.process_time())
        conversion = convert(captured)
        times.append(time.process_time())
        with TemporaryDirectory() as folder:
            write_folder(conversion, tensors, arrays, reference, Path(folder) / "saved")
        times.append(time.process_time())
    spent = dict(zip(("capture", "emit", "write"), (b - a for a, b in pairwise(times)), strict=True))
    print(json.dumps({"depth": int(depth), "nodes": len(captured.graph.nodes), **spent}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What converting costs: capture to saved folder, against torch.export alone, and its peak memory.

Called by `python -m benchmarks`: ``python -m benchmarks.converting MODE NAME`` runs one mode in a fresh process and
prints a JSON line. Modes: `load` (the model and one forward), `export` (torch.export alone), `convert`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks import originals


def bert(layers: int = 12) -> Any:
    """A randomly initialised BERT of the base size: 110 million parameters at 12 layers."""
    from transformers import BertConfig, BertModel

    import regauge

    torch.manual_seed(0)
    model = BertModel(BertConfig(num_hidden_layers=layers), add_pooling_layer=False).eval()
    tokens = torch.randint(0, 30000, (2, 32))
    return regauge.Case(model, {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, name="bert-base")


CASES = {"encoder": originals.encoder, "resnet": originals.resnet, "bert-base": bert}


def _copy(model: torch.nn.Module) -> float:
    """Seconds to write the weights once, by their own library, until they are on the disk."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "copy.safetensors"
        started = time.perf_counter()
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return time.perf_counter() - started


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(mode: str, name: str) -> None:
    # All libraries are loaded in every mode, so that only the work differs.
    import jax  # noqa: F401
    from flax import nnx  # noqa: F401

    import regauge.emit.nnx_target  # noqa: F401
    from regauge.capture.dynamic import shapes
    from regauge.capture.in_memory import capture
    from regauge.emit.conversion import convert
    from regauge.emit.package import write_folder

    case = CASES[name]()
    kwargs = case.inputs if isinstance(case.inputs, dict) else {}
    args = () if kwargs else case.inputs
    weights = sum(t.numel() * t.element_size() for t in case.model.state_dict().values())
    with torch.no_grad():
        case.model(*args, **kwargs)
    loaded = _peak()
    for module in (torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)):  # the first export imports half of torch
        torch.export.export(module, (torch.ones(2, 2),), strict=False)
    started = time.perf_counter()
    if mode == "export":
        dynamic = shapes(case.model, case.inputs)
        torch.export.export(case.model, args, kwargs, dynamic_shapes=dynamic, strict=False)
    elif mode == "convert":
        with TemporaryDirectory() as folder:
            captured, tensors, arrays, reference = capture(case.model, case.inputs, train=case.model.training)
            write_folder(convert(captured), tensors, arrays, reference, Path(folder) / "saved")
    seconds = time.perf_counter() - started
    peak = _peak()
    copying = _copy(case.model) if mode == "convert" else 0.0
    figures = {"seconds": seconds, "copying": copying, "peak": peak, "loaded": loaded, "weights": weights}
    print(json.dumps({"mode": mode, "model": name, **figures}))


if __name__ == "__main__":
    main(*sys.argv[1:])

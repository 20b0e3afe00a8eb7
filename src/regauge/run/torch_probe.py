"""What PyTorch an interpreter has: ``python -P torch_probe.py`` prints JSON; regauge need not be installed there."""

import json
import platform
import time
from typing import Any

found: dict[str, Any] = {"python": platform.python_version()}
started = time.perf_counter()
try:
    import torch
except Exception as error:
    found["error"] = f"{type(error).__name__}: {error}"
else:
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found.update(
        version=str(torch.__version__),
        import_seconds=round(time.perf_counter() - started, 2),
        devices=devices or ["cpu"],
        threads=torch.get_num_threads(),
    )
print(json.dumps(found))

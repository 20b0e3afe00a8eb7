"""What JAX an interpreter has: ``python -P jax_probe.py`` prints JSON; regauge need not be installed there."""

import json
import platform
import time
from typing import Any

found: dict[str, Any] = {"python": platform.python_version()}
started = time.perf_counter()
try:
    import flax
    import jax
    import optax
except Exception as error:
    found["error"] = f"{type(error).__name__}: {error}"
else:
    found.update(
        version=jax.__version__,
        import_seconds=round(time.perf_counter() - started, 2),
        devices=[device.device_kind for device in jax.devices()],
        flax=flax.__version__,
        optax=optax.__version__,
    )
print(json.dumps(found))

"""The process that loads JAX: ``python -m regauge.run.jax_worker JOB.json``."""

import sys

from regauge.run.worker import serve

JOBS = {
    "framework": "regauge.run.frameworks:run",
    "describe": "regauge.run.jax_describe:run",
    "facts": "regauge.run.fact_checks:run",
    "api": "regauge.run.jax_api:run",
    "capture": "regauge.run.jax_capture:run",
    "emit": "regauge.run.jax_emit:run",
    "rules": "regauge.run.jax_rules:run",
    "evaluate": "regauge.run.jax_evaluate:run",
    "gate": "regauge.run.jax_gate:run",
    "time": "regauge.run.jax_time:run",
}

if __name__ == "__main__":
    sys.exit(serve(JOBS, sys.argv))

"""The process that loads torch: ``python -m regauge.run.torch_worker JOB.json``."""

import sys

from regauge.run.worker import serve

JOBS = {
    "framework": "regauge.run.frameworks:run",
    "describe": "regauge.run.torch_describe:run",
    "facts": "regauge.run.fact_checks:run",
    "api": "regauge.run.torch_api:run",
    "capture": "regauge.run.torch_capture:run",
    "emit": "regauge.run.torch_emit:run",
    "evaluate": "regauge.run.torch_evaluate:run",
    "gate": "regauge.run.torch_gate:run",
    "time": "regauge.run.torch_time:run",
}

if __name__ == "__main__":
    sys.exit(serve(JOBS, sys.argv))

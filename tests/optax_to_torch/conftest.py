"""optax runs in a process of its own; torch, and what is emitted for it, in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optax_sides import Walks


@pytest.fixture(scope="session")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Walks:
    out = tmp_path_factory.mktemp("walks")
    script = Path(__file__).with_name("optax_walks.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, script, out], check=True, env=environment, timeout=300)
    return Walks(json.loads((out / "specs.json").read_text()), dict(np.load(out / "walks.npz")))

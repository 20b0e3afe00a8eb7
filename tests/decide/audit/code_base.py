"""A small code base that tests audit, written into a directory of theirs: parts of it are broken on purpose."""

from __future__ import annotations

import json
from pathlib import Path

FILES: dict[str, str] = {
    "shapes/__init__.py": "from .net import Net\n",
    "shapes/layers.py": """import torch
from torch import nn
import torch.nn.functional as F


class Gate(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.sigmoid(self.linear(x))
        if y.mean() > 0.5:
            y = y * 2
        return F.relu(x) * y


def rotate(x):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((-b, a), dim=-1)
""",
    "shapes/net.py": """import numpy as np
import torch
from torch import nn

from .layers import Gate, rotate


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.gate = Gate(8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.conv(x).mean((2, 3))
        k = x.max().item()
        kept = x[x > 0]
        self.last = kept.sum()
        print(x)
        noise = np.abs(x.detach().numpy())
        return self.head(rotate(self.gate(x)))

    def init_weights(self):
        nn.init.kaiming_normal_(self.head.weight)
""",
    "train.py": """import torch
from torch.utils.data import DataLoader, Dataset
from torch.cuda.amp import GradScaler, autocast
from torchvision import transforms
from shapes import Net


class Folder(Dataset):
    def __getitem__(self, index):
        return torch.zeros(3, 8, 8), torch.tensor(0)


def train(model, loader):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    scaler = GradScaler()
    for x, y in loader:
        optimizer.zero_grad()
        with autocast():
            loss = torch.nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        optimizer.step()
        scheduler.step()
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    torch.manual_seed(0)
    train(Net(), DataLoader(Folder(), batch_size=4))
""",
    "tests/test_net.py": """import torch
from shapes import Net


def test_shape():
    assert Net()(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
""",
    "plain.py": "def double(x):\n    return 2 * x\n",
    "requirements.txt": """# what training needs
torch==2.1.0  # the framework
torchvision>=0.16
numpy>=1.26
--extra-index-url https://download.pytorch.org/whl/cu121
wandb
""",
    "pyproject.toml": """[project]
name = "shapes"
requires-python = ">=3.8"  # as old as it goes
dependencies = [
    "torch>=2.0",
    "numpy",
]

[project.optional-dependencies]
train = ["torchmetrics", "tqdm"]
""",
    "Dockerfile": """FROM pytorch/pytorch:2.1.0-cuda12.1-cudnn8-runtime
ENV PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
COPY . /app
RUN pip install torchmetrics==1.0 wandb
CMD ["torchrun", "--nproc_per_node=8", "train.py"]
""",
    "environment.yml": """name: shapes
channels:
  - pytorch
  - conda-forge
dependencies:
  - python=3.11
  - pytorch=2.1  # framework
  - pytorch-cuda=12.1
  - pip:
      - torchmetrics
""",
    ".github/workflows/ci.yml": """name: ci
on: [push]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: pip install torch==2.1.0 --index-url https://download.pytorch.org/whl/cpu
      - run: |
          pip install numpy \\
            torchvision
          pytest
""",
    "setup.py": """from setuptools import setup

setup(
    name="shapes",
    description="torch",
    install_requires=["torch>=2.0", "numpy"],
)
""",
}

NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# torch"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install torch\n", "import torch"]},
        {"cell_type": "code", "source": "x = torch.ones(3)\nx.sum().item()"},
        {"cell_type": "code", "source": "def (:\n"},
        {"cell_type": "code", "source": "%%bash\necho torch.zeros"},
    ],
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
}


def write(root: Path) -> Path:
    """The code base under `root`, without anything broken but one cell of the notebook."""
    for name, text in FILES.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    (root / "explore.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    return root


def write_broken(root: Path) -> Path:
    """Files that cannot be read, each in its own way."""
    (root / "broken.py").write_text("import torch\ndef f(:\n")
    (root / "python2.py").write_text("print 'torch'\n")
    (root / "binary.py").write_bytes(b"\x00\x01\x02torch")
    (root / "encoding.py").write_bytes(b"# -*- coding: utf-8 -*-\nx = '\xff\xfe'\n")
    (root / "deep.py").write_text("x = " + "(" * 5000 + ")" * 5000 + "\n")
    (root / "huge.py").write_text("x = 1\n" * 1_000_000)
    (root / "broken.ipynb").write_text('{"cells": 3}')
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "nowhere.py").symlink_to(root / "missing.py")
    return root

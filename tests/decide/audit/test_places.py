"""What a place or an argument makes of a name: collectives, autocast, settings, objects of other classes, metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from regauge.decide.audit import audit_tree
from regauge.decide.audit.classing import entry_of


def read(tmp_path: Path, text: str, to: str = "jax") -> tuple[dict[tuple[int, str], str], set[tuple[int, str]]]:
    """Classes by line and name, and the hazards by line and kind."""
    (tmp_path / "code.py").write_text(text, encoding="utf-8")
    audit = audit_tree(tmp_path, to)  # type: ignore[arg-type]
    classes = {
        (line, audit.names[index].name): audit.names[index].degree
        for file in audit.files
        for index, lines in file.uses
        for line in lines
    }
    return classes, {(item.line, item.kind) for item in audit.hazards}


@pytest.mark.parametrize(
    ("call", "name", "degree"),
    [
        ("torch.autocast('cuda', enabled=False)", "torch.autocast(enabled=False)", "equivalent"),
        ("torch.autocast('cuda', None, False)", "torch.autocast(enabled=False)", "equivalent"),
        ("torch.autocast('cuda')", "torch.autocast", "manual"),
        ("torch.autocast('cuda', enabled=flag)", "torch.autocast", "manual"),
        ("torch.autocast('cuda', **flags)", "torch.autocast", "manual"),
        ("torch.distributed.broadcast(x, 0)", "torch.distributed.broadcast(group=None)", "equivalent"),
        ("torch.distributed.broadcast(x, 0, group=own)", "torch.distributed.broadcast", "manual"),
        ("torch.distributed.all_reduce(x)", "torch.distributed.all_reduce", "manual"),
        ("torch.torch.zeros(3)", "torch.zeros", "equivalent"),
    ],
)
def test_an_argument_decides_where_a_table_knows_its_value(tmp_path: Path, call: str, name: str, degree: str) -> None:
    assert read(tmp_path, f"import torch\n\n{call}\n")[0] == {(3, name): degree}


@pytest.mark.parametrize(
    ("call", "degree"),
    [
        ("config.update('jax_enable_x64', True)", "equivalent"),
        ("config.update('jax_numpy_rank_promotion', 'raise')", "equivalent"),
        ("config.update('jax_threefry_partitionable', False)", "manual"),
        ("config.update(name, True)", "manual"),
    ],
)
def test_settings_of_jax_are_told_apart(tmp_path: Path, call: str, degree: str) -> None:
    for imported in ("from jax import config", "from jax.config import config"):
        found = read(tmp_path, f"{imported}\n\n{call}\n", "torch")[0]
        assert [name for line, name in found if line == 3 and not name.startswith("jax.config.update")] == []
        assert [value for (line, _), value in found.items() if line == 3] == [degree]


def test_a_collective_in_a_model_stays_manual(tmp_path: Path) -> None:
    text = "import torch\n\nclass M(torch.nn.Module):\n    def forward(self, x):\n"
    text += "        torch.distributed.broadcast(x, 0)\n        return x\n"
    assert read(tmp_path, text)[0][5, "torch.distributed.broadcast(group=None)"] == "manual"


def test_what_a_forward_calls_of_other_classes_belongs_to_the_model(tmp_path: Path) -> None:
    text = """import torch

class Helper:
    def __init__(self, x):
        self.x = torch.abs(x)

    def mean(self):
        return torch.sqrt(self.x)

    def unused(self):
        return torch.exp(self.x)

class Base(torch.nn.Module):
    def shift(self, x):
        return torch.tensor(x.max().item())

class M(Base):
    def __init__(self):
        super().__init__()
        self.helper = Helper(torch.ones(3))

    def forward(self, x):
        made = Helper(x)
        return self.shift(x) + made.mean() + self.helper.mean()
"""
    classes, hazards = read(tmp_path, text)
    assert classes[5, "torch.abs"] == "automatic"
    assert classes[8, "torch.sqrt"] == "automatic"
    assert classes[11, "torch.exp"] == "equivalent"
    assert classes[15, "torch.Tensor.item"] == "manual"
    assert (15, "value") in hazards


def test_a_metric_is_no_model(tmp_path: Path) -> None:
    text = (
        "import torch\n\nclass Mean(torch.nn.Module):\n    def update(self, x):\n        self.sum += torch.sum(x)\n\n"
    )
    text += "    def compute(self):\n        return torch.sqrt(self.sum)\n\n"
    text += "class Net(torch.nn.Module):\n    def forward(self, x):\n        return torch.sqrt(x)\n"
    classes, _ = read(tmp_path, text)
    assert classes[8, "torch.sqrt"] == "equivalent"
    assert classes[12, "torch.sqrt"] == "automatic"


def test_a_method_that_returns_an_object_is_no_function_of_tensors(tmp_path: Path) -> None:
    text = """import torch

class Posterior:
    pass

class M(torch.nn.Module):
    def posterior(self, x: torch.Tensor) -> Posterior:
        return Posterior(torch.exp(x))

    def density(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x)
"""
    classes, _ = read(tmp_path, text)
    assert classes[8, "torch.exp"] == "equivalent"
    assert classes[11, "torch.exp"] == "automatic"


def test_dictionaries_and_operators_are_no_tensors(tmp_path: Path) -> None:
    text = "import torch\nfrom tensordict import TensorDictBase\n\nclass M(torch.nn.Module):\n"
    text += "    def forward(self, td: TensorDictBase, tensordict):\n"
    text += "        return td.select('a'), tensordict.select('a'), Operator(td.x).cholesky().to_dense()\n"
    names = {name for line, name in read(tmp_path, text)[0] if line == 6}
    assert not names & {"torch.Tensor.select", "torch.Tensor.to_dense"}


def test_names_of_the_public_apis_have_records() -> None:
    assert entry_of("torch.histogram", "pytorch").counterpart == "jnp.histogram"
    assert entry_of("torch.exp_", "pytorch").degree == entry_of("torch.Tensor.exp_", "pytorch").degree == "automatic"
    assert entry_of("torch.FloatStorage", "pytorch").degree == "none"
    assert entry_of("jax._src.flatten_util.ravel_pytree", "jax").recorded
    assert entry_of("jax.scipy.special.bernoulli", "jax").degree == "manual"
    assert entry_of("jax.core.Tracer", "jax").degree == "equivalent"
    assert entry_of("jax.core.eval_jaxpr", "jax").degree == "manual"

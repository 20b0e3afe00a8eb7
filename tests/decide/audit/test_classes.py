"""Classes of uses: what a name is, and what its place makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regauge.decide.audit import Audit, audit_tree
from regauge.decide.audit.classing import entry_of
from regauge.decide.audit.result import SCHEMA
from regauge.errors import BadResult


def degrees(audit: Audit, path: str) -> dict[tuple[int, str], str]:
    """(line, name) -> class of every use in a file."""
    file = next(file for file in audit.files if file.path == path)
    return {(line, audit.names[index].name): audit.names[index].degree for index, lines in file.uses for line in lines}


def of(tmp_path: Path, text: str, **options: object) -> dict[tuple[int, str], str]:
    (tmp_path / "one.py").write_text(text)
    return degrees(audit_tree(tmp_path / "one.py", **options), "one.py")  # type: ignore[arg-type]


def test_a_model_is_automatic(audit: Audit) -> None:
    found = degrees(audit, "shapes/layers.py")
    assert found[6, "torch.nn.Module"] == "automatic"
    assert found[9, "torch.nn.Linear"] == "automatic"
    assert found[10, "torch.nn.Module.register_buffer"] == "automatic"
    assert found[13, "torch.sigmoid"] == "automatic"
    assert found[16, "torch.nn.functional.relu"] == "automatic"
    assert found[21, "torch.cat"] == "automatic"


def test_a_training_script_is_not(audit: Audit) -> None:
    found = degrees(audit, "train.py")
    assert found[8, "torch.utils.data.Dataset"] == "equivalent"
    assert found[10, "torch.zeros"] == "equivalent"
    assert found[14, "torch.optim.AdamW"] == "automatic"  # a case carries it along
    assert found[15, "torch.optim.lr_scheduler.StepLR"] == "automatic"
    assert found[16, "torch.cuda.amp.GradScaler"] == "manual"
    assert found[18, "torch.optim.Optimizer.zero_grad"] == "equivalent"  # left out: gradients do not add up
    assert found[20, "torch.nn.functional.cross_entropy"] == "equivalent"
    assert found[21, "torch.Tensor.backward"] == "manual"
    assert found[24, "torch.save"] == "equivalent"
    assert found[28, "torch.manual_seed"] == "equivalent"


def test_tests_and_initialisers_stay_outside(audit: Audit) -> None:
    assert set(degrees(audit, "tests/test_net.py").values()) == {"equivalent"}
    assert degrees(audit, "shapes/net.py")[25, "torch.nn.init.kaiming_normal_"] == "equivalent"


def test_values_inside_of_a_model_are_manual(audit: Audit) -> None:
    assert degrees(audit, "shapes/net.py")[17, "torch.Tensor.item"] == "manual"


def test_the_counts_add_up(audit: Audit) -> None:
    totals = audit.totals
    assert totals.framework_lines == totals.automatic + totals.equivalent + totals.manual + totals.none
    assert sum(share or 0 for share in totals.shares.values()) == pytest.approx(1)
    for field in ("files", "lines", "framework_lines", "automatic", "manual"):
        assert sum(getattr(row.counts, field) for row in audit.directories) == getattr(totals, field)
        assert sum(getattr(file.counts, field) for file in audit.files) == getattr(totals, field)


def test_what_hides_a_name_is_believed(tmp_path: Path) -> None:
    found = of(tmp_path, "import torch\nimport math\n\ndef f(torch, x):\n    return torch.zeros(3), math.isfinite(x)\n")
    assert found == {}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from torch.nn import Linear as L\nlayer = L(2, 3)\n", "torch.nn.Linear"),
        ("import torch\nnn = torch.nn\nlayer = nn.Linear(2, 3)\n", "torch.nn.Linear"),
        ("from torch.nn import *\nlayer = Linear(2, 3)\n", "torch.nn.Linear"),
        ("import torch.nn.modules.linear as m\nlayer = m.Linear(2, 3)\n", "torch.nn.Linear"),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None\nx = torch.zeros(2)\n", "torch.zeros"),
        ("def f():\n    import torch\n    return torch.zeros(2)\n", "torch.zeros"),
    ],
)
def test_imports_of_every_kind(text: str, name: str, tmp_path: Path) -> None:
    assert name in {found for _, found in of(tmp_path, text)}


def test_methods_count_where_a_tensor_is_known(tmp_path: Path) -> None:
    text = "import torch\n\ndef f(path, names):\n    x = torch.zeros(3)\n    y = x.view(3).sum()\n"
    text += "    path.view(3)\n    names.split(',')\n    return names.index('a'), y\n"
    assert {name for _, name in of(tmp_path, text)} == {"torch.zeros", "torch.Tensor.view", "torch.Tensor.sum"}


def test_a_base_class_in_another_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "p" / "inner").mkdir(parents=True)
    (tmp_path / "p" / "__init__.py").write_text("from .inner import Base\n")
    (tmp_path / "p" / "inner" / "__init__.py").write_text("from .base import Base\n")
    (tmp_path / "p" / "inner" / "base.py").write_text("from torch import nn\n\nclass Base(nn.Module):\n    pass\n")
    text = "import torch\nfrom p import Base\n\nclass Net(Base):\n"
    text += "    def forward(self, x):\n        return torch.relu(x)\n"
    (tmp_path / "p" / "net.py").write_text(text)
    assert degrees(audit_tree(tmp_path), "p/net.py")[6, "torch.relu"] == "automatic"


def test_a_file_called_torch_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "io").mkdir()
    (tmp_path / "io" / "torch.py").write_text("import torch\nx = torch.zeros(3)\n")
    (tmp_path / "a.py").write_text("import torch\nx = torch.zeros(3)\n")
    assert audit_tree(tmp_path).totals.framework_lines == 2


def test_nothing_is_automatic_towards_torch(tmp_path: Path) -> None:
    text = (
        "import jax\nimport jax.numpy as jnp\nimport optax\n\n@jax.jit\ndef f(x):\n    return jnp.concatenate([x, x])\n"
    )
    text += "\nopt = optax.adamw(1e-3)\nshard = jax.pmap(f)\n"
    found = of(tmp_path, text)
    assert found[7, "jax.numpy.concatenate"] == "equivalent"
    assert found[9, "optax.adamw"] == "equivalent"
    assert found[10, "jax.pmap"] == "manual"
    assert "automatic" not in found.values()


def test_the_direction_is_that_of_most_uses(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import jax\nimport torch\nx = jax.grad\ny = jax.vmap\nz = torch.zeros(3)\n")
    assert (audit_tree(tmp_path).source, audit_tree(tmp_path).target) == ("jax", "torch")
    chosen = audit_tree(tmp_path, to="jax")
    assert (chosen.source, chosen.totals.framework_lines) == ("pytorch", 1)


def test_other_frameworks_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import mxnet as mx\nimport tensorflow as tf\nx = mx.nd.zeros(3)\ny = tf.zeros(3)\n")
    audit = audit_tree(tmp_path)
    rows = {row.name: row for row in audit.frameworks}
    assert audit.totals.framework_lines == 0
    assert rows["mxnet"].uses == rows["tensorflow"].uses == 1
    assert "retired" in rows["mxnet"].note
    assert rows["mxnet"].source == "fact mx-status"


def test_libraries_have_their_counterparts(audit: Audit) -> None:
    row = next(row for row in audit.libraries if row.name == "torchvision")
    assert row.degree == "partial"
    assert row.counterparts
    assert row.why
    assert row.source


def test_an_unknown_name_counts_as_manual_and_is_marked(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import torch\nx = torch.no_such_function(3)\n")
    audit = audit_tree(tmp_path)
    assert [(name.degree, name.recorded) for name in audit.names] == [("manual", False)]


def test_json_and_back(audit: Audit) -> None:
    assert Audit.from_json(json.loads(json.dumps(audit.to_json()))) == audit
    with pytest.raises(BadResult, match="another version"):
        Audit.from_json({**audit.to_json(), "schema": SCHEMA + 1})
    with pytest.raises(BadResult, match="cannot be read"):
        Audit.from_json({"schema": SCHEMA})


def test_what_only_generation_calls_is_no_model(tmp_path: Path) -> None:
    text = "import torch\nfrom torch import nn\n\ndef _search(x):\n    return torch.cat([x, x])\n\n"
    text += "def shared(x):\n    return torch.relu(x)\n\nclass Net(nn.Module):\n"
    text += "    def forward(self, x):\n        return shared(x)\n\n"
    text += "    def generate(self, x):\n        return _search(shared(x)).size(0)\n\n"
    text += "    def _prepare_position_ids_for_generation(self, mask: torch.Tensor):\n        return mask.sum()\n"
    found = of(tmp_path, text)
    assert found[5, "torch.cat"] == "equivalent"
    assert found[8, "torch.relu"] == "automatic"  # forward calls it too
    assert found[18, "torch.Tensor.sum"] == "equivalent"
    assert found[17, "torch.Tensor"] == "equivalent"


@pytest.mark.parametrize(("base", "degree"), [("NamedTuple", "automatic"), ("Exception", "equivalent")])
def test_a_record_of_outputs_belongs_to_the_models_of_its_file(base: str, degree: str, tmp_path: Path) -> None:
    text = "from typing import NamedTuple\nimport torch\nfrom torch import nn\n\n"
    text += f"class Out({base}):\n    y: torch.Tensor\n\nclass More(Out):\n    z: torch.Tensor\n\n"
    text += "class Net(nn.Module):\n    def forward(self, x):\n        return x\n"
    found = of(tmp_path, text)
    assert (found[6, "torch.Tensor"], found[9, "torch.Tensor"]) == (degree, degree)


def test_a_gradient_that_is_read_has_a_counterpart_and_one_that_is_set_has_not(tmp_path: Path) -> None:
    text = "import torch\n\ndef clip(parameters):\n    for p in parameters:\n"
    text += "        if p.grad is None:\n            continue\n        p.grad = torch.sign(p.detach())\n"
    found = of(tmp_path, text)
    assert found[5, "torch.Tensor.grad"] == "equivalent"
    assert found[7, "torch.Tensor.grad.setter"] == "manual"


def test_the_optimizers_of_jax_itself_are_in_torch(tmp_path: Path) -> None:
    text = "from jax.example_libraries import optimizers, stax\na = optimizers.rmsprop_momentum(1e-3)\n"
    text += "b = optimizers.sm3(1e-3)\nc = stax.Dense(3)\nd = stax.FanOut(2)\n"
    found = of(tmp_path, text, to="torch")
    assert found[2, "jax.example_libraries.optimizers.rmsprop_momentum"] == "equivalent"
    assert found[3, "jax.example_libraries.optimizers.sm3"] == "manual"
    assert found[4, "jax.example_libraries.stax.Dense"] == "equivalent"
    assert found[5, "jax.example_libraries.stax.FanOut"] == "manual"


@pytest.mark.parametrize(
    "name", ["jax.nn.log_sigmoid", "jax.numpy.uint16", "jax.lax.erf_inv", "flax.linen.celu", "flax.nnx.elu"]
)
def test_what_torch_has_under_another_name_is_equivalent(name: str) -> None:
    assert entry_of(name, "jax").degree == "equivalent"


def test_a_layer_without_a_sample_is_what_its_function_is() -> None:
    found = {
        name: entry_of(f"torch.nn.{name}", "pytorch") for name in ("Hardsigmoid", "CosineSimilarity", "LazyLinear")
    }
    assert {name: entry.degree for name, entry in found.items()} == {
        "Hardsigmoid": "automatic",
        "CosineSimilarity": "automatic",
        "LazyLinear": "manual",
    }
    assert found["Hardsigmoid"].counterpart == "jax.nn.hard_sigmoid"


def test_the_functions_of_an_optimizer_are_no_functions_of_tensors(tmp_path: Path) -> None:
    text = "import torch\n\nclass Own(torch.optim.Optimizer):\n    def step(self):\n        update([])\n\n"
    text += "def update(grads):\n    return torch.stack(grads)\n"
    assert of(tmp_path, text)[8, "torch.stack"] == "equivalent"


def test_the_fans_of_a_weight_are_no_api_of_jax() -> None:
    assert entry_of("torch.nn.init._calculate_fan_in_and_fan_out", "pytorch").degree == "manual"
    assert entry_of("torch.nn.init.kaiming_uniform_", "pytorch").degree == "equivalent"


def test_flax_lifts_what_has_variables() -> None:
    assert entry_of("flax.nnx.cond", "jax").degree == "equivalent"
    assert entry_of("flax.linen.scan", "jax").degree == "manual"


def test_memory_formats_are_left_out_and_backends_of_vendors_have_no_counterpart() -> None:
    assert entry_of("torch.legacy_contiguous_format", "pytorch").degree == "equivalent"
    assert entry_of("torch.supa.get_device_name", "pytorch").degree == "none"

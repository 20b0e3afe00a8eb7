"""The emitted optimizers take optax's steps: 20 of them in float64."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from optax_cases import CASES
from optax_problem import STEPS, TARGETS
from optax_sides import Walks, load, one_step, parameters
from torch._dynamo.testing import CompileCounter

# Both sides round differently in every operation; 20 steps of a contraction keep that at a few ulp.
LIMIT = 1e-13

# The class of torch.optim where it is the same algorithm with the same numbers.
TORCHS = {
    "sgd": "torch.optim.SGD(parameters, lr=0.1)",
    "nesterov": "torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True)",
    "adam": "torch.optim.Adam(parameters, lr=0.01)",
    "adamw": "torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)",
    "rmsprop with torch's momentum": "torch.optim.RMSprop(parameters, lr=0.01, alpha=0.9, momentum=0.9)",
    "adamax": "torch.optim.Adamax(parameters, lr=0.01)",
    "adadelta": "torch.optim.Adadelta(parameters, lr=1.0, weight_decay=0.01)",
}

# Where it is another: the class of the file.
OWN = {
    "adam with eps_root": "Adam",
    "nadam": "Adam",
    "radam": "RAdam",
    "lion": "Lion",
    "rmsprop": "RMSprop",
    "rmsprop with nesterov and a schedule": "RMSprop",
    "adagrad": "Adagrad",
    "amsgrad": "AMSGrad",
}


@pytest.mark.parametrize("case", CASES)
def test_the_emitted_optimizer_takes_the_steps_of_optax(walks: Walks, case: str) -> None:
    assert walks.apart(case, load(walks.text(case))) < LIMIT


@pytest.mark.parametrize("case", TORCHS)
def test_an_algorithm_that_torch_has_is_torchs(walks: Walks, case: str) -> None:
    text = walks.text(case)["train"]
    assert f"return {TORCHS[case]}" in text
    assert "class " not in text


@pytest.mark.parametrize("case", OWN)
def test_an_algorithm_that_torch_has_not_is_a_class_of_the_file(walks: Walks, case: str) -> None:
    text = walks.text(case)["train"]
    assert f"class {OWN[case]}(torch.optim.Optimizer):" in text
    assert not re.search(r"torch\.optim\.(?!Optimizer\b)", text)


# One change of the emitted text: what a port by hand gets wrong.
MUTATIONS = {
    "momentum instead of Nesterov's": ("nesterov", ", nesterov=True", ""),
    "decay as L2": ("adamw", "torch.optim.AdamW(", "torch.optim.Adam("),
    "decay on everything": ("adamw on matrices", 'return "weight_decay=0.0"', 'return "weight_decay=0.1"'),
    "eps outside the root": ("rmsprop", "torch.rsqrt(nu + eps)", "1 / (nu.sqrt() + eps)"),
    "eps inside the root": ("yogi", "(nu_hat.sqrt() + eps)", "(nu_hat + eps).sqrt()"),
    "no second eps": ("adam with eps_root", "(nu_hat + eps_root).sqrt()", "nu_hat.sqrt()"),
    "an accumulator from zero": ("adagrad", "torch.full_like(p, start)", "torch.zeros_like(p)"),
    "the momentum of Lion before its direction": ("lion", "b1 * state[", "b2 * state["),
    "schedule one step ahead": ("adamw with a schedule", "self.steps = torch.zeros", "self.steps = torch.ones"),
    "one part of a schedule one step longer": ("schedule joined", "step < 12", "step < 13"),
    "torch's clipping": ("clip_by_global_norm", "limit / norm", "limit / (norm + 1e-6)"),
    "clipping to another bound": (
        "clip",
        "clip_grad_value_(self.parameters, 0.5)",
        "clip_grad_value_(self.parameters, 1.0)",
    ),
    "learning rate before the momentum": (
        "rmsprop with nesterov and a schedule",
        "update = update + momentum * trace",
        "update = trace",
    ),
    "a frozen parameter that moves": ("partition", 'return "frozen"', 'return "sgd"'),
    "bias correction forgotten": ("nadam", "nu_hat = nu / (1 - b2**step)", "nu_hat = nu"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mistake_of_a_port_by_hand_is_seen(walks: Walks, name: str) -> None:
    case, old, new = MUTATIONS[name]
    texts = walks.text(case)
    assert old in texts["train"]
    mutant = {**texts, "train": texts["train"].replace(old, new)}
    assert walks.apart(case, load(mutant)) > 1e3 * LIMIT


@pytest.mark.parametrize("case", ["adamw with a schedule", "lion", "partition", "radam"])
def test_training_goes_on_from_a_stored_state(walks: Walks, case: str, tmp_path) -> None:
    train = load(walks.text(case))
    named = parameters()
    first = train.make_optimizer(named.items())
    for step in range(STEPS // 2):
        one_step(first, named, step)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = train.make_optimizer(named.items())
    second.load_state_dict(torch.load(tmp_path / "state.pt"))
    for step in range(STEPS // 2, STEPS):
        one_step(second, named, step)
    for name, target in TARGETS.items():
        expected = torch.from_numpy(walks.arrays[f"{case}/{STEPS - 1}/{name}"])
        assert torch.allclose(named[target].detach(), expected, rtol=LIMIT, atol=LIMIT)


def test_a_parameter_without_a_gradient_decays_as_in_optax(walks: Walks) -> None:
    train = load(walks.text("adamw on matrices", without_gradient=("out.kernel",)))
    named = parameters()
    optimizer = train.make_optimizer(named.items())
    one_step(optimizer, named, 0)
    before = {name: copy.deepcopy(parameter) for name, parameter in named.items()}
    optimizer.zero_grad()
    for name in ("dense.weight", "dense.bias", "norm.weight"):
        named[name].grad = torch.ones_like(named[name])
    optimizer.step()
    assert not torch.equal(named["out.weight"], before["out.weight"])
    assert "zeros_like(parameter)" not in walks.text("adam", without_gradient=("out.kernel",))["train"]


def test_a_parameter_that_a_step_does_not_read_goes_on_with_its_momentum(walks: Walks) -> None:
    train = load(walks.text("adam", at_times=("out.kernel",)))
    named = parameters()
    optimizer = train.make_optimizer(named.items())
    one_step(optimizer, named, 0)
    before = named["out.weight"].detach().clone()
    optimizer.zero_grad()
    optimizer.step()
    assert not torch.equal(named["out.weight"], before)
    assert "zeros_like(parameter)" not in walks.text("sgd", at_times=("out.kernel",))["train"]


@pytest.mark.parametrize("case", ["adamw with a schedule", "lion", "rmsprop with nesterov and a schedule", "adamw"])
def test_a_step_is_compiled_once(walks: Walks, case: str) -> None:
    train, named = load(walks.text(case)), parameters()
    optimizer = train.make_optimizer(named.items())
    torch._dynamo.reset()
    counter = CompileCounter()
    step = torch.compile(optimizer.step, backend=counter)
    for number in range(6):
        if number == 2:
            compiled = counter.frame_count
        one_step(optimizer, named, number, step)
    assert 0 < counter.frame_count == compiled

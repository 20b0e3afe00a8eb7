"""What a stack installs on the hardware that it trains on: the lines of its requirements files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regauge.decide.libraries import Library, load
from regauge.decide.stack import Stack
from regauge.language import _

# The oldest Python for which the newest releases of all four frameworks are published (facts jx-python-versions,
# pt-python-versions, tf-python).
PYTHON = "3.12"
# The oldest that regauge supports. Libraries have no lower bound: one may not take the newest of another yet (gymnax
# 1.0.1 wants jax below 0.12 and gymnasium below 1.4), and pip finds what goes together.
FLOORS = {"torch": "2.11", "jax": "0.10", "flax": "0.12.8", "optax": "0.2.8"}
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_SELECTOR = "https://pytorch.org/get-started/locally/"
JAX_EXTRAS = {"nvidia-gpu": "cuda13", "tpu": "tpu", "amd-gpu": "rocm7-local", "intel-gpu": "oneapi"}

# Roles from which the first library of the framework itself is installed, and those where any framework's will do.
OWN_ROLES = ("layers", "data", "models", "training", "metrics", "rl", "graphs", "scientific", "probabilistic")
SHARED_ROLES = ("checkpoints", "tracking")
# A jitted step in a plain loop needs no trainer, and pip finds no set of wheels for kauldron 1.4.4 on Python 3.12.
LEFT_OUT = {"jax": ("training",)}
KIND_ROLES = {"graphs": ("science",), "scientific": ("science",), "probabilistic": ("science",)}
# What the starter notebook and its test import besides.
STARTER = ("safetensors", "pytest")


@dataclass(frozen=True)
class Requirements:
    """Lines of a requirements file: options of pip, requirements, and remarks that go with them as comments."""

    options: tuple[str, ...]
    packages: tuple[str, ...]
    remarks: tuple[str, ...]

    def text(self) -> str:
        """The file, its remarks in the current language."""
        return "\n".join([*(f"# {remark}" for remark in self.remarks), *self.options, *self.packages, ""])


def requirements(stack: Stack, hardware: str | None = None) -> Requirements:
    """What the stack installs for its first accelerator, or for the hardware that is named."""
    chosen = hardware or accelerator(stack)
    extras = _extras(stack, chosen)
    libraries = [*_framework(stack, chosen), *_chosen(stack)]
    libraries += [load().by_name[name] for name in STARTER]
    lines = dict.fromkeys(_line(library, extras.get(library.name)) for library in libraries if library.package)
    return Requirements(tuple(_options(stack, chosen)), tuple(lines), tuple(_remarks(stack, chosen)))


def accelerator(stack: Stack) -> str:
    """What the stack trains on: the first hardware named that is not a plain processor, if there is one."""
    return next((hardware for hardware in stack.train if hardware != "cpu"), "cpu")


def backend_of_keras(stack: Stack, hardware: str) -> str:
    """The backend that reaches the hardware: JAX, or torch where JAX does not (hardware.yaml)."""
    torch = hardware == "apple-gpu" or (hardware == "nvidia-gpu" and stack.os == "windows")
    return "torch" if torch else "jax"


def uses_torch(stack: Stack, hardware: str) -> bool:
    """Whether torch is installed, as the framework or as the backend of Keras."""
    keras = stack.framework == "keras" and backend_of_keras(stack, hardware) == "torch"
    return stack.framework == "pytorch" or keras


def _framework(stack: Stack, hardware: str) -> Iterator[Library]:
    by_name = load().by_name
    yield from stack.libraries["framework"][:1]
    if stack.framework == "jax":
        yield from stack.libraries["optimizers"][:1]
    if stack.framework == "keras":
        yield by_name["torch" if uses_torch(stack, hardware) else "jax"]
    if stack.framework == "pytorch" and hardware == "tpu":
        yield by_name["torch-tpu"]


def _extras(stack: Stack, hardware: str) -> dict[str, str]:
    """The extra of each framework that brings the accelerator's build; there are some for Linux only."""
    if stack.os != "linux":
        return {}
    tensorflow = {"tensorflow": "and-cuda"} if hardware == "nvidia-gpu" else {}
    return {**tensorflow, **({"jax": JAX_EXTRAS[hardware]} if hardware in JAX_EXTRAS else {})}


def _chosen(stack: Stack) -> Iterator[Library]:
    for role in OWN_ROLES:
        if stack.kind in KIND_ROLES.get(role, (stack.kind,)) and role not in LEFT_OUT.get(stack.framework, ()):
            own = [
                library
                for library in stack.libraries.get(role, ())
                if library.framework == stack.framework and library.status == "active"
            ]
            yield from own[:1]
    if stack.kind == "control":
        yield load().by_name["gymnasium"]
    for role in SHARED_ROLES:
        yield from stack.libraries.get(role, ())[:1]


def _line(library: Library, extra: str | None) -> str:
    bound = f">={FLOORS[library.package]}" if library.package in FLOORS else ""
    return f"{library.package}{f'[{extra}]' if extra else ''}{bound}  # {library.version}"


def _options(stack: Stack, hardware: str) -> Iterator[str]:
    if uses_torch(stack, hardware) and hardware == "cpu" and stack.os != "macos":
        yield f"--extra-index-url {TORCH_CPU_INDEX}"


def _remarks(stack: Stack, hardware: str) -> Iterator[str]:
    yield _("The number behind each line is the newest release on {date}; pip takes what goes together.").format(
        date=stack.libraries["framework"][0].read
    )
    yield _("Keep what was installed: pip freeze > lock.txt")
    special = hardware in ("amd-gpu", "intel-gpu") or (hardware == "nvidia-gpu" and stack.os == "windows")
    if uses_torch(stack, hardware) and special:
        yield _("The build of torch for {hardware} has an index of its own: {address}").format(
            hardware=hardware, address=TORCH_SELECTOR
        )
    if stack.deployment:
        names = dict.fromkeys(library.package for library in _deployed(stack) if library.package)
        yield _("To deploy, in an environment of its own: pip install {names}").format(names=" ".join(names))


def _deployed(stack: Stack) -> Sequence[Library]:
    """The libraries of the recommended way to each target."""
    first = {deployment.serve: deployment for deployment in reversed(stack.deployment)}
    return [library for target in dict.fromkeys(stack.serve) if target in first for library in first[target].libraries]

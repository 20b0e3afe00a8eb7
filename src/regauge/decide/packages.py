"""What a stack installs: its packages with lower bounds, for the hardware that it trains on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regauge.decide.libraries import Library
from regauge.decide.stack import Stack
from regauge.language import _

# The oldest Python for which the newest releases of all four frameworks are published (facts jx-python-versions,
# pt-python-versions, tf-python).
PYTHON = "3.12"
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
STARTER = ("safetensors", "numpy", "pytest")


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
    names = dict.fromkeys(
        [*_framework(stack, chosen), *(_bound(library) for library in _chosen(stack) if library.package)]
    )
    have = {name.partition("[")[0].partition(">")[0] for name in names}
    rest = [name for name in STARTER if name not in have]
    return Requirements(tuple(_options(stack, chosen)), (*names, *sorted(rest)), tuple(_remarks(stack, chosen)))


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


def _framework(stack: Stack, hardware: str) -> Iterator[str]:
    own = stack.libraries["framework"][0]
    if stack.framework == "jax":
        yield _jax(own, stack, hardware)
        yield from (_bound(library) for library in stack.libraries["optimizers"][:1])
        return
    if stack.framework == "tensorflow" and hardware == "nvidia-gpu" and stack.os == "linux":
        yield f"tensorflow[and-cuda]>={own.version}"
        return
    yield _bound(own)
    if stack.framework == "keras":
        by_name = all_libraries()
        torch = uses_torch(stack, hardware)
        yield _bound(by_name["torch"]) if torch else _jax(by_name["jax"], stack, hardware)
    if stack.framework == "pytorch" and hardware == "tpu":
        yield _bound(all_libraries()["torch-tpu"])


def _jax(library: Library, stack: Stack, hardware: str) -> str:
    extra = JAX_EXTRAS.get(hardware) if stack.os == "linux" else None
    return f"jax[{extra}]>={library.version}" if extra else _bound(library)


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
        yield all_libraries()["gymnasium"]
    for role in SHARED_ROLES:
        yield from stack.libraries.get(role, ())[:1]


def all_libraries() -> dict[str, Library]:
    """Every library by name."""
    from regauge.decide.libraries import load

    return dict(load().by_name)


def _bound(library: Library) -> str:
    return f"{library.package}>={library.version}"


def _options(stack: Stack, hardware: str) -> Iterator[str]:
    if uses_torch(stack, hardware) and hardware == "cpu" and stack.os != "macos":
        yield f"--extra-index-url {TORCH_CPU_INDEX}"


def _remarks(stack: Stack, hardware: str) -> Iterator[str]:
    yield _("Lower bounds are the newest releases on {date}; pip freeze > lock.txt records what was installed.").format(
        date=stack.libraries["framework"][0].read
    )
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

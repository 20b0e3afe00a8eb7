"""The stack that goes with a choice: libraries, parallel strategy, deployment path, resources.

    stack = stack_for("jax", kind="vision", train=["nvidia-gpu"], devices=8, nodes=1, serve=["cpu"], os="linux")
    stack.libraries["data"]                # tuple of Library
    stack.parallel.code                    # a few lines that show the strategy
    write_environment(stack, directory)    # regauge.decide.environment

The data stand in YAML files; `docs/stacks.md` describes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regauge.decide.deployment import Deployment, deployment_for
from regauge.decide.libraries import KINDS, ROLES, Library, load
from regauge.decide.limits import gap, hardware_limits, open_roles
from regauge.decide.parallel import Parallel, parallel_for
from regauge.decide.resources import Resource, resources_for
from regauge.decide.sources import SourcedText
from regauge.decide.tables import as_plain
from regauge.errors import BadNeeds

CHOICES = ("pytorch", "jax", "keras", "tensorflow")
HARDWARE = ("cpu", "nvidia-gpu", "amd-gpu", "intel-gpu", "tpu", "apple-gpu")
SERVE = (*HARDWARE, "mobile")
SYSTEMS = ("linux", "macos", "windows")


@dataclass(frozen=True)
class Stack:
    """What to build with, for one framework and one kind of project.

    Attributes:
        framework, kind, train, devices, nodes, serve, os: what was asked for; `devices` is the total over all nodes.
        libraries: by role, the recommended first; a role that nothing fills is left out.
        parallel: how training uses the devices.
        deployment: one path or more for each entry of `serve`.
        resources: official documentation and courses, the shown language first.
        unknowns: what is not settled: limits of the hardware, targets without a way, roles without a library.
    """

    framework: str
    kind: str
    train: tuple[str, ...]
    devices: int
    nodes: int
    serve: tuple[str, ...]
    os: str
    libraries: Mapping[str, tuple[Library, ...]]
    parallel: Parallel
    deployment: tuple[Deployment, ...]
    resources: tuple[Resource, ...]
    unknowns: tuple[SourcedText, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; texts in English and Chinese."""
        return {name: as_plain(value) for name, value in self.__dict__.items()}


def stack_for(
    framework: str, *, kind: str, train: Sequence[str], devices: int, nodes: int, serve: Sequence[str], os: str
) -> Stack:
    """The stack for a framework (`CHOICES`), a kind of project (`KINDS`) and the hardware to train and serve on.

    Args:
        framework: one of `CHOICES`.
        kind: one of `regauge.decide.libraries.KINDS`.
        train: what training runs on: entries of `HARDWARE`.
        devices: number of devices in all.
        nodes: number of machines.
        serve: what the trained model runs on: entries of `SERVE`.
        os: one of `SYSTEMS`.

    Raises:
        BadNeeds: a name is unknown or a number below 1.
    """
    _checked("framework", [framework], CHOICES)
    _checked("kind", [kind], KINDS)
    _checked("hardware.train", train, HARDWARE)
    _checked("hardware.serve", serve, SERVE)
    _checked("hardware.os", [os], SYSTEMS)
    for name, number in (("hardware.devices", devices), ("hardware.nodes", nodes)):
        if number < 1:
            raise BadNeeds("a number of the hardware is below 1", where=name, received=str(number))
    libraries = libraries_for(framework, kind)
    parallel = parallel_for(framework, kind=kind, train=train, devices=devices, nodes=nodes)
    deployment, open_targets = deployment_for(framework, kind=kind, serve=serve)
    unsettled = [] if parallel.settled else [SourcedText(parallel.why.en, parallel.why.zh, parallel.sources)]
    gaps = [gap(framework, role, kind) for role in open_roles(framework, kind, libraries)]
    unknowns = [*hardware_limits(framework, [*train, *serve], os), *unsettled, *open_targets]
    unknowns += [text for text in gaps if text is not None]
    return Stack(
        framework,
        kind,
        tuple(train),
        devices,
        nodes,
        tuple(serve),
        os,
        libraries,
        parallel,
        deployment,
        resources_for(framework, kind),
        tuple(dict.fromkeys(unknowns)),
    )


def libraries_for(framework: str, kind: str) -> dict[str, tuple[Library, ...]]:
    """The libraries of a framework for a kind of project by role.

    Within a role the framework's own come before those of any framework, otherwise the order of the file holds. Ended
    ones are never among them, and those in maintenance only where nothing else fills the role.
    """
    fitting = [
        library
        for library in load().by_name.values()
        if library.framework in (framework, "any") and kind in library.kinds and library.status != "archived"
    ]
    fitting.sort(key=lambda library: library.framework == "any")
    found = {}
    for role in ROLES:
        of_role = [library for library in fitting if library.role == role]
        active = [library for library in of_role if library.status == "active"]
        if of_role:
            found[role] = tuple(active or of_role)
    return found


def _checked(field: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise BadNeeds("a value is not one of those allowed", where=field, received=value, next=", ".join(allowed))

"""The text around the optimizers of a torch train.py: groups of parameters, clipping, schedules, `make_optimizer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from regauge.emit.parameter_rules import rule_text
from regauge.emit.schedules import number
from regauge.emit.torch_algorithms import DEFAULTS
from regauge.emit.torch_wrappers import wrapper_text, wrapper_titles
from regauge.optax_specs import Wrapper

_FROZEN = "frozen"


@dataclass
class Group:
    """Parameters that one and the same thing happens to.

    Attributes:
        update: their class with its options, None for parameters that never change.
        targets: their names in the module.
        sources: their names in the original.
        options: constants by name.
        moving: expressions by the name of an option that is set before every step.
        label: of the group.
    """

    update: Any
    targets: list[str]
    sources: set[str]
    options: dict[str, Any] = field(default_factory=dict)
    moving: dict[str, str] = field(default_factory=dict)
    label: str = ""


@dataclass
class Inner:
    """One optimizer.

    Attributes:
        kind: name of its class before others were considered.
        template: text of a class of the file's own, before it had a name; empty for those of torch.optim.
        name: how the class is called.
        text: of the class.
        groups: the parameters that it has.
        attribute: of `Optimizer`.
    """

    kind: str
    template: str
    name: str
    text: str
    groups: list[Group] = field(default_factory=list)
    attribute: str = "optimizer"

    def common(self) -> dict[str, Any]:
        """The options that all groups agree on."""
        first, *others = self.groups
        return {
            name: value
            for name, value in first.options.items()
            if all(other.options.get(name) == value for other in others)
        }

    def call(self, parameters: str) -> str:
        """The construction, from the text of all parameters or of the groups."""
        common = self.common()
        defaults = {} if self.text else DEFAULTS[self.kind]
        shown = {name: value for name, value in common.items() if name not in defaults or defaults[name] != value}
        if "lr" in self.groups[0].options and "lr" not in common:
            shown = {"lr": self.groups[0].options["lr"], **shown}
        options = [f"{name}={_value(value)}" for name, value in shown.items()]
        if self.text:  # its arguments have no defaults
            differ = {n: v for n, v in self.groups[0].options.items() if n not in shown}
            options += [f"{name}={_value(value)}" for name, value in differ.items()]
        return f"{self.name}({', '.join([parameters, *options])})"


@dataclass(frozen=True)
class Preparation:
    """A call on gradients before anything else, with ``{parameters}``, and the groups that have them."""

    call: str
    groups: list[Group]


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_value(item) for item in value)})"
    return str(value) if isinstance(value, bool) else number(value)


def label_all(groups: Sequence[Group], inner: Sequence[Inner]) -> None:
    """Give every group a label that says what is different in it, and every optimizer an attribute."""
    for one in inner:
        name = one.name.removeprefix("torch.optim.").lower()
        one.attribute = name if len(inner) > 1 else "optimizer"
    used: dict[str, int] = {}
    for group in groups:
        owner = next((one for one in inner if group in one.groups), None)
        described = _described(group, owner, len(inner) > 1) if owner else _FROZEN
        used[described] = used.get(described, 0) + 1
        group.label = described if used[described] == 1 else f"{described} ({used[described]})"


def _described(group: Group, owner: Inner, many: bool) -> str:
    common = owner.common()
    differ = [f"{name}={_value(v)}" for name, v in group.options.items() if name not in common]
    return ", ".join([*([owner.attribute] if many else []), *differ]) or "default"


def group_texts(groups: Sequence[Group]) -> list[str]:
    """The function `group_of`, where there is more than one group."""
    if len(groups) == 1:
        return []
    rest = max(groups, key=lambda group: len(_rules(groups, group)[0]) * -1)
    _, rules = _rules(groups, rest)
    path = ['    path = name.split(".")'] if any("path[" in rule for rule in rules.values()) else []
    tests = [f'    if {rule}:\n        return "{label}"' for label, rule in rules.items()]
    lines = [
        "def group_of(name):",
        '    """The group of a parameter, by its name in the module."""',
        *path,
        *tests,
        f'    return "{rest.label}"',
    ]
    return ["\n".join(lines)]


def _rules(groups: Sequence[Group], rest: Group) -> tuple[str, dict[str, str]]:
    """The rule of every group but one, each for the parameters that the rules before it leave."""
    remaining = {name for group in groups for name in group.targets}
    rules: dict[str, str] = {}
    for group in sorted(groups, key=lambda group: (len(group.targets), group.label)):
        if group is not rest:
            remaining -= set(group.targets)
            rules[group.label] = rule_text(set(group.targets), remaining)
    return "".join(rules.values()), rules


@dataclass(frozen=True)
class OptimizerClass:
    """What `make_optimizer` returns.

    Attributes:
        name: of the original's optimizer.
        groups: of all parameters.
        inner: the optimizers.
        prepared: what is done to gradients first, in order.
        fills: whether parameters without a gradient get one of zero.
        wrappers: what decides when it steps, the outermost first.
    """

    name: str
    groups: Sequence[Group]
    inner: Sequence[Inner]
    prepared: Sequence[Preparation]
    fills: bool
    wrappers: Sequence[Wrapper] = ()

    def texts(self) -> list[str]:
        """`make_optimizer`, and the class `Optimizer` before it where one is needed."""
        around = self.prepared or self.fills or self.wrappers
        if not around and len(self.inner) == 1 and not self._moves():
            made = self._made(self.inner[0])
            lines = ["def make_optimizer(named_parameters):", *_indented(self._sorted(), 1), f"    return {made}"]
            return ["\n".join(lines)]
        make = "def make_optimizer(named_parameters):\n    return Optimizer(named_parameters)"
        return [self._class(), make]

    def _moves(self) -> bool:
        return any(group.moving for group in self.groups)

    def _sorted(self) -> list[str]:
        """Statements that sort the parameters into `groups`."""
        if len(self.groups) == 1:
            return ["parameters = [parameter for _, parameter in named_parameters]"]
        empty = ", ".join(f'"{group.label}": []' for group in self.groups)
        return [
            f"groups = {{{empty}}}",
            "for name, parameter in named_parameters:",
            "    groups[group_of(name)].append(parameter)",
        ]

    def _made(self, one: Inner) -> str:
        if len(self.groups) == 1:
            return one.call("parameters")
        common = one.common()
        texts = []
        for group in one.groups:
            differ = {name: value for name, value in group.options.items() if name not in common}
            items = [f'"params": groups["{group.label}"]', *(f'"{n}": {_value(v)}' for n, v in differ.items())]
            texts.append(f"{{{', '.join(items)}}}")
        if len(one.groups) == 1:
            return one.call(f'groups["{one.groups[0].label}"]')
        return one.call(f"[{', '.join(texts)}]")

    def _class(self) -> str:
        around = wrapper_text(self.wrappers)
        step = [*around.step, *self._filled(), *self._prepared(), *self._moved()]
        step += [f"self.{one.attribute}.step()" for one in self.inner]
        state = [f'"{one.attribute}": self.{one.attribute}.state_dict()' for one in self.inner]
        load = [f'self.{one.attribute}.load_state_dict(state["{one.attribute}"])' for one in self.inner]
        if self._moves():
            step.append("self.steps = self.steps + 1")
            state.append('"steps": int(self.steps)')
            load.append('self.steps = torch.tensor(state["steps"], dtype=torch.float64)')
        state += around.state
        load += around.load
        lines = [
            "class Optimizer:",
            *_indented(self._title(), 1),
            "",
            "    def __init__(self, named_parameters):",
            *_indented([*self._sorted(), *self._attributes(), *around.made], 2),
            "",
            "    def zero_grad(self):",
            "        for parameter in self.parameters:",
            "            parameter.grad = None",
            "",
            "    def step(self):",
            *_indented(step, 2),
            "",
            "    def state_dict(self):",
            f"        return {{{', '.join(state)}}}",
            "",
            "    def load_state_dict(self, state):",
            *_indented(load, 2),
        ]
        return "\n".join(lines)

    def _title(self) -> list[str]:
        does = [f"{self.name} of optax"]
        if any("clip" in one.call for one in self.prepared):
            does.append("on clipped gradients")
        if self._moves():
            does.append("with what a schedule gives set before every step")
        first = f'"""{", ".join(does)}.'
        more = wrapper_titles(self.wrappers)
        return [first, "", *more, '"""'] if more else [f'{first}"""']

    def _attributes(self) -> list[str]:
        alone = len(self.groups) == 1
        every = "parameters" if alone else "[parameter for group in groups.values() for parameter in group]"
        lines = [f"self.parameters = {every}"]
        for number_of, one in enumerate(self.prepared, start=1):
            if len(one.groups) < len(self.groups):
                members = ", ".join(f'*groups["{group.label}"]' for group in one.groups)
                lines.append(f"self.prepared_{number_of} = [{members}]")
        lines += [f"self.{one.attribute} = {self._made(one)}" for one in self.inner]
        return [*lines, "self.steps = torch.zeros((), dtype=torch.float64)"] if self._moves() else lines

    def _filled(self) -> list[str]:
        if not self.fills:
            return []
        return [
            "for parameter in self.parameters:  # optax has a gradient of zero where a step reads nothing",
            "    if parameter.grad is None:",
            "        parameter.grad = torch.zeros_like(parameter)",
        ]

    def _prepared(self) -> list[str]:
        found = []
        for number_of, one in enumerate(self.prepared, start=1):
            whole = len(one.groups) == len(self.groups)
            found.append(one.call.replace("{parameters}", "self.parameters" if whole else f"self.prepared_{number_of}"))
        return found

    def _moved(self) -> list[str]:
        """Statements that set what moves, in all groups of an optimizer at once where they agree."""
        found = []
        for one in self.inner:
            every = {name for group in one.groups for name in group.moving}
            for name in sorted(every):
                values = [group.moving.get(name) for group in one.groups]
                if len(set(values)) == 1:
                    local = "rate" if name == "lr" else "value"
                    found += [f"{local} = {values[0]}", f"for group in self.{one.attribute}.param_groups:"]
                    found.append(f'    group["{name}"] = {local}')
                    continue
                for index, value in enumerate(values):
                    if value is not None:
                        found.append(f'self.{one.attribute}.param_groups[{index}]["{name}"] = {value}')
        return found


def _indented(lines: Sequence[str], depth: int) -> list[str]:
    return ["    " * depth + line for line in lines]

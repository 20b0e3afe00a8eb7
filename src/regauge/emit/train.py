"""The text of train.py: the person's loss and optimizer as one jitted training step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from regauge import dtypes
from regauge.emit.expressions import Helpers
from regauge.emit.files import import_lines
from regauge.emit.optax_functions import CLIP_BY_NORM, CLIP_BY_NORM_OF_MANY_DTYPES
from regauge.emit.optax_text import OptimizerText, optimizer_parts
from regauge.emit.parameter_rules import rule_text
from regauge.emit.schedules import number
from regauge.errors import UnsupportedOptimizer
from regauge.optax_specs import AnyOptimizer, OptaxOptimizer
from regauge.optimizers import Group, Optimizer
from regauge.weights.mapping import WeightEntry

# Attributes that are nnx.Param in the layers of NNX.
_LAYER_PARAMETERS = ("kernel", "bias", "scale", "embedding")

# Labels of optax.partition that are not made of a group's options.
_DEFAULT, _FROZEN, _NO_GRADIENT = "default", "frozen", "no gradient"

_INIT = """
def init(model):
    graphdef, *variables = nnx.split(model, {params}, ...)
    params, state = nnx.as_pure(variables)  # bare arrays, which jax.jit unpacks much faster than variables
    return graphdef, params, state, {opt_state}
""".strip()

_LOSS_AND_GRADIENTS = """
def loss_and_gradients(graphdef, params, state, inputs, targets):
    def evaluate(params):
        model = nnx.merge(graphdef, params, state)
        outputs = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
        return loss(outputs, targets), (outputs, nnx.as_pure(nnx.split(model, {params}, ...)[2]))

    (value, (outputs, new_state)), gradients = jax.value_and_grad(evaluate, has_aux=True)(params)
    return value, outputs, gradients, new_state
""".strip()

# Where the model changes parameters itself (`max_norm` of embeddings): the optimizer steps from where it left them.
_REWRITING = {
    "...)[2]))": "...)[1:]))",
    "(outputs, new_state)), gradients": "(outputs, (params, state))), gradients",
    "return value, outputs, gradients, new_state": "return value, outputs, gradients, state, params",
    "gradients, state = loss_and_gradients": "gradients, state, params = loss_and_gradients",
}

_COMPILED = "    return jax.jit(partial(train_step, graphdef), donate_argnums=(0, 1, 2))"

_TRAIN_STEP = f'''
def train_step(graphdef, params, state, opt_state, inputs, targets):
    value, _, gradients, state = loss_and_gradients(graphdef, params, state, inputs, targets)
    updates, opt_state = make_optimizer().update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), state, opt_state, value


def make_train_step(graphdef):
    """train_step of this graphdef, compiled: params, state, opt_state, inputs, targets."""
{_COMPILED}
'''.strip()

# The same where the case has texts among its inputs or targets.
_WITH_TEXTS = """
    compiled = jax.jit(partial(train_step, graphdef), donate_argnums=(0, 1, 2))

    def step(params, state, opt_state, inputs, targets):
        # texts are constants of the conversion, and jax.jit takes none
        inputs, targets = jax.tree.map(lambda leaf: None if isinstance(leaf, str) else leaf, (inputs, targets))
        return compiled(params, state, opt_state, inputs, targets)

    return step
""".strip("\n")

_TRAINABLE = '''
def trainable(path, variable):
    """Whether a variable trains; the others are what PyTorch has with requires_grad=False."""
    {name}frozen = {rule}
    return isinstance(variable, nnx.Param) and not frozen
'''.strip()

_NAME = 'name = ".".join(map(str, path))'


def emit_train(
    *,
    loss: str,
    optimizer: AnyOptimizer | None,
    entries: Sequence[WeightEntry],
    name: str,
    unused: Iterable[str] = (),
    without_gradient: Iterable[str] = (),
    at_times: Iterable[str] = (),
    rewrites: bool = False,
    texts: bool = False,
    helpers: Helpers | None = None,
) -> str:
    """The text of train.py, valid Python that a formatter has not seen yet.

    Args:
        loss: the text of ``def loss(outputs, targets)``; may call jax, jnp, lax, math, optax, nnx and ops.
        optimizer: its specification; without one the file holds no `make_optimizer` and no `train_step`.
        entries: of the weight map; what is not trainable is left out of `params`.
        name: what reports call the case.
        unused: parameters of the original that the module does not hold; groups may name them.
        without_gradient: parameters of the original that the loss does not depend on. torch leaves them as they
            are, weight decay included, since their gradient is None and not zero.
        at_times: parameters that only some calls read. A gradient of zero, which the others have here, moves them with
            most optimizers; torch leaves them alone then, which has no counterpart (E122).
        rewrites: whether the model gives parameters other values when it is called.
        texts: whether there are texts among inputs or targets.
        helpers: would receive functions of ops.py; an optimizer of torch needs none.

    Raises:
        UnsupportedOptimizer: a group names a parameter that does not exist, nothing is left to train, or a parameter
            that trains is complex.
    """
    parameters = [entry for entry in entries if entry.role == "parameter"]
    fixed = {entry.source: entry.target for entry in entries if not entry.trainable and _may_be_param(entry)}
    trained = {entry.source: entry.target for entry in parameters if entry.trainable}
    filtered = "trainable" if fixed else "nnx.Param"
    sections = [loss.strip()]
    if isinstance(optimizer, OptaxOptimizer):
        raise UnsupportedOptimizer(f"{optimizer.name} of optax is no optimizer of a torch case")
    if optimizer is not None:
        _refuse_complex(parameters)
        kinds = {entry.dtype for entry in parameters if entry.trainable}
        untrained = {*unused, *fixed} - set(trained)
        sections += _optimizer_sections(optimizer, trained, untrained, set(without_gradient), len(kinds) > 1)
    if fixed:
        sections.append(_trainable_text(set(fixed.values()), set(trained.values())))
    opt_state = "None" if optimizer is None else "make_optimizer().init(params)"
    sections.append(_INIT.format(params=filtered, opt_state=opt_state))
    step = [_LOSS_AND_GRADIENTS.replace("{params}", filtered)] + [_TRAIN_STEP] * (optimizer is not None)
    for kept, changed in _REWRITING.items() if rewrites else ():
        step = [text.replace(kept, changed) for text in step]
    if texts:
        step = [text.replace(_COMPILED, _WITH_TEXTS) for text in step]
    sections += step
    body = "\n\n\n".join(sections)
    return f'"""{_title(name, optimizer)}"""\n\n{import_lines(body)}\n\n\n{body}\n'


def _may_be_param(entry: WeightEntry) -> bool:
    # a buffer that stands where a layer of NNX has a parameter is held in an nnx.Param
    return entry.role == "parameter" or entry.target.rpartition(".")[2] in _LAYER_PARAMETERS


def _title(name: str, optimizer: Optimizer | None) -> str:
    safe = name.replace("\\", "/").replace('"', "'")
    if optimizer is None:
        return f"The loss of {safe} and its gradients."
    return f"The training step of {safe}: its loss and {type(optimizer).__name__}, as PyTorch computes them."


def _refuse_complex(parameters: Iterable[WeightEntry]) -> None:
    found = [f"{p.source}: {p.dtype}" for p in parameters if p.trainable and dtypes.kind(p.dtype) == "complex"]
    if found:
        raise UnsupportedOptimizer(
            "complex parameters cannot be trained alike on both sides yet",
            code="O130",
            details=found,
            why="JAX's gradient of a complex number is the conjugate of torch's, and torch's optimizers take its "
            "real and imaginary parts for two numbers",
            next="hold the real and imaginary parts as two parameters, or leave out the case's optimizer",
        )


def _trainable_text(fixed: set[str], trained: set[str]) -> str:
    rule = rule_text(fixed, trained)
    return _TRAINABLE.format(name=f"{_NAME}\n    " if rule.startswith("name") else "", rule=rule)


def _optimizer_sections(
    spec: Optimizer, trained: Mapping[str, str], untrained: set[str], without_gradient: set[str], many_dtypes: bool
) -> list[str]:
    """Helper functions, group_of if there is more than one group, and make_optimizer."""
    if not trained:
        raise UnsupportedOptimizer(
            "no parameter is left to train",
            received="a model whose parameters all have requires_grad=False, or none",
            next="set requires_grad, or leave out the case's optimizer",
        )
    text = OptimizerText()
    if spec.clip_norm is not None:
        text.helpers["clip_by_norm"] = CLIP_BY_NORM_OF_MANY_DTYPES if many_dtypes else CLIP_BY_NORM
    labels = _labels(spec, trained, untrained, without_gradient)
    members: dict[str, set[str]] = {}
    for target, label in labels.items():
        members.setdefault(label, set()).add(target)
    transforms = {label: _transform(spec, label, text) for label in members}
    clip = [] if spec.clip_value is None else [f"optax.clip({number(spec.clip_value)})"]
    clip += [] if spec.clip_norm is None else [f"clip_by_norm({number(spec.clip_norm)})"]
    if len(transforms) == 1:
        expression = _chain([*clip, *next(iter(transforms.values()))])
        group_of = []
    else:
        groups = ", ".join(f'"{label}": {_chain(parts)}' for label, parts in transforms.items())
        expression = _chain([*clip, f"optax.partition({{{groups}}}, group_of)"])
        group_of = [_group_of_text(members)]
    rates = "".join(f"    {rate} = {value}\n" for rate, value in text.rates.items())
    made = f"def make_optimizer():\n{rates}    return {expression}"
    return [*text.helpers.values(), *group_of, made]


def _labels(
    spec: Optimizer, trained: Mapping[str, str], untrained: set[str], without_gradient: set[str]
) -> dict[str, str]:
    """The label of every trained parameter, by its path in the converted module."""
    assigned = spec.assign([*trained, *sorted(untrained)])  # groups may name the untrained ones too
    by_group = group_labels(spec)
    labels: dict[str, str] = {}
    for source, target in trained.items():
        group = assigned[source]
        label = _FROZEN if group is None else by_group[group]
        decays = group is not None and _of_label(spec, label).options()["weight_decay"]
        # a zero gradient changes nothing but through the decay of the weights
        labels[target] = _NO_GRADIENT if decays and source in without_gradient else label
    if set(labels.values()) <= {_FROZEN, _NO_GRADIENT}:
        raise UnsupportedOptimizer(
            "no parameter is left to train",
            received=f"{len(labels)} parameters, all frozen by the optimizer's spec or without a gradient",
            next="check the spec's frozen patterns and the loss",
        )
    return labels


def group_labels(spec: Optimizer) -> dict[int, str]:
    """The label of each group by its index; -1 stands for the parameters that no group names."""
    labels = {-1: _DEFAULT}
    for index, group in enumerate(spec.groups):
        label = _describe(group)
        labels[index] = label if label not in labels.values() else f"{label} ({index + 1})"
    return labels


def _describe(group: Group) -> str:
    """A group by what is different in it: ``lr=1e-4, weight_decay=0.0``."""
    described = ", ".join(
        f"{key}={value if isinstance(value, bool | tuple | list) else number(value)}"
        for key, value in group.options.items()
    )
    return described or "no options"


def _of_label(spec: Optimizer, label: str) -> Optimizer:
    index = next(index for index, known in group_labels(spec).items() if known == label)
    return spec if index < 0 else spec.for_group(spec.groups[index])


def _transform(spec: Optimizer, label: str, text: OptimizerText) -> list[str]:
    if label in (_FROZEN, _NO_GRADIENT):
        return ["optax.set_to_zero()"]
    return optimizer_parts(_of_label(spec, label), text)


def _chain(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"optax.chain({', '.join(parts)})"


def _group_of_text(members: Mapping[str, set[str]]) -> str:
    """`group_of`: rules for all groups but one, which is what remains."""
    candidates = [_DEFAULT, *(label for label in members if label != _DEFAULT)]
    ruled = {rest: _rules(members, rest) for rest in candidates if rest in members}
    lengths = {rest: sum(map(len, rules.values())) for rest, rules in ruled.items()}
    rest = min(lengths, key=lambda label: lengths[label])
    if _DEFAULT in members and lengths[_DEFAULT] <= 2 * lengths[rest]:
        rest = _DEFAULT  # what a reader expects, if it does not cost a long list of names
    rules = ruled[rest]
    name = [f"        {_NAME}"] if any(rule.startswith("name") for rule in rules.values()) else []
    tests = [f'        if {rule}:\n            return "{label}"' for label, rule in rules.items()]
    lines = [
        "def group_of(params):",
        '    """The group of every parameter, by its path in the module."""',
        "",
        "    def label(path, _):",
        *name,
        *tests,
        f'        return "{rest}"',
        "",
        "    return nnx.map_state(label, params)",
    ]
    return "\n".join(lines)


def _rules(members: Mapping[str, set[str]], rest: str) -> dict[str, str]:
    """The rule of every label but `rest`, each for the parameters that the rules before it leave."""
    remaining = set().union(*members.values())
    rules: dict[str, str] = {}
    for label in sorted(members, key=lambda label: (len(members[label]), label)):
        if label != rest:
            remaining -= members[label]
            rules[label] = rule_text(members[label], remaining)
    return rules

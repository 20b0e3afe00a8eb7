"""The table of each framework, put together once per process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from typing import Any

from regauge.decide.audit.tables.entries import Entry, Group, Table, table
from regauge.decide.audit.tables.jax_groups import PROGRAMS
from regauge.decide.audit.tables.jax_groups_flax import FLAX
from regauge.decide.audit.tables.jax_groups_models import MODELS
from regauge.decide.audit.tables.jax_groups_names import NAMES
from regauge.decide.audit.tables.torch_groups import DEVICES, MODULES, STRUCTURE
from regauge.decide.audit.tables.torch_groups_names import NAMES as TORCH_NAMES
from regauge.decide.audit.tables.torch_groups_training import DATA, DEPLOYMENT, TRAINING

JAX_GROUPS = (*PROGRAMS, *NAMES, *MODELS, *FLAX)
TORCH_GROUPS = (*STRUCTURE, *MODULES, *DEVICES, *TRAINING, *DATA, *DEPLOYMENT, *TORCH_NAMES)

# Frameworks by the modules that a program imports.
ROOTS: dict[str, tuple[str, ...]] = {
    "pytorch": ("torch",),
    "jax": ("jax", "jaxlib", "flax", "optax", "orbax", "chex"),
    "tensorflow": ("tensorflow", "tensorflow_probability", "tensorflow_datasets", "tflearn", "sonnet"),
    "keras": ("keras", "keras_core", "tf_keras", "keras_nlp", "keras_cv", "keras_hub"),
    "mxnet": ("mxnet", "gluoncv", "gluonnlp"),
    "theano": ("theano", "lasagne", "aesara", "pytensor"),
    "chainer": ("chainer", "cupy", "chainerrl"),
    "paddle": ("paddle",),
}
FRAMEWORK_OF = {root: name for name, roots in ROOTS.items() for root in roots}
API_ROOTS = {"pytorch": frozenset({"torch"}), "jax": frozenset({"jax", "jaxlib", "flax", "optax", "chex", "orbax"})}

_DTYPES = {
    **{
        name: f"jnp.{name}" for name in ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64")
    },
    **{
        name: f"jnp.{name}"
        for name in ("uint8", "uint16", "uint32", "uint64", "complex64", "complex128", "float8_e4m3fn")
    },
    "float": "jnp.float32",
    "double": "jnp.float64",
    "half": "jnp.float16",
    "int": "jnp.int32",
    "long": "jnp.int64",
    "short": "jnp.int16",
    "bool": "jnp.bool_",
    "cfloat": "jnp.complex64",
    "cdouble": "jnp.complex128",
    "float8_e5m2": "jnp.float8_e5m2",
}
# What NNX has of jax and jax.lax with the same meaning.
_CONTROL = ("cond", "fori_loop", "jvp", "scan", "switch", "vjp", "while_loop")
_LOSSES = ("loss", "cross_entropy", "kl_div")


@lru_cache(maxsize=2)
def data(name: str) -> Mapping[str, Any]:
    """A generated table: see `regauge.decide.audit.tables.generate`."""
    return json.loads(resources.files("regauge.decide.audit").joinpath("data", name).read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def torch_table() -> Table:
    """PyTorch: the generated entries of operators and layers, then the groups by hand."""
    generated = data("api_torch.json")
    entries = {name: _operator(name, found) for name, found in generated["names"].items()}
    entries |= _twins(entries, generated["public"]) | _in_place(entries, generated["public"])
    carried = "a case carries it along: regauge writes it as optax"
    for name in generated["optimizers"]:
        entries[name] = Entry("optimizer", "automatic", f"optax.{name.rpartition('.')[2].lower()}", carried, True)
    for name in generated["schedulers"]:
        entries[name] = Entry("scheduler", "automatic", "a schedule of optax", carried, True)
    types = "types and dtypes follow from the captured values"
    for name, other in _DTYPES.items():
        entries[f"torch.{name}"] = Entry("type", "automatic", other, types)
    automatic = {name for name, entry in entries.items() if entry.degree == "automatic"}
    return table(_but(TORCH_GROUPS, automatic), entries, ROOTS["pytorch"])


def _twins(entries: Mapping[str, Entry], public: Iterable[str]) -> dict[str, Entry]:
    """Layers that torch has no sample of, by the function that they call: Hardsigmoid is functional.hardsigmoid.

    Only functions that convert: a layer of these holds no parameters.
    """
    prefix = "torch.nn.functional."
    functions = {
        name.removeprefix(prefix).replace("_", ""): replace(entry, area="loss" if entry.area == "loss" else "model")
        for name, entry in entries.items()
        if name.startswith(prefix) and entry.degree == "automatic" and not name.endswith("_")
    }
    layers = (name for name in public if name.startswith("torch.nn.") and name.count(".") == 2 and _is_class(name))
    return {
        name: functions[name.rpartition(".")[2].lower()]
        for name in layers
        if name not in entries and name.rpartition(".")[2].lower() in functions
    }


def _in_place(entries: Mapping[str, Entry], public: Iterable[str]) -> dict[str, Entry]:
    """Functions that torch has no sample of, by what they call: ``torch.exp_`` is the method ``exp_``."""
    found = {}
    for name in public:
        room, _, short = name.rpartition(".")
        if name in entries or room not in ("torch", "torch.nn.functional"):
            continue
        source = f"torch.Tensor.{short}" if room == "torch" else name.removesuffix("_")
        source = source if source in entries else f"torch.nn.functional.{short.removesuffix('_')}"
        if short.endswith("_") and not short.startswith("_") and source in entries:
            found[name] = entries[source]
    decoder = entries.get("torch.nn.TransformerDecoderLayer")  # a decoder is a list of them
    return found | ({"torch.nn.TransformerDecoder": decoder} if decoder else {})


def _but(groups: tuple[Group, ...], names: set[str]) -> list[Group]:
    """The groups without names that are generated as automatic: no list by hand says what regauge converts."""
    return [
        Group(g.area, g.degree, g.why, {name: other for name, other in g.names.items() if name not in names})
        for g in groups
    ]


def _operator(name: str, found: Mapping[str, Any]) -> Entry:
    short = name.rpartition(".")[2]
    is_layer = name.startswith("torch.nn.") and short[0].isupper()
    area = "loss" if any(word in short.lower() for word in _LOSSES) else "model" if is_layer else "operation"
    lacking = ", ".join(found.get("lacks", ()))
    if found["converts"] and lacking:
        return Entry(area, "automatic", found["to"], f"regauge converts it, but not with every argument: {lacking}")
    if found["converts"]:
        return Entry(area, "automatic", found["to"], "regauge has a rule for it")
    if "C104" in lacking:
        shapes = "the size of the result depends on values, which a compiled function cannot have"
        return Entry(area, "equivalent" if found["to"] else "manual", found["to"], shapes)
    if found["to"]:
        return Entry(area, "equivalent", found["to"], f"regauge has no rule for it yet: {lacking}")
    return Entry(area, "manual", "", f"regauge has no rule for it, and JAX no function of its name: {lacking}")


@lru_cache(maxsize=1)
def jax_table() -> Table:
    """JAX with Flax and optax: shared names, then the groups by hand. Nothing is automatic in this direction."""
    same = "PyTorch has a function of the same name"
    entries = {
        name: Entry("operation", "equivalent", other, same) for name, other in data("api_jax.json")["pairs"].items()
    }
    return table(JAX_GROUPS, entries | _handed_on(entries), ROOTS["jax"])


def _handed_on(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """What Flax hands on from JAX: its activations, and NNX's control flow and derivatives, under their own names."""
    known = dict(entries)
    for group in JAX_GROUPS:
        known |= group.entries()
    homes = {"flax.linen": ("jax.nn",), "flax.nnx": ("jax.nn", "jax.lax", "jax")}
    found = {}
    for flax, sources in homes.items():
        for name in data("api_jax.json")["public"][flax]:
            for source in sources if name in _CONTROL else sources[:1]:
                entry = known.get(f"{source}.{name}")
                if entry is not None and entry.degree == "equivalent":
                    found[f"{flax}.{name}"] = entry
    return found


def table_of(framework: str) -> Table | None:
    """The table of pytorch or jax; None for the others, whose code is recognised and not converted."""
    if framework == "pytorch":
        return torch_table()
    return jax_table() if framework == "jax" else None


@lru_cache(maxsize=1)
def tensor_methods() -> frozenset[str]:
    """Names of the methods and properties of torch.Tensor."""
    prefix = "torch.Tensor."
    return frozenset(name.removeprefix(prefix) for name in data("api_torch.json")["public"] if name.startswith(prefix))


@lru_cache(maxsize=1)
def tensor_functions() -> frozenset[str]:
    """Functions of torch that return tensors: those that were captured."""
    names = data("api_torch.json")["names"]
    return frozenset(name for name in names if not name.startswith("torch.Tensor.") and not _is_class(name))


def _is_class(name: str) -> bool:
    return name.rpartition(".")[2][0].isupper()

"""What `regauge.to_torch` says of models and inputs that it does not take: the place, the reason, what to write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import jax_models
import numpy as np
import pytest
import torch
from flax import linen, nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import regauge
from regauge.capture.jax_given import refuse_given
from regauge.errors import BadCase, CaptureError, RegaugeError, UnsupportedOps

X = jnp.arange(12.0).reshape(3, 4) / 10
KEY = jax.random.key(0)
MODELS = Path(jax_models.__file__)
SOURCE = MODELS.read_text(encoding="utf-8").splitlines()


def line_of(text: str) -> str:
    """``jax_models.py:N`` of the one line of the models that holds `text`."""
    numbers = [number for number, line in enumerate(SOURCE, 1) if text in line]
    assert len(numbers) == 1, (text, numbers)
    return f"{MODELS.name}:{numbers[0]}"


@dataclass(frozen=True)
class Bad:
    """A conversion that must be refused: with which error, and what the message must hold."""

    convert: Callable[[], object]
    error: type[RegaugeError]
    code: str
    says: tuple[str, ...]
    line: str = ""


def refused(model: Any, error: type[RegaugeError], code: str, line: str, *says: str, args: Any = (X,)) -> Bad:
    return Bad(lambda: regauge.to_torch(model, args), error, code, says, line)


def unsupported(model: Any, op: str, line: str, *says: str, args: Any = (X,)) -> Bad:
    return refused(model, UnsupportedOps, "R201", line, op, *says, args=args)


def with_params(model: Any, params: Any, error: type[RegaugeError], code: str, line: str, *says: str) -> Bad:
    return Bad(lambda: regauge.to_torch(model, (X,), params=params), error, code, says, line)


SQUARE = (jnp.eye(4),)
IMPURE = {
    "a counter": refused(jax_models.counts_its_calls, CaptureError, "C157", "return x * CALLS", "CALLS", "as an input"),
    "a sum in a global": refused(jax_models.sums_in_a_global, CaptureError, "C157", "TOTAL = TOTAL +", "a trace"),
    "numpy's numbers": refused(
        jax_models.draws_with_numpy, CaptureError, "C157", "return x + noise", "numpy's random numbers", "jax.random"
    ),
    "a closure": refused(
        jax_models.keeps_in_a_closure(), CaptureError, "C157", "return x + held[0].sum()", "held of", "return the array"
    ),
    "an attribute": refused(
        jax_models.Counts(), CaptureError, "C157", "return x * self.calls", "calls (1, then 2)", "nnx.Variable"
    ),
}
VALUES = {
    "a branch": refused(jax_models.branches, CaptureError, "C156", "if x.sum() > 0:", "jnp.where", "jax.lax.cond"),
    "numpy": refused(jax_models.uses_numpy, CaptureError, "C156", "jnp.asarray(np.sin(x))", "jax.numpy in place"),
    "a mask": refused(jax_models.masks, CaptureError, "C156", "x[x > 0]", "jnp.where(mask, x, 0)"),
    "a float": refused(jax_models.asks_for_a_number, CaptureError, "C156", "float(x.mean())", "a Python number"),
    "a slice": refused(
        jax_models.slices, CaptureError, "C156", "return x[:n]", "jax.lax.dynamic_slice", args=(X, jnp.array(2))
    ),
}
OUTSIDE = {
    "pure_callback": unsupported(jax_models.asks_the_host, "lax.pure_callback", "y = jax.pure_callback", "jax.numpy"),
    "io_callback": unsupported(jax_models.tells_the_host, "lax.io_callback", "io_callback(SEEN", "outside of the"),
    "pmap": unsupported(
        jax_models.maps_over_devices, "lax.shard_map", "return jax.pmap", "jax.vmap(axis_name=...)", args=(X[:1],)
    ),
    "checkify": unsupported(jax_models.stops, "lax.check", "checkify.check(", "check its outputs"),
    "memory": unsupported(jax_models.writes_memory, "lax.swap", "memory = jax.new_ref", "x.at[index].set(value)"),
    "rbg": unsupported(jax_models.draws_with_rbg, "jax.random.normal", 'impl="rbg"', "jax.random.key(seed)"),
    "rng_uniform": unsupported(jax_models.draws_with_xla, "lax.rng_uniform", "jax.lax.rng_uniform", "jax.random"),
    "rng_bit_generator": unsupported(
        lambda key: jax.lax.rng_bit_generator(key, (3,))[1], "lax.rng_bit_generator", "", "jax.random",
        args=(jnp.zeros(4, jnp.uint32),),
    ),
    "a key of rbg": unsupported(
        lambda key: jax.random.normal(key, (3,)), "lax.random_wrap", "", "jax.random.key(seed)",
        args=(jax.random.key(0, impl="rbg"),),
    ),
    "schur": unsupported(jax_models.decomposes, "lax.schur", "scipy.linalg.schur", "jnp.linalg.eig", args=SQUARE),
    "tridiagonal": unsupported(jax_models.reduces, "lax.tridiagonal", "linalg.tridiagonal", "eigh", args=SQUARE),
    "float8 sums": unsupported(jax_models.adds_float8, "lax.add", "return (y + y)", "x.astype(jnp.bfloat16)"),
}  # fmt: skip
FORMS = {
    "int4": refused(jax_models.casts, CaptureError, "C154", "x.astype(jnp.int4)", "int4", "int8"),
    "an int4 input": refused(lambda x: x, CaptureError, "C154", "", "where: x", "int8", args=(jnp.zeros(2, "int4"),)),
    "a text among outputs": refused(
        jax_models.returns_a_text, CaptureError, "C158", "def returns_a_text", "str at [0]['name']", "return the arrays"
    ),
    "a function as input": refused(
        lambda x, f: f(x), CaptureError, "C151", "", "1 holds a", "close over", args=(X, jnp.tanh)
    ),
    "a container of one's own": refused(
        lambda box: box.content, CaptureError, "C151", "", "holds a Box", "dataclasses", args=(jax_models.Box(X),)
    ),
    "parameters in an object": with_params(
        lambda p, x: x * p["s"].scale, {"s": jax_models.Settings(X)}, BadCase, "B114", "",
        "['s'] is a Settings", "register_dataclass",
    ),
    "abstract inputs": refused(
        lambda x: x, CaptureError, "C161", "", "inputs [0]", "float32[3, 4]", "jnp.zeros",
        args=(jax.ShapeDtypeStruct((3, 4), jnp.float32),),
    ),
    "abstract parameters": with_params(
        lambda p, x: x @ p["w"], {"w": jax.ShapeDtypeStruct((4, 4), jnp.float32)}, CaptureError, "C161", "",
        "['w']", "init",
    ),
    "an abstract module": Bad(
        lambda: regauge.to_torch(nnx.eval_shape(lambda: nnx.Linear(4, 5, rngs=nnx.Rngs(0))), (X,)),
        CaptureError, "C161", ("weights .", "jax.eval_shape"),
    ),
    "torch's tensors": refused(lambda x: x, BadCase, "B112", "", "regauge.to_jax", args=(torch.ones(3),)),
    "texts": refused(lambda x: x, BadCase, "B112", "", "no array of numbers", "<U1", args=(np.array(["a"]),)),
    "no tuple": refused(lambda x: x, BadCase, "B100", "", "tuple", "(x,)", args=X),
    "another width": with_params(lambda p, x: x @ p, jnp.ones((5, 4)), BadCase, "B110", "", "rejects its own inputs"),
}  # fmt: skip
BATCH_NORM = jax_models.Normed().init(KEY, X)
TWO = jax_models.TwoLayers().init(KEY, X)
STATEFUL = hk.transform_with_state(lambda x: hk.BatchNorm(True, True, 0.9)(x, True))
WITHOUT_KEY = hk.without_apply_rng(hk.transform(lambda x: hk.dropout(hk.next_rng_key(), 0.5, x)))
LIBRARIES = {
    "Linen without variables": with_params(
        jax_models.TwoLayers(), {"params": {"Dense_0": TWO["params"]["Dense_0"]}}, BadCase, "B110",
        "return linen.Dense(3)(x)", "ScopeParamNotFoundError", "module.init",
    ),
    "Linen without statistics": with_params(
        jax_models.Normed(), {"params": BATCH_NORM["params"]}, BadCase, "B110", "return linen.BatchNorm", "batch_stats"
    ),
    "Linen's params alone": with_params(
        linen.Dense(3), linen.Dense(3).init(KEY, X)["params"], BadCase, "B100", "", "no collection", "{'params': ...,"
    ),
    "Linen with another stream": with_params(
        jax_models.Noisy(), {}, BadCase, "B110", 'self.make_rng("noise")', "noise", "a key among the inputs"
    ),
    "Haiku untransformed": refused(
        jax_models.untransformed, BadCase, "B110", "return hk.Linear(3)(x)", "hk.transform(function)"
    ),
    "Haiku without state": with_params(
        STATEFUL, STATEFUL.init(KEY, X)[0], BadCase, "B110", "", "(transformed, params, state)"
    ),
    "Haiku without a key": with_params(WITHOUT_KEY, {}, BadCase, "B110", "", "without_apply_rng"),
    "NNX that grows": refused(
        jax_models.Grows(), CaptureError, "C162", "class Grows", "received: cache", "in __init__"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [pytest.param(bad, id=name) for name, bad in (IMPURE | VALUES | OUTSIDE | FORMS | LIBRARIES).items()],
)
def test_a_bad_model_is_explained(bad: Bad) -> None:
    with pytest.raises(bad.error) as caught:
        bad.convert()
    said = "\n".join(caught.value.lines())
    assert said.startswith(bad.code), said
    for part in (*bad.says, *([line_of(bad.line)] if bad.line else [])):
        assert part in said


def test_what_only_looks_on_is_left_out_and_said() -> None:
    for model, line in ((jax_models.prints, "jax.debug.print("), (jax_models.calls_back, "jax.debug.callback(")):
        made = regauge.to_torch(model, (X,))
        (finding,) = made.findings
        assert (finding.code, finding.severity, finding.where) == ("C159", "warning", line_of(line))
        assert torch.equal(made(torch.ones(3, 4)), torch.full((3, 4), 2.0))


def test_a_list_that_is_written_is_said() -> None:
    made = regauge.to_torch(jax_models.writes_a_list, (X,))
    (finding,) = made.findings
    assert (finding.code, finding.severity) == ("C157", "warning")
    assert finding.where.endswith(line_of("SEEN.append(x * 2)"))
    assert "SEEN of jax_models.py" in finding.text


def test_sown_values_are_left_out_and_said() -> None:
    made = regauge.to_torch(jax_models.Sows(), (X,))
    (finding,) = made.findings
    assert finding.code == "C159"
    assert "hidden" in finding.text


def test_weights_that_are_nan_are_carried_over_and_said() -> None:
    made = regauge.to_torch(lambda p, x: x @ p["w"], (X,), params={"w": jnp.full((4, 4), jnp.nan)})
    (finding,) = made.findings
    assert (finding.code, finding.severity, finding.where) == ("C163", "warning", "w")
    assert made(torch.ones(3, 4)).isnan().all()


def test_an_array_that_was_donated_has_no_values() -> None:
    gone = jnp.ones((4, 4))
    gone.delete()
    with pytest.raises(BadCase, match="has been deleted") as caught:
        regauge.to_torch(lambda p, x: x @ p["w"], (X,), params={"w": gone})
    assert "jnp.array(x)" in str(caught.value)


def test_a_function_that_donates_keeps_the_persons_arrays() -> None:
    x = jnp.ones((3, 4))
    made = regauge.to_torch(jax.jit(lambda x: x + 1, donate_argnums=0), (x,))
    assert not x.is_deleted()
    assert torch.equal(made(torch.ones(3, 4)), torch.full((3, 4), 2.0))


class OnTwoDevices(NamedSharding):
    """Stands for a sharding of a machine with two devices, which tests do not have."""

    @property
    def device_set(self) -> Any:
        return {0, 1}

    @property
    def is_fully_replicated(self) -> bool:
        return False


def test_an_array_in_parts_is_refused_and_one_in_one_place_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(np.array(jax.devices()[:1]), ("d",))
    whole = jax.device_put(jnp.ones((4, 4)), NamedSharding(mesh, PartitionSpec("d")))
    assert regauge.to_torch(lambda p, x: x @ p["w"], (X,), params={"w": whole})(torch.ones(3, 4)).shape == (3, 4)
    monkeypatch.setattr(type(whole), "sharding", OnTwoDevices(mesh, PartitionSpec("d")))
    with pytest.raises(CaptureError, match=r"\['w'\] lies in parts on 2 devices") as caught:
        refuse_given((None, {"w": whole}), ())
    assert "jax.device_get(params)" in str(caught.value)


def test_a_sharding_over_one_device_is_no_operator() -> None:
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:1]), ("d",)), PartitionSpec("d"))
    made = regauge.to_torch(lambda x: jax.lax.with_sharding_constraint(x * 2, sharding), (X,))
    assert not made.findings
    assert torch.equal(made(torch.ones(3, 4)), torch.full((3, 4), 2.0))


def test_keys_old_and_new_are_their_words() -> None:
    for key in (jax.random.PRNGKey(3), jax.random.key(3)):
        made = regauge.to_torch(lambda key, x: x + jax.random.uniform(key, x.shape), (key, X), dynamic=None)
        words = key if key.dtype == jnp.uint32 else jax.random.key_data(key)
        found = made(torch.from_numpy(np.array(words)), torch.zeros(3, 4))
        np.testing.assert_array_equal(found.numpy(), np.asarray(jax.random.uniform(key, (3, 4))))


def test_python_numbers_are_outputs_of_the_dtype_that_jax_gives_them() -> None:
    made = regauge.to_torch(lambda x: (x, 3, 2.5, True, None), (X,))
    _, whole, real, truth, nothing = made(torch.ones(3, 4))
    assert (whole.item(), real.item(), truth.item(), nothing) == (3, 2.5, True, None)
    assert (whole.dtype, real.dtype, truth.dtype) == (torch.int32, torch.float32, torch.bool)


def test_arguments_that_are_no_arrays_are_fixed() -> None:
    made = regauge.to_torch(lambda x, n, mode: x * n if mode == "scale" else x, (X, 3, "scale"))
    assert torch.equal(made(torch.ones(3, 4), 3, "scale"), torch.full((3, 4), 3.0))


def test_a_static_field_needs_no_hash() -> None:
    made = regauge.to_torch(jax_models.Listed(jnp.eye(4), [3]), (X,))
    assert torch.equal(made(torch.ones(3, 4)), torch.full((3, 4), 3.0))


def test_parameters_may_be_one_array_of_complex_numbers() -> None:
    weight = jnp.eye(4) * 1j
    made = regauge.to_torch(lambda p, x: jnp.abs(x @ p) ** 2, (X,), params=weight)
    (parameter,) = made.parameters()
    assert parameter.dtype == torch.complex64
    np.testing.assert_allclose(made(torch.from_numpy(np.array(X))).detach().numpy(), np.asarray(X) ** 2, rtol=1e-6)


def test_an_axis_with_a_name_is_reduced() -> None:
    def centred(x: Any) -> Any:
        return jax.vmap(lambda r: r - jax.lax.pmean(r, "i") + jax.lax.pmax(r, "i"), axis_name="i")(x)

    made = regauge.to_torch(centred, (X,))
    np.testing.assert_allclose(made(torch.from_numpy(np.array(X))).numpy(), np.asarray(centred(X)), rtol=1e-6)


@pytest.mark.parametrize("dynamic", ["auto", None])
def test_a_function_is_applied_as_often_as_an_index_stands_there(dynamic: Any) -> None:
    def applied(x: Any, index: Any) -> Any:
        return x.at[index].apply(lambda v: v * 2)

    index = jnp.array([0] * 3 + [5] * 17 + [29] * 2)
    made = regauge.to_torch(applied, (jnp.ones(30), index), dynamic=dynamic)
    found = made(torch.ones(30), torch.from_numpy(np.array(index)))
    np.testing.assert_array_equal(found.numpy(), np.asarray(applied(jnp.ones(30), index)))
    assert found[5] == 2.0**17


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_float8_casts_are_those_of_jax(dtype: str) -> None:
    """Every number of 16 bits there and back, and every number of 8 bits as a weight."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    given = jnp.asarray(numbers, jnp.float32)

    def narrowed(p: Any, x: Any) -> Any:
        return x.astype(dtype).astype(jnp.float32), p["w"].astype(jnp.float32)

    weight = jax.lax.bitcast_convert_type(jnp.arange(256, dtype=jnp.uint8), jnp.dtype(dtype))
    made = regauge.to_torch(narrowed, (given,), params={"w": weight}, dynamic=None)
    found = made(torch.from_numpy(np.array(given)))
    for got, wanted in zip(found, narrowed({"w": weight}, given), strict=True):
        np.testing.assert_array_equal(got.detach().numpy(), np.asarray(wanted))


@pytest.mark.parametrize("wide", [False, True])
def test_dtypes_follow_the_64_bit_setting_of_jax(wide: bool) -> None:
    with jax.enable_x64(wide):
        made = regauge.to_torch(lambda x: (x * 2, jnp.arange(3)), (np.ones((3, 4)),))
    real, whole = made(torch.ones(3, 4, dtype=torch.float64 if wide else torch.float32))
    assert (real.dtype, whole.dtype) == ((torch.float64, torch.int64) if wide else (torch.float32, torch.int32))

"""What a program of JAX does outside of its arrays, and what to write instead: no rules, only limits."""

from __future__ import annotations

from torch import Tensor

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.outside")


def _always(why: str) -> Limit:
    return Limit("always", lambda _: True, "unsupported", why)


_HOST = _always(
    "it runs a function of Python, which is no part of a graph: write the function with jax.numpy, or call it outside "
    "of the model (eqx.error_if and such are switched off by EQX_ON_ERROR=off)"
)
_DEVICES = _always(
    "it divides the program over devices (shard_map, pmap), and a converted module is that of one: give the function "
    "inside, with jax.vmap(axis_name=...) for its collectives; torch.distributed divides the module afterwards"
)
_CHECKS = _always("it stops the program at a value: leave checkify.check out of the model, and check its outputs")
_FOREIGN = _always("it is code for JAX's compiler, not a function of arrays: give the same function in jax.numpy")
_MEMORY = _always("it writes to the memory of an array: return a new array, x.at[index].set(value) or a carry of scan")


@TABLE.rule("lax.pure_callback", "lax.io_callback", limits=[_HOST])
def callback(*operands: Tensor) -> tuple[Tensor, ...]:
    """pure_callback(*operands), io_callback(*operands)"""
    raise NotImplementedError


@TABLE.rule("lax.shard_map", "lax.xla_pmap", limits=[_DEVICES])
def shard_map(*operands: Tensor) -> tuple[Tensor, ...]:
    """shard_map(*operands)"""
    raise NotImplementedError


@TABLE.rule("lax.check", limits=[_CHECKS])
def check(*operands: Tensor) -> None:
    """check(*operands)"""
    raise NotImplementedError


@TABLE.rule("lax.ffi_call", "lax.pallas_call", "lax.custom_partitioning", limits=[_FOREIGN])
def foreign_call(*operands: Tensor) -> tuple[Tensor, ...]:
    """ffi_call(*operands), pallas_call(*operands)"""
    raise NotImplementedError


@TABLE.rule(
    "lax.new_ref", "lax.mutable_array", "lax.get", "lax.swap", "lax.addupdate", "lax.ref_get", "lax.ref_set",
    "lax.ref_addupdate", "lax.freeze", limits=[_MEMORY],
)  # fmt: skip
def reference(*operands: Tensor) -> Tensor:
    """new_ref(x), get(ref), swap(ref, x), addupdate(ref, x), freeze(ref)"""
    raise NotImplementedError

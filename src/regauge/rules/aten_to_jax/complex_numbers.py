"""Complex numbers: parts, conjugates, angles, and what makes them of real arrays."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("complex_numbers")


@TABLE.rule("aten.complex.default", promotes=Promotes.DEFAULT)
def complex_of(real: Array, imag: Array) -> Array:
    """complex(Tensor real, Tensor imag) -> Tensor"""
    if real.shape == imag.shape:
        return lax.complex(real, imag)
    return lax.complex(*jnp.broadcast_arrays(real, imag))


@TABLE.rule("aten.polar.default", promotes=Promotes.DEFAULT)
def polar(abs: Array, angle: Array) -> Array:
    """polar(Tensor abs, Tensor angle) -> Tensor"""
    return lax.complex(abs * jnp.cos(angle), abs * jnp.sin(angle))


@TABLE.rule("aten.view_as_complex.default")
def view_as_complex(self: Array) -> Array:
    """view_as_complex(Tensor(a) self) -> Tensor(a)"""
    return lax.complex(self[..., 0], self[..., 1])


@TABLE.rule("aten.view_as_real.default")
def view_as_real(self: Array) -> Array:
    """view_as_real(Tensor(a) self) -> Tensor(a)"""
    return jnp.stack([self.real, self.imag], axis=-1)


@TABLE.rule("aten.real.default")
def real_part(self: Array) -> Array:
    """real(Tensor(a) self) -> Tensor(a)"""
    return self.real


@TABLE.rule("aten.imag.default")
def imaginary_part(self: Array) -> Array:
    """imag(Tensor(a) self) -> Tensor(a)"""
    return self.imag


@TABLE.rule("aten.conj.default", "aten._conj.default", "aten.conj_physical.default")
def conjugate(self: Array) -> Array:
    """conj(Tensor(a) self) -> Tensor(a)
    _conj(Tensor(a) self) -> Tensor(a)
    conj_physical(Tensor self) -> Tensor
    """
    return jnp.conj(self) if jnp.iscomplexobj(self) else self


@TABLE.rule("aten.resolve_conj.default", "aten.resolve_neg.default")
def resolved(self: Array) -> Array:
    """resolve_conj(Tensor(a) self) -> Tensor(a)
    resolve_neg(Tensor(a) self) -> Tensor(a)
    """
    return self


@TABLE.rule("aten._neg_view.default")
def negative_view(self: Array) -> Array:
    """_neg_view(Tensor(a) self) -> Tensor(a)"""
    return -self


@TABLE.rule("aten.matrix_H.default")
def conjugate_transpose(self: Array) -> Array:
    """matrix_H(Tensor(a) self) -> Tensor(a)"""
    if self.ndim == 0:
        return self
    return self.T.conj() if jnp.iscomplexobj(self) else self.T


@TABLE.rule("aten.angle.default", promotes=Promotes.INT_TO_FLOAT)
def angle(self: Array) -> Array:
    """angle(Tensor self) -> Tensor"""
    if jnp.iscomplexobj(self):
        # the derivative at 0 is 0 in torch; JAX's formula divides by 0 there
        return jnp.where(self == 0, lax.stop_gradient(jnp.angle(self)), jnp.angle(jnp.where(self == 0, 1, self)))
    return jnp.where(jnp.isnan(self), self, jnp.where(self < 0, jnp.pi, 0))


@TABLE.rule("aten.sgn.default")
def sign_complex(self: Array) -> Array:
    """sgn(Tensor self) -> Tensor"""
    if jnp.iscomplexobj(self):
        # jnp.sign has the derivative 0 for complex numbers too
        return jnp.where(self == 0, 0, self / jnp.abs(jnp.where(self == 0, 1, self)))
    if self.dtype == jnp.bool_:
        return self
    if not jnp.issubdtype(self.dtype, jnp.floating):
        return jnp.sign(self)
    return jnp.where(jnp.isnan(self), 0, jnp.sign(self))


@TABLE.rule("aten.isreal.default")
def is_real(self: Array) -> Array:
    """isreal(Tensor self) -> Tensor"""
    return jnp.isreal(self)

"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import RuleTable

TABLE = RuleTable("matmul")


@TABLE.rule("aten.matmul.default")
def matmul(self: Array, other: Array) -> Array:
    """matmul(Tensor self, Tensor other) -> Tensor"""
    return self @ other


@TABLE.rule("aten.mm.default", "aten.bmm.default")
def matrix_product(self: Array, mat2: Array) -> Array:
    """mm(Tensor self, Tensor mat2) -> Tensor
    bmm(Tensor self, Tensor mat2) -> Tensor
    """
    return self @ mat2


@TABLE.rule("aten.mv.default")
def matrix_vector(self: Array, vec: Array) -> Array:
    """mv(Tensor self, Tensor vec) -> Tensor"""
    return self @ vec


@TABLE.rule("aten.dot.default")
def dot_product(self: Array, tensor: Array) -> Array:
    """dot(Tensor self, Tensor tensor) -> Tensor"""
    return jnp.dot(self, tensor)


@TABLE.rule("aten.vdot.default")
def dot_product_conjugate(self: Array, other: Array) -> Array:
    """vdot(Tensor self, Tensor other) -> Tensor"""
    return jnp.vdot(self, other)


@TABLE.rule("aten.inner.default")
def dot_product_of(self: Array, other: Array) -> Array:
    """inner(Tensor self, Tensor other) -> Tensor"""
    return jnp.inner(self, other)


@TABLE.rule("aten.outer.default", "aten.ger.default")
def outer_product(self: Array, vec2: Array) -> Array:
    """outer(Tensor self, Tensor vec2) -> Tensor
    ger(Tensor self, Tensor vec2) -> Tensor
    """
    return jnp.outer(self, vec2)


@TABLE.rule("aten.linear.default")
def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor"""
    if bias is None:
        return input @ weight.T
    return input @ weight.T + bias


@TABLE.rule("aten.bilinear.default")
def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None) -> Array:
    """bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor"""
    if bias is None:
        return jnp.einsum("...i,oij,...j->...o", input1, weight, input2)
    return jnp.einsum("...i,oij,...j->...o", input1, weight, input2) + bias


@TABLE.rule("aten.addmm.default")
def add_matrix_product(self: Array, mat1: Array, mat2: Array, beta: float = 1, alpha: float = 1) -> Array:
    """addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor"""
    if beta == 1 and alpha == 1:
        return self + mat1 @ mat2
    if jnp.issubdtype(self.dtype, jnp.integer):  # torch makes integers of the factors too
        beta, alpha = int(beta), int(alpha)
    if beta == 0:
        return alpha * (mat1 @ mat2)
    return beta * self + alpha * (mat1 @ mat2)


@TABLE.rule("aten.addmv.default")
def add_matrix_vector(self: Array, mat: Array, vec: Array, beta: float = 1, alpha: float = 1) -> Array:
    """addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor"""
    if beta == 1 and alpha == 1:
        return self + mat @ vec
    if jnp.issubdtype(self.dtype, jnp.integer):  # torch makes integers of the factors too
        beta, alpha = int(beta), int(alpha)
    if beta == 0:
        return alpha * (mat @ vec)
    return beta * self + alpha * (mat @ vec)


@TABLE.rule("aten.addr.default")
def add_outer(self: Array, vec1: Array, vec2: Array, beta: float = 1, alpha: float = 1) -> Array:
    """addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor"""
    if beta == 1 and alpha == 1:
        return self + jnp.outer(vec1, vec2)
    if self.dtype == jnp.bool_:
        return (self & bool(beta)) | (jnp.outer(vec1, vec2) & bool(alpha))
    if jnp.issubdtype(self.dtype, jnp.integer):  # torch makes integers of the factors too
        beta, alpha = int(beta), int(alpha)
    if beta == 0:
        return alpha * jnp.outer(vec1, vec2)
    return beta * self + alpha * jnp.outer(vec1, vec2)


@TABLE.rule("aten.baddbmm.default")
def add_batched_products(self: Array, batch1: Array, batch2: Array, beta: float = 1, alpha: float = 1) -> Array:
    """baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor"""
    if beta == 1 and alpha == 1:
        return self + batch1 @ batch2
    if jnp.issubdtype(self.dtype, jnp.integer):  # torch makes integers of the factors too
        beta, alpha = int(beta), int(alpha)
    if beta == 0:
        return alpha * (batch1 @ batch2)
    return beta * self + alpha * (batch1 @ batch2)


@TABLE.rule("aten.addbmm.default")
def add_sum_of_products(self: Array, batch1: Array, batch2: Array, beta: float = 1, alpha: float = 1) -> Array:
    """addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor"""
    product = jnp.einsum("bij,bjk->ik", batch1, batch2)
    if beta == 1 and alpha == 1:
        return self + product
    if jnp.issubdtype(self.dtype, jnp.integer):  # torch makes integers of the factors too
        beta, alpha = int(beta), int(alpha)
    if beta == 0:
        return alpha * product
    return beta * self + alpha * product


@TABLE.rule("aten.einsum.default")
def einsum(equation: str, tensors: Sequence[Array], path: Sequence[int] | None = None) -> Array:
    """einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor"""
    return jnp.einsum(equation, *tensors)


@TABLE.rule("aten.tensordot.default")
def tensordot(self: Array, other: Array, dims_self: Sequence[int], dims_other: Sequence[int]) -> Array:
    """tensordot(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor"""
    if all(self.shape[i] == other.shape[j] for i, j in zip(dims_self, dims_other, strict=True)):
        return jnp.tensordot(self, other, axes=(tuple(dims_self), tuple(dims_other)))
    # torch broadcasts contracted axes of size 1: the other side is summed
    left = tuple(i for i, j in zip(dims_self, dims_other, strict=True) if other.shape[j] == 1)
    right = tuple(j for i, j in zip(dims_self, dims_other, strict=True) if self.shape[i] == 1)
    summed = jnp.sum(self, left, keepdims=True), jnp.sum(other, right, keepdims=True)
    return jnp.tensordot(*summed, axes=(tuple(dims_self), tuple(dims_other)))


@TABLE.rule("aten.kron.default")
def kronecker(self: Array, other: Array) -> Array:
    """kron(Tensor self, Tensor other) -> Tensor"""
    if self.dtype == jnp.bool_ and other.dtype == jnp.bool_:
        return jnp.kron(self.astype(jnp.uint8), other.astype(jnp.uint8)) != 0
    return jnp.kron(self, other)


@TABLE.rule("aten.chain_matmul.default")
def chain_of_products(matrices: Sequence[Array]) -> Array:
    """chain_matmul(Tensor[] matrices) -> Tensor"""
    return jnp.linalg.multi_dot(matrices)


@TABLE.rule("aten.linalg_multi_dot.default")
def chain_of_dots(tensors: Sequence[Array]) -> Array:
    """linalg_multi_dot(Tensor[] tensors) -> Tensor"""
    return jnp.linalg.multi_dot(tensors)


@TABLE.rule("aten.matrix_power.default", "aten.linalg_matrix_power.default")
def matrix_power(self: Array, n: int) -> Array:
    """matrix_power(Tensor self, int n) -> Tensor
    linalg_matrix_power(Tensor self, int n) -> Tensor
    """
    return jnp.linalg.matrix_power(self, n)


@TABLE.rule("aten.trace.default")
def trace(self: Array) -> Array:
    """trace(Tensor self) -> Tensor"""
    return jnp.trace(self)


@TABLE.rule("aten.linalg_cross.default")
def cross_product(self: Array, other: Array, dim: int = -1) -> Array:
    """linalg_cross(Tensor self, Tensor other, *, int dim=-1) -> Tensor"""
    return jnp.cross(self, other, axis=dim)


@TABLE.rule("aten.cross.default")
def cross_product_along(self: Array, other: Array, dim: int | None = None) -> Array:
    """cross(Tensor self, Tensor other, int? dim=None) -> Tensor"""
    # without a dimension torch takes the first of size 3
    return jnp.cross(self, other, axis=self.shape.index(3) if dim is None else dim)


@TABLE.rule("aten.linalg_matmul.default")
def matrix_product_of(self: Array, other: Array) -> Array:
    """linalg_matmul(Tensor self, Tensor other) -> Tensor"""
    return self @ other


@TABLE.rule("aten.linalg_vecdot.default")
def dot_products_along(x: Array, y: Array, dim: int = -1) -> Array:
    """linalg_vecdot(Tensor x, Tensor y, *, int dim=-1) -> Tensor"""
    return jnp.linalg.vecdot(x, y, axis=dim)

"""Fourier transforms, and the short-time transform of a signal with its inverse."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("fourier")


@TABLE.rule("aten.fft_fft.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_fft(self: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """fft_fft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor"""
    return jnp.fft.fft(self, n=n, axis=dim, norm=norm)


@TABLE.rule("aten.fft_ifft.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_ifft(self: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """fft_ifft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor"""
    return jnp.fft.ifft(self, n=n, axis=dim, norm=norm)


@TABLE.rule("aten.fft_rfft.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_rfft(self: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """fft_rfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor"""
    return jnp.fft.rfft(self, n=n, axis=dim, norm=norm)


@TABLE.rule("aten.fft_irfft.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_irfft(self: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """fft_irfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor"""
    return jnp.fft.irfft(self, n=n, axis=dim, norm=norm)


@TABLE.rule("aten.fft_hfft.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_hfft(self: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """fft_hfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor"""
    return jnp.fft.hfft(self, n=n, axis=dim, norm=norm)


@TABLE.rule("aten.fft_ihfft.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_ihfft(self: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """fft_ihfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor"""
    return jnp.fft.ihfft(self, n=n, axis=dim, norm=norm)


@TABLE.rule("aten.fft_fft2.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_fft2(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """fft_fft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor"""
    return jnp.fft.fftn(self, s=s, axes=dim, norm=norm)


@TABLE.rule("aten.fft_fftn.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_fftn(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """fft_fftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor"""
    return jnp.fft.fftn(self, s=s, axes=dim, norm=norm)


@TABLE.rule("aten.fft_ifft2.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_ifft2(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """fft_ifft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor"""
    return jnp.fft.ifftn(self, s=s, axes=dim, norm=norm)


@TABLE.rule("aten.fft_ifftn.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_ifftn(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """fft_ifftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor"""
    return jnp.fft.ifftn(self, s=s, axes=dim, norm=norm)


@TABLE.rule("aten.fft_rfft2.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_rfft2(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """fft_rfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor"""
    return jnp.fft.rfftn(self, s=s, axes=dim, norm=norm)


@TABLE.rule("aten.fft_rfftn.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_rfftn(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """fft_rfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor"""
    return jnp.fft.rfftn(self, s=s, axes=dim, norm=norm)


@TABLE.rule("aten.fft_irfft2.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_irfft2(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """fft_irfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor"""
    return jnp.fft.irfftn(self, s=s, axes=dim, norm=norm)


@TABLE.rule("aten.fft_irfftn.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_irfftn(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """fft_irfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor"""
    return jnp.fft.irfftn(self, s=s, axes=dim, norm=norm)


def transformed_axes(rank: int, s: Sequence[int] | None, dim: Sequence[int] | None) -> tuple[int, ...]:
    """The axes that a transform over several goes along."""
    if dim is not None:
        return tuple(axis % rank for axis in dim)
    return tuple(range(0 if s is None else rank - len(s), rank))


def hermitian_fourier(
    x: Array, s: Sequence[int] | None, dim: Sequence[int] | None, norm: str | None, inverse: bool
) -> Array:
    """The transform of an array that is Hermitian in its last axis: real there, complex along the others."""
    *axes, last = transformed_axes(x.ndim, s, dim)
    sizes, length = (None, None) if s is None else (s[:-1], s[-1])
    if inverse:
        half = jnp.fft.ihfft(x, n=length, axis=last, norm=norm)
        return jnp.fft.ifftn(half, s=sizes, axes=axes, norm=norm) if axes else half
    half = jnp.fft.fftn(x, s=sizes, axes=axes, norm=norm) if axes else x
    return jnp.fft.hfft(half, n=length, axis=last, norm=norm)


@TABLE.rule("aten.fft_hfft2.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_hfft2(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """fft_hfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor"""
    return hermitian_fourier(self, s, dim, norm, False)


@TABLE.rule("aten.fft_hfftn.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_hfftn(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """fft_hfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor"""
    return hermitian_fourier(self, s, dim, norm, False)


@TABLE.rule("aten.fft_ihfft2.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_ihfft2(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """fft_ihfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor"""
    return hermitian_fourier(self, s, dim, norm, True)


@TABLE.rule("aten.fft_ihfftn.default", promotes=Promotes.INT_TO_FLOAT)
def fourier_ihfftn(
    self: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """fft_ihfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor"""
    return hermitian_fourier(self, s, dim, norm, True)


@TABLE.rule("aten.fft_fftshift.default")
def fourier_fftshift(self: Array, dim: Sequence[int] | None = None) -> Array:
    """fft_fftshift(Tensor self, int[1]? dim=None) -> Tensor"""
    return jnp.fft.fftshift(self, axes=dim)


@TABLE.rule("aten.fft_ifftshift.default")
def fourier_ifftshift(self: Array, dim: Sequence[int] | None = None) -> Array:
    """fft_ifftshift(Tensor self, int[1]? dim=None) -> Tensor"""
    return jnp.fft.ifftshift(self, axes=dim)


def window_of(window: Array | None, length: int, size: int, like: Array) -> Array:
    """The window, centred in a frame; without one every element of its length counts."""
    values = jnp.ones((length,), like.real.dtype) if window is None else window
    before = (size - length) // 2
    return jnp.pad(values, (before, size - length - before))


def frame_places(count: int, size: int, hop: int) -> Array:
    """Where the elements of each frame stand in the signal: int[count, size]."""
    return hop * jnp.arange(count)[:, None] + jnp.arange(size)


@TABLE.rule("aten.stft.default")
def short_time_fourier(
    self: Array,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Array | None = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Array:
    """stft(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool
    normalized=False, bool? onesided=None, bool? return_complex=None, bool? align_to_window=None) -> Tensor
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    weights = window_of(window, n_fft if win_length is None else win_length, n_fft, self)
    if align_to_window:
        outside = n_fft - (n_fft if win_length is None else win_length)
        self = jnp.pad(self, [(0, 0)] * (self.ndim - 1) + [(outside // 2, outside - outside // 2)])
    places = frame_places(1 + (self.shape[-1] - n_fft) // hop, n_fft, hop)
    frames = self[..., places] * weights
    norm = "ortho" if normalized else None
    if onesided or (onesided is None and not jnp.iscomplexobj(frames)):
        spectrum = jnp.fft.rfft(frames, norm=norm)
    else:
        spectrum = jnp.fft.fft(frames, norm=norm)
    spectrum = jnp.swapaxes(spectrum, -1, -2)
    if return_complex or (return_complex is None and jnp.iscomplexobj(frames)):
        return spectrum
    return jnp.stack([spectrum.real, spectrum.imag], axis=-1)


@TABLE.rule("aten.stft.center")
def short_time_fourier_centred(
    self: Array,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Array | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Array:
    """stft.center(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool
    center=True, str pad_mode="reflect", bool normalized=False, bool? onesided=None, bool? return_complex=None, bool?
    align_to_window=None) -> Tensor
    """
    if center:
        mode = {"reflect": "reflect", "constant": "constant", "replicate": "edge", "circular": "wrap"}[pad_mode]
        self = jnp.pad(self, [(0, 0)] * (self.ndim - 1) + [(n_fft // 2, n_fft // 2)], mode=mode)
    return short_time_fourier(
        self, n_fft, hop_length, win_length, window, normalized, onesided, return_complex, align_to_window
    )


@TABLE.rule("aten.istft.default")
def inverse_short_time_fourier(
    self: Array,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Array | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Array:
    """istft(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool center=True,
    bool normalized=False, bool? onesided=None, int? length=None, bool return_complex=False) -> Tensor
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    weights = window_of(window, n_fft if win_length is None else win_length, n_fft, self)
    spectrum = jnp.swapaxes(self, -1, -2)
    norm = "ortho" if normalized else None
    if return_complex:
        frames = jnp.fft.ifft(spectrum, norm=norm)
    else:
        frames = jnp.fft.irfft(spectrum[..., : n_fft // 2 + 1], n=n_fft, norm=norm)
    count = frames.shape[-2]
    places, total = frame_places(count, n_fft, hop), n_fft + hop * (count - 1)
    signal = jnp.zeros((*frames.shape[:-2], total), frames.dtype).at[..., places].add(frames * weights)
    envelope = jnp.zeros((total,), weights.dtype).at[places].add(jnp.square(weights))
    start = n_fft // 2 if center else 0
    stop = total - start if length is None else min(start + length, total)
    found = signal[..., start:stop] / envelope[start:stop]
    if length is None:
        return found
    return jnp.pad(found, [(0, 0)] * (found.ndim - 1) + [(0, length - found.shape[-1])])

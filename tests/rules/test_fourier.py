"""Samples of Fourier transforms: real and complex signals, shortened and padded ones, every normalisation."""

import pytest
import torch
from harness import Sample, check, sample
from values import integers, normal

X = normal(3, 8)
Z = torch.complex(X, normal(3, 8, key="imaginary"))
IMAGE = normal(2, 4, 6)
COMPLEX_IMAGE = torch.complex(IMAGE, normal(2, 4, 6, key="imaginary"))
WINDOW = torch.hann_window(8)
SPECTRUM = torch.stft(normal(40), 8, window=WINDOW, return_complex=True)

SAMPLES = [
    *(sample(f"fft_{op}.default", x) for op in ("fft", "ifft") for x in (X, Z, integers(5))),
    *(sample(f"fft_{op}.default", X, 6, 1, "ortho") for op in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")),
    *(sample(f"fft_{op}.default", X) for op in ("rfft", "ihfft")),
    *(sample(f"fft_{op}.default", Z, None, 0) for op in ("irfft", "hfft")),
    *(
        sample(f"fft_{op}{many}.default", x)
        for many in ("2", "n")
        for op, x in (
            ("fft", COMPLEX_IMAGE),
            ("ifft", COMPLEX_IMAGE),
            ("rfft", IMAGE),
            ("irfft", COMPLEX_IMAGE),
            ("hfft", COMPLEX_IMAGE),
            ("ihfft", IMAGE),
        )
    ),
    *(sample(f"fft_{op}n.default", COMPLEX_IMAGE, [3, 4], [0, 2], "forward") for op in ("fft", "irfft", "hfft")),
    *(sample(f"fft_{op}.default", X, dim) for op in ("fftshift", "ifftshift") for dim in (None, [1])),
    sample("stft.default", normal(2, 40), 8, return_complex=True),
    sample("stft.default", normal(40), 8, 3, 6, torch.hann_window(6), True, False, True),
    sample("stft.default", normal(40), 8, return_complex=False),
    sample("stft.default", normal(40), 8, 4, 6, return_complex=True, align_to_window=True),
    sample("stft.center", normal(2, 40), 8, window=WINDOW, return_complex=True),
    sample("stft.center", normal(2, 40), 8, pad_mode="constant", return_complex=True),
    sample("istft.default", SPECTRUM, 8, window=WINDOW),
    sample("istft.default", SPECTRUM, 8, window=WINDOW, length=30),
    sample("istft.default", SPECTRUM, 8, normalized=True),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_fourier(case: Sample) -> None:
    check(case)

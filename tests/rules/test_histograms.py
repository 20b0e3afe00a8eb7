"""Samples of histograms: values on edges, outside, all equal, none; weights and densities; several dimensions."""

import pytest
import torch
from harness import Sample, check
from values import floats, ints, normal, uniform

X = normal(40)
ON_EDGES = floats(0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 2.0)
EQUAL, NOTHING = floats(2.0, 2.0), torch.zeros(0)
POINTS = normal(20, 2)
NO_GRADIENT = "torch has none"


def plain(op: str, *args: object, **kwargs: object) -> Sample:
    return Sample(f"aten.{op}", args, kwargs, no_gradient=NO_GRADIENT)


WEIGHT = uniform(40)
EDGES = floats(-2.0, -0.5, 0.0, 1.0)

SAMPLES = [
    *(plain("histc.default", x, 5) for x in (X, ON_EDGES, EQUAL, NOTHING)),
    *(plain("histc.default", x, 4, 0, 2) for x in (X, ON_EDGES)),
    *(
        Sample("regauge.bincount.default", (ints(0, 2, 2, 4), weights, 3), no_gradient=NO_GRADIENT)
        for weights in (None, floats(0.5, 1.0, 2.0, 4.0), floats(0.5, 1.0, 2.0, 4.0).double(), ints(1, 2, 3, 4))
    ),
    *(plain("histogram.bin_ct", x, 4) for x in (X, ON_EDGES, EQUAL, NOTHING)),
    *(plain("histogram.bin_ct", X, 6, range=r, density=d) for r in ((-1.0, 1.0), (0.5, 0.5)) for d in (False, True)),
    plain("histogram.bin_ct", X, 6, weight=WEIGHT, density=True),
    plain("histogram.bins_tensor", X, EDGES),
    plain("histogram.bins_tensor", X, EDGES, weight=WEIGHT, density=True),
    *(plain("_histogramdd_bin_edges.default", POINTS, (3, 4), range=r) for r in (None, (-1.0, 1.0, 0.0, 2.0))),
    *(
        plain("_histogramdd_from_bin_cts.default", POINTS, (3, 4), range=r, density=r is None)
        for r in (None, (-1.0, 1.0, 0.0, 2.0))
    ),
    plain("_histogramdd_from_bin_tensors.default", POINTS, [EDGES, floats(-1.0, 0.0, 3.0)], weight=uniform(20)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_histograms(case: Sample) -> None:
    check(case)

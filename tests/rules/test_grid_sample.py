"""Samples of grid sampling: every mode, the border itself, the outside, several reflections, images of one pixel."""

from itertools import product

import pytest
import torch
from harness import Sample, check, sample
from values import normal, uniform

# on centres and edges of pixels, outside by less and by more than one image
POINTS = torch.tensor(
    [[-1.0, -1.0], [1.0, 1.0], [0.0, 1.0], [-0.75, 0.5], [1.2, 0.3], [-1.3, 0.1], [3.7, -4.2], [0.25, -0.5]]
)
GRID = torch.stack([POINTS.reshape(2, 4, 2), uniform(2, 4, 2, low=-1.4, high=1.4)])
IMAGE = normal(2, 3, 4, 5)
VOLUME = normal(2, 2, 3, 4, 5)
CUBE_GRID = uniform(2, 2, 3, 2, 3, low=-1.5, high=1.5)

SAMPLES = [
    *(sample("affine_grid_generator.default", normal(2, 2, 3), [2, 3, 4, 5], align) for align in (True, False)),
    *(sample("affine_grid_generator.default", normal(2, 3, 4), [2, 1, 3, 1, 2], align) for align in (True, False)),
    *(
        sample("grid_sampler.default", IMAGE, GRID, mode, padding, align)
        for mode, padding, align in product((0, 1, 2), (0, 1, 2), (False, True))
    ),
    *(
        sample("grid_sampler_3d.default", VOLUME, CUBE_GRID, mode, padding, align)
        for mode, padding, align in product((0, 1), (0, 1, 2), (False, True))
    ),
    sample("grid_sampler_2d.default", IMAGE, GRID, 0, 0, False),
    *(sample("grid_sampler.default", IMAGE[..., :1], GRID, 0, padding, True) for padding in (0, 1, 2)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_grid_sample(case: Sample) -> None:
    check(case)

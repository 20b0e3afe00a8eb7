"""A file with a mistake outside any case."""

import torch

weights = torch.zeros(3) + undefined_name  # noqa: F821

"""All mutations by family."""

from __future__ import annotations

from judge.mutation import Mutation
from judge.mutations.attention import ATTENTION
from judge.mutations.layers import LAYERS
from judge.mutations.norms import NORMS
from judge.mutations.recurrence import RECURRENCE
from judge.mutations.space import SPACE
from judge.mutations.training import TRAINING

MUTATIONS: tuple[Mutation, ...] = (*NORMS, *SPACE, *LAYERS, *ATTENTION, *RECURRENCE, *TRAINING)

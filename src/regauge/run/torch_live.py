"""A torch model of this process as one side of a check: copied, so that the person's own stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regauge.case import Case
from regauge.errors import BadCase
from regauge.run.torch_describe import describe
from regauge.run.torch_evaluate import evaluate
from regauge.run.torch_subject import TorchSubject, subject_of


class LiveTorch:
    """Describes and evaluates a case of this process."""

    def __init__(self, case: Case) -> None:
        self._subject = subject_of(case, as_it_is=True)

    def describe(self, out: Path) -> dict[str, Any]:
        return describe(self._subject, out)

    def evaluate(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The tasks of a job; the default dtype is put back afterwards."""
        before = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float64 if job["widen"] else before)
            return evaluate(self._copy(), job)
        finally:
            torch.set_default_dtype(before)

    def _copy(self) -> TorchSubject:
        subject = copy.copy(self._subject)
        try:
            subject.model = copy.deepcopy(subject.model)
        except Exception as error:
            raise BadCase(
                f"the model cannot be copied: {type(error).__name__}: {error}",
                received=type(subject.model).__name__,
                why="the check widens a copy to float64 and leaves the model as it is",
                next="give two case references to regauge check: workers load models of their own",
            ) from error
        return subject


def arrays_of(tree: Any) -> Any:
    """A tree of numpy arrays as torch tensors."""
    return torch.utils._pytree.tree_map(
        lambda leaf: torch.from_numpy(leaf.copy()) if isinstance(leaf, np.ndarray) else leaf, tree
    )

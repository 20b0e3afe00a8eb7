"""The questions of a check: each tier from what both sides computed, or why it could not be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from regauge.errors import RegaugeError
from regauge.findings import Finding
from regauge.language import N_
from regauge.verify import plan
from regauge.verify.derivative import derivative_tier
from regauge.verify.evaluations import WIDE, Evaluations, Mode, Side
from regauge.verify.inputs import InputSet
from regauge.verify.obstacles import Refusal, effects, unrepeatable_why
from regauge.verify.onestep import MASKED, Pass, no_worse_tiers, same_function_tiers
from regauge.verify.plan import CheckOptions, step_id
from regauge.verify.randomness import distribution_tier, evaluation_tier, randomness_tier
from regauge.verify.result import Tier
from regauge.verify.sizes import refused_sizes, sizes_tier
from regauge.verify.subjects import Subject
from regauge.verify.training import Trajectory, float32_tier, trajectory_tiers, walk_of

# what a watcher shows, as msgids
LABELS: dict[Side, str] = {
    "M64": N_("original in float64"),
    "C64": N_("converted model in float64"),
    "M32": N_("original in float32"),
    "C32": N_("converted model in float32"),
}
UNASKED = ("tier 1 outputs", "tier 2 outputs", "finite difference", "trajectory")

_NO_PARAMETER = "the loss depends on no parameter"
_FLOAT64_ONLY = "the check was asked for float64 alone"


@dataclass
class Questions:
    """What is asked of two sides that were evaluated.

    Attributes:
        subject: the two sides.
        options: of the check.
        found: what both computed.
        sets: every input set.
        accepted: those that the original takes.
        failures: sides that failed as a whole.
        refusals: sides that take no float64.
        spec: JSON of the optimizer, None if it has none or one by hand.
        trains: whether there is a training step.
        sample: launches a side once more for its random outputs.
        answers: to questions that were asked before, by what they are about.
    """

    subject: Subject
    options: CheckOptions
    found: Evaluations
    sets: Sequence[InputSet]
    accepted: Sequence[InputSet]
    failures: Mapping[Side, RegaugeError]
    refusals: Mapping[Side, Refusal]
    spec: Mapping[str, Any] | None
    trains: bool
    sample: Callable[[Side], Any]
    answers: dict[str, list[Tier]] = field(default_factory=dict)

    def ask_in_float64(self) -> None:
        """Ask what float64 alone answers: the sides may still run in float32."""
        if "C64" in self.refusals or not all(map(self._is_repeatable, WIDE)):
            return
        for mode in self.options.modes:
            self._same_function(mode)
        self._same_function("train", "masks")
        if self.trains and not self.found.outcomes["M64"]["trajectory"].error:
            self._trajectory()

    def _once(self, about: str, ask: Callable[[], list[Tier]]) -> list[Tier]:
        if about not in self.answers:
            self.answers[about] = ask()
        return self.answers[about]

    def _same_function(self, mode: Mode, dropout: str = "off") -> list[Tier]:
        suffix = MASKED if dropout == "masks" else ""
        passes = self._passes(mode, dropout)
        return self._once(f"{mode} {dropout}", lambda: same_function_tiers(self.found, passes, mode, suffix))

    def _trajectory(self) -> list[Tier]:
        return self._once("trajectory", lambda: trajectory_tiers(self.found, *self._training()))

    def slot_findings(self) -> list[Finding]:
        """Slots of the optimizers that are not compared."""
        walks = [self.found.get(side, "trajectory") for side in WIDE]
        if not all(outcome and not outcome.error for outcome in walks):
            return []
        return walk_of(self.found, self._training()[0]).findings

    def tiers(self) -> list[Tier]:
        """Every question about the functions, with its answer."""
        why = next((unrepeatable_why(self.found, side) for side in WIDE if not self._is_repeatable(side)), "")
        if why:
            tiers = [Tier(name, "not checked", why=why) for name in UNASKED]
            random = self.subject.own_weights and not any(effects(self.found, side) for side in WIDE)
            return [*tiers, self._distribution()] if random else tiers
        if "C64" in self.refusals:
            randomness = Tier("randomness", "not checked", "train", why=self.refusals["C64"].why)
        else:
            randomness = randomness_tier(self.found, "randomness", step_id(0, "train", "masks"))
        sizes = sizes_tier(self.found, self._size_tasks()) if self.subject.own_weights else None
        evaluation = evaluation_tier(self.found, step_id(0, "eval"))
        return [*self._step_tiers(), *([sizes] if sizes else []), *self._training_tiers(), randomness, *evaluation]

    @property
    def _sums_one_by_one(self) -> bool:
        """Torch's convolutions and its batch norm sum over all positions one after the other, XLA in pairs."""
        return self.subject.frameworks == {"original": "jax", "converted": "torch"}

    def _passes(self, mode: Mode, dropout: str = "off", shapes: bool = True) -> list[Pass]:
        accepted = {item.name for item in self.accepted}
        if self.subject.own_weights:
            accepted -= refused_sizes(self.found, self._size_tasks())
        return [
            Pass(
                step_id(index, mode, dropout),
                item.name,
                item.purpose == "typical",
                plan.noisy_ids(step_id(index, mode, dropout)),
                self._sums_one_by_one,
                item.purpose == "silent",
            )
            for index, item in enumerate(self.sets)
            if item.name in accepted
            and plan.runs(item, mode, self.options)
            and (shapes or item.purpose not in ("shape", "silent"))
            and (dropout == "off" or self.found.get("C64", step_id(index, mode, dropout)) is not None)
        ]

    def _distribution(self) -> Tier:
        """What is left to compare where random numbers cannot be given."""
        for side in WIDE:
            self.sample(side)
        return distribution_tier(self.found, "samples")

    def _size_tasks(self) -> dict[str, list[str]]:
        """Ids of the passes on other sizes, by the name of their set."""
        shapes = [(n, item) for n, item in enumerate(self.sets) if item.purpose == "shape" and item in self.accepted]
        return {item.name: [step_id(n, mode) for mode in self.options.modes] for n, item in shapes}

    def _step_tiers(self) -> list[Tier]:
        tiers: list[Tier] = []
        refused = self.refusals.get("C64")
        for mode in self.options.modes:
            if refused:
                tiers.append(Tier("tier 1 outputs", "not checked", mode, why=refused.why))
            else:
                tiers += self._judged_losses(self._same_function(mode), mode)
            if self._without_float32():
                tiers.append(Tier("tier 2 outputs", "not checked", mode, why=self._without_float32()))
            else:
                tiers += self._judged_losses(no_worse_tiers(self.found, self._passes(mode, shapes=False), mode), mode)
        if refused:
            return [*tiers, Tier("finite difference", "not checked", "train", why=refused.why)]
        tiers += self._masked_tiers()
        if self.found.get("C64", "derivative"):
            tiers.append(derivative_tier(self.found, "derivative", "train"))
        else:
            why = self.found.outcomes["M64"]["derivative"].error or _NO_PARAMETER
            tiers.append(Tier("finite difference", "not checked", "train", why=why))
        return tiers

    def _judged_losses(self, tiers: Sequence[Tier], mode: Mode) -> list[Tier]:
        """The tiers of a mode; where the loss that was converted is not the original's, they rest on a probe."""
        if mode in self.subject.loss_modes:
            return list(tiers)
        why = (
            "the converted loss is that of the outputs in training, which are others in evaluation; gradients in "
            "evaluation are those of a probe of the outputs"
        )
        return [Tier(t.name, "not checked", mode, why=why) if t.name.endswith(" loss") else t for t in tiers]

    def _masked_tiers(self) -> list[Tier]:
        suffix = MASKED
        passes = self._passes("train", "masks")
        if not passes:
            return []
        for outcome in (self.found.outcomes["C64"][one.task] for one in passes):
            if outcome.info.get("error_type") in ("MasksDoNotFit", "DrawsByCondition"):
                return [Tier(f"tier 1 outputs{suffix}", "not checked", "train", why=outcome.error)]
        tiers = [*self._same_function("train", "masks")]
        if not self._without_float32() and not self.options.quick:
            tiers += no_worse_tiers(self.found, passes, "train", suffix)
        return tiers

    def _without_float32(self) -> str:
        """Why there is no float32 evaluation, or an empty string."""
        if not self.options.float32:
            return _FLOAT64_ONLY
        failed = next((side for side in self.failures if side.endswith("32")), None)
        return f"{LABELS[failed]}: {self.failures[failed].what}" if failed else ""

    def _is_repeatable(self, side: Side) -> bool:
        one = self.found.outcomes[side][step_id(0, "train")].arrays()
        other = self.found.outcomes[side]["again"].arrays()
        names = [name for name in one if name.startswith(("outputs", "loss"))]
        return all(np.allclose(one[n], other[n], rtol=1e-9, atol=0, equal_nan=True) for n in names if n in other)

    def _training_tiers(self) -> list[Tier]:
        if "C64" in self.refusals:
            return [Tier("trajectory", "not checked", "train", why=self.refusals["C64"].why)]
        if not self.trains:
            return [Tier("trajectory", "not checked", "train", why=self.subject.untrained)]
        error = self.found.outcomes["M64"]["trajectory"].error
        if error:
            return [Tier("trajectory", "not checked", "train", why=f"the original's own step raises: {error}")]
        tasks, name = self._training()
        if self._without_float32():
            skipped = Tier(f"trajectory {name} float32", "not checked", "train", why=self._without_float32())
            return [*self._trajectory(), skipped]
        return [*self._trajectory(), float32_tier(self.found, tasks, name)]

    def _training(self) -> tuple[Trajectory, str]:
        """The tasks of the training, and what to call the optimizer."""
        name = self.spec["type"] if self.spec else self.subject.optimizer
        return Trajectory("trajectory", step_id(0, "train"), plan.noisy_losses(), plan.ROUNDED), name

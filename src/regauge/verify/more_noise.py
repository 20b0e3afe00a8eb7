"""Which passes of the original are run again with more noise: those in which something differs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from regauge.verify import plan
from regauge.verify.evaluations import Mode
from regauge.verify.inputs import InputSet
from regauge.verify.onestep import MASKED, inputs_that_differ
from regauge.verify.result import Tier


@dataclass
class MoreNoise:
    """What was asked for already, and what is to be asked for next.

    Attributes:
        sets: of inputs, all of them.
        options: of the check.
        passes: name of the set, mode, and how dropout behaves, of the float32 passes that more copies were made of.
        losses: whether more copies of the float32 trajectory were made.
    """

    sets: Sequence[InputSet]
    options: plan.CheckOptions
    passes: set[tuple[str, Mode, str]] = field(default_factory=set)
    losses: bool = False

    def in_float64(self, tiers: Sequence[Tier], accepted: Collection[str], trains: bool) -> list[plan.Task]:
        """The noisy copies in float64 that were left out, for the inputs on which something differs."""
        failed = [tier for tier in tiers if tier.verdict == "different"]
        differ = {name for tier in failed for name in inputs_that_differ(tier)}
        masked = set(accepted) if any(tier.name.endswith(MASKED) for tier in failed) else set()
        walked = trains and any(tier.name.startswith("trajectory") for tier in failed)
        return plan.noise_float64(self.sets, differ.intersection(accepted), masked, self.options, walked)

    def in_float32(self, tiers: Sequence[Tier]) -> list[plan.Task]:
        """More noisy copies of the float32 passes in which something differs.

        A unit whose sum is nearly zero passes its gradient or not as the last bits fall, on one side perhaps and on
        the other not. Where both are the same function in float64 it is asked whether the original's bits fall so too.
        """
        differ = [tier for tier in tiers if tier.verdict == "different"]
        own = [tier for tier in differ if tier.name.startswith("tier 2") or tier.name.endswith(" float32")]
        if len(own) < len(differ):
            return []
        failed = {
            (name, mode, "masks" if tier.name.endswith(MASKED) else "off")
            for tier in own
            for mode in self.options.modes
            if tier.mode == mode and tier.name.startswith("tier 2")
            for name in inputs_that_differ(tier)
        }
        tasks = plan.noise_float32(self.sets, failed - self.passes, self.options)
        self.passes |= failed
        if not self.losses and any(tier.name.startswith("trajectory") for tier in own):
            self.losses = True
            tasks += plan.noise_of_losses(self.options)
        return tasks

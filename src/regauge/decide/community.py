"""What is known about the people and the project behind a framework: ranks, releases, support; each with its date.

These figures are dated counts and promises. None is a measurement, and none is a share of users.
"""

from __future__ import annotations

from collections.abc import Mapping

from regauge.decide.facts import DEVELOPED, Fact, FactBase, load

# The dimensions of each question. What vendors claim about speed is in no group: claims are not community figures.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "popularity": ("pypi_download_rank", "share_of_papers"),
    "releases": (DEVELOPED, "latest_version_released", "weeks_between_releases", "nightly_builds"),
    "support": ("python_support_months", "stated_deprecation_policy", "minimum_python", "newest_python"),
    "governance": ("vendor_neutral_foundation", "permissive_licence"),
    "help": ("official_forum",),
}
CLAIMS = ("published_benchmark", "vendor_claim_speedup", "vendor_claim_rl_speedup")


def community_of(framework: str, base: FactBase | None = None) -> dict[str, tuple[Fact, ...]]:
    """The community facts of a framework by group; an unknown answer is left out, an empty group stays.

    Every fact carries the date that it is about (`Fact.about`) and its sources. Facts about several frameworks together
    are those of `regauge.decide.facts.COMMON`.
    """
    base = base or load()
    return {
        group: tuple(fact for name in dimensions if (fact := base.get(framework, name)))
        for group, dimensions in GROUPS.items()
    }

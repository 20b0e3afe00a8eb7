"""NEEDS.yaml as a person gets it: the commented template, and the file that holds their answers."""

from __future__ import annotations

from typing import Any

import yaml

from regauge.decide.needs import Needs
from regauge.language import N_, _

# Every field with an example and what to know about it; an empty comment repeats nothing that the example says.
_FIELDS: tuple[tuple[str, str], ...] = (
    ("name: my project", N_("what the project is called")),
    ("kind: vision", N_("vision, language, speech, control, science, generative, recommendation or other")),
    ("# cases: [models/net.py:case]", N_("regauge cases whose stored measurements count")),
    (
        "hardware: {train: [nvidia-gpu], devices: 1, nodes: 1, serve: [cpu], os: linux}",
        N_("cpu, nvidia-gpu, amd-gpu, intel-gpu, tpu, apple-gpu; serve also mobile; linux, macos or windows"),
    ),
    ("# precision: strict32", N_("strict32 or tf32: measurements made with the other one do not count")),
    ("team: {people: 4, experience: {pytorch: 4, jax: 1}}", N_("0 none to 5 expert; who is not named counts as 0")),
    ("timeline_weeks: 10", N_("until it must work")),
    ("# existing_code: {framework: pytorch, path: src/}", N_("code that there is already; the path is audited")),
    ("must: []", N_("features without which a framework cannot be chosen; regauge facts lists them")),
    ("nice: []", N_("features that are wanted")),
    (
        "# weights: {performance: 3, functions: 2, community: 1, migration: 2, learning: 1}",
        N_("any positive numbers; who is not named does not count, without any every weighting is equally likely"),
    ),
    ("candidates: [pytorch, jax, keras, tensorflow]", N_("what to choose from")),
)


def template() -> str:
    """The commented template in the current language; it is valid as it stands."""
    lines = [f"# {_('The needs of a project for regauge choose. Every field may be left out.')}"]
    for example, comment in _FIELDS:
        lines += [f"# {_(comment)}", example]
    return "\n".join(lines) + "\n"


def needs_yaml(needs: Needs) -> str:
    """The needs as YAML text that reads back as the same needs; what was not said is left out."""
    data = _plain(needs.model_dump(exclude_none=True, exclude_defaults=True))
    data = {"name": needs.name, "kind": needs.kind, **data}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item not in ({}, (), None)}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value

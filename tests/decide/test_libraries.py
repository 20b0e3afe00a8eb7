"""The tables of libraries: schema, sources, both languages, and a counterpart for each in both directions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.version import Version

from regauge.decide import facts, tables
from regauge.decide.libraries import KINDS, ROLES, Library, Side, load
from regauge.decide.sources import source_json
from regauge.language import use_language

TABLE = load()
LIBRARIES = list(TABLE.by_name.values())
SIDES: tuple[Side, ...] = ("jax", "pytorch")
CHINESE = re.compile(r"[\u4e00-\u9fff]")

# Every name that the audit of a code base should know.
OF_PYTORCH = [
    "lightning",
    "pytorch_lightning",
    "timm",
    "transformers",
    "torchmetrics",
    "torchvision",
    "torchaudio",
    "accelerate",
    "peft",
    "stable_baselines3",
    "torchrl",
    "torch_geometric",
    "dgl",
    "pyro",
    "gpytorch",
    "botorch",
    "torchdiffeq",
    "wandb",
    "tensorboard",
    "mlflow",
    "einops",
    "kornia",
    "albumentations",
    "deepspeed",
    "bitsandbytes",
    "xformers",
    "flash_attn",
    "triton",
    "vllm",
    "onnxruntime",
    "safetensors",
    "datasets",
    "diffusers",
    "sentence_transformers",
    "fairseq",
    "detectron2",
    "monai",
    "captum",
    "ray",
    "hydra",
]
OF_JAX = [
    "flax",
    "haiku",
    "equinox",
    "optax",
    "orbax.checkpoint",
    "grain",
    "chex",
    "distrax",
    "rlax",
    "brax",
    "gymnasium",
    "jraph",
    "numpyro",
    "blackjax",
    "diffrax",
    "optimistix",
    "lineax",
    "jaxtyping",
    "jaxopt",
    "t5x",
    "easydel",
    "penzai",
    "tensorstore",
    "clu",
    "dm_pix",
    "jax.experimental.pallas",
]


def test_the_table_is_large_and_every_role_and_kind_occurs() -> None:
    assert len(LIBRARIES) >= 200
    assert {library.role for library in LIBRARIES} == set(ROLES)
    assert {kind for library in LIBRARIES for kind in library.kinds} == set(KINDS)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_library_is_complete(library: Library) -> None:
    assert library.source
    assert library.url.startswith("https://")
    assert library.statement.en.endswith(".")
    assert library.statement.zh.endswith("。")
    assert CHINESE.search(library.statement.zh)
    if library.package:
        Version(library.version)
    else:
        assert library.version == library.version_date == ""


def test_a_library_without_a_release_for_two_years_is_not_active() -> None:
    read = tuple(map(int, LIBRARIES[0].read.split("-")))
    for library in LIBRARIES:
        if library.version_date and library.status == "active":
            year, month = map(int, library.version_date.split("-"))
            assert (read[0] - year) * 12 + read[1] - month <= 24, library.name


def test_imports_lead_to_the_library() -> None:
    for library in LIBRARIES:
        for name in library.import_names:
            assert TABLE.by_import(name) is library
            assert TABLE.by_import(f"{name}.some.module") is not None
    found = TABLE.by_import("jax.experimental.pallas.ops")
    assert found is not None
    assert found.name == "pallas"
    assert TABLE.by_import("orbax.export") is TABLE.by_name["orbax-export"]
    assert TABLE.by_import("orbax") is TABLE.by_name["orbax-checkpoint"]
    assert TABLE.by_import("nvidia") is None  # many packages share this name
    assert TABLE.by_import("jax.numpy") is TABLE.by_name["jax"]
    assert TABLE.by_import("no_such_library") is None
    assert TABLE.by_import("torchvisions") is None


@pytest.mark.parametrize("side", SIDES)
def test_every_library_has_a_counterpart_in_both_directions(side: Side) -> None:
    for library in LIBRARIES:
        found = TABLE.counterpart(library.name, to=side)
        assert found is not None, library.name
        assert found.framework_to == side
        assert found.source
        assert found.why.en.endswith(".")
        assert found.why.zh.endswith("。")
        assert CHINESE.search(found.why.zh)


def test_the_names_that_code_bases_import_are_known() -> None:
    for name in OF_PYTORCH:
        found = TABLE.counterpart(name, to="jax")
        assert found is not None, name
    for name in OF_JAX:
        found = TABLE.counterpart(name, to="pytorch")
        assert found is not None, name
    assert TABLE.counterpart("no_such_library", to="jax") is None


def test_counterparts_belong_to_the_other_side() -> None:
    for found in TABLE.stand_ins.values():
        own = TABLE.by_name[found.library]
        for name in found.counterparts:
            library = TABLE.by_name[name]
            assert library.framework in (found.framework_to, "any", "keras"), (found.library, name)
            assert name != found.library or own.framework in ("any", "keras"), found.library


def test_the_same_means_the_same_library_or_one_for_any_framework() -> None:
    for found in TABLE.stand_ins.values():
        if found.degree == "same":
            first = TABLE.by_name[found.counterparts[0]]
            assert first.name == found.library or first.framework == "any", found.library


def test_what_has_ended_is_no_equivalent_and_never_stands_alone_in_silence() -> None:
    for found in TABLE.stand_ins.values():
        ended = [name for name in found.counterparts if TABLE.by_name[name].status == "archived"]
        if ended and len(ended) == len(found.counterparts):
            assert found.degree == "partial", found.library
            assert "no commit since" in found.why.en or "rests" in found.why.en, found.library


def test_nothing_leads_around_in_a_circle() -> None:
    """From the counterpart back: a library on the own side again, never one that knows no way."""
    for found in TABLE.stand_ins.values():
        back: Side = "pytorch" if found.framework_to == "jax" else "jax"
        for name in found.counterparts:
            assert TABLE.counterpart(name, to=back) is not None, name


def test_facts_that_are_named_exist() -> None:
    base = facts.load()
    sources = [source for library in LIBRARIES for source in library.source]
    sources += [source for found in TABLE.stand_ins.values() for source in found.source]
    named = {source.ref for source in sources if source.kind == "fact"}
    assert len(named) > 30
    for name in named:
        base.by_id(name)


def test_sources_lead_somewhere() -> None:
    for library in LIBRARIES:
        assert any(source_json(source)["links"] for source in library.source), library.name


def test_texts_are_shown_in_the_current_language() -> None:
    library = TABLE.by_name["timm"]
    assert str(library.statement) == library.statement.en
    with use_language("zh"):
        assert str(library.statement) == library.statement.zh
    assert library.to_json()["statement"] == {"en": library.statement.en, "zh": library.statement.zh}
    found = TABLE.counterpart("timm", to="jax")
    assert found is not None
    assert found.to_json()["why"]["zh"] == found.why.zh


ROW = """- name: one
  import: [one]
  framework: jax
  role: data
  kinds: [all]
  en: A.
  zh: 一。
  source: [{ref: 'https://example.org', kind: docs}]
  package: ''
"""


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("libraries.yaml", ROW + ROW, "two entries have this name"),
        ("libraries.yaml", ROW + ROW.replace("name: one", "name: two"), "is also that of one"),
        ("libraries.yaml", ROW.replace("[all]", "[cooking]"), "unknown kinds: cooking"),
        ("libraries.yaml", ROW.replace("package: ''", "package: nowhere"), "versions.yaml has no entry for nowhere"),
        ("libraries.yaml", re.sub(r"  source.*\n", "", ROW), "there is no source"),
        ("libraries.yaml", ROW.replace("role: data", "role: cooking"), "Input should be"),
        ("libraries.yaml", ROW.replace("zh: 一。", "zh: ''"), "at least 1 character"),
        ("libraries.yaml", ROW + "  colour: red\n", "Extra inputs are not permitted"),
        ("libraries.yaml", "- {", "while parsing"),
        (
            "counterparts.yaml",
            "- {library: one, to: pytorch, degree: none, counterparts: [one], en: A., zh: 一。}",
            "not go",
        ),
        ("counterparts.yaml", "- {library: one, to: pytorch, degree: partial, en: A., zh: 一。}", "does not go"),
        (
            "counterparts.yaml",
            "- {library: two, to: pytorch, degree: none, en: A., zh: 一。}",
            "not in libraries.yaml: two",
        ),
        (
            "counterparts.yaml",
            "- {library: one, to: pytorch, degree: partial, counterparts: [one], en: A., zh: 一。}",
            "of another framework: one",
        ),
        (
            "counterparts.yaml",
            "- {library: one, to: pytorch, degree: none, en: A., zh: 一。}\n" * 2,
            "two entries say this",
        ),
    ],
)
def test_a_broken_row_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, message: str
) -> None:
    monkeypatch.setattr(tables, "DATA", tmp_path)
    (tmp_path / "versions.yaml").write_text("read: '2026-01-01'\npackages: {}\n")
    (tmp_path / "libraries.yaml").write_text(ROW, encoding="utf-8")
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(tables.BadLibraries) as caught:
        tables.read_counterparts(tables.read_libraries())
    assert message in str(caught.value)
    assert file in caught.value.where

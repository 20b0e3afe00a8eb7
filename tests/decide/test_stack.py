"""Stacks: every combination builds, nothing is left open in silence, and the sketches of code are real code."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from regauge.decide import deployment, facts, limits, parallel, resources
from regauge.decide.libraries import KINDS, load
from regauge.decide.stack import CHOICES, HARDWARE, SERVE, SYSTEMS, Stack, libraries_for, stack_for
from regauge.errors import BadNeeds
from regauge.language import use_language

CHINESE = re.compile(r"[\u4e00-\u9fff]")
SIZES = ((1, 1), (2, 1), (8, 1), (16, 2))
SKETCHES = [row.key for row in parallel._rows().values() if row.code]


def stack(framework: str = "jax", **changes: object) -> Stack:
    needs: dict = {"kind": "vision", "train": ["cpu"], "devices": 1, "nodes": 1, "serve": ["cpu"], "os": "linux"}
    return stack_for(framework, **{**needs, **changes})


def every_stack() -> Iterator[Stack]:
    for framework, kind, hardware, os_name in itertools.product(CHOICES, KINDS, HARDWARE, SYSTEMS):
        for devices, nodes in SIZES:
            yield stack(framework, kind=kind, train=[hardware], devices=devices, nodes=nodes, serve=SERVE, os=os_name)


def test_every_combination_builds_and_is_plain_data() -> None:
    count = 0
    for found in every_stack():
        count += 1
        assert found.libraries["framework"][0].framework == found.framework
        assert found.resources
        assert found.parallel.sources
        served = {way.serve for way in found.deployment}
        for target in set(SERVE) - served:
            assert any(f"serving on {target} " in text.en for text in found.unknowns), (found.framework, target)
        if not found.parallel.settled:
            assert found.parallel.why.en in [text.en for text in found.unknowns]
    assert count == len(CHOICES) * len(KINDS) * len(HARDWARE) * len(SYSTEMS) * len(SIZES)
    plain = json.loads(json.dumps(stack("tensorflow", kind="control", serve=list(SERVE)).to_json()))
    assert plain["deployment"][0]["libraries"] == ["tensorflow-serving-api"]
    assert all(set(text) == {"en", "zh", "sources"} for text in plain["unknowns"])
    silent = [text["en"] for text in plain["unknowns"] if not text["sources"]]
    assert all(text.startswith("No sourced way") for text in silent)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("framework", CHOICES)
def test_every_role_has_a_library_or_a_reason(framework: str, kind: str) -> None:
    libraries = libraries_for(framework, kind)
    for role in limits.open_roles(framework, kind, libraries):
        reason = limits.gap(framework, role, kind)
        assert reason is not None, (framework, kind, role)
        assert reason in stack(framework, kind=kind).unknowns


def test_every_written_gap_is_one() -> None:
    for row in limits._gaps():
        for kind in row.kinds or KINDS:
            assert row.role in limits.open_roles(row.framework, kind, libraries_for(row.framework, kind)), row


def test_what_has_ended_is_never_recommended() -> None:
    for framework, kind in itertools.product(CHOICES, KINDS):
        for role, libraries in libraries_for(framework, kind).items():
            statuses = {library.status for library in libraries}
            assert "archived" not in statuses
            assert statuses != {"active", "maintenance"}, role


@pytest.mark.parametrize(
    ("framework", "changes", "name"),
    [
        ("pytorch", {}, "one device"),
        ("pytorch", {"devices": 4}, "DistributedDataParallel"),
        ("pytorch", {"devices": 8, "kind": "language"}, "FSDP2"),
        ("pytorch", {"devices": 16, "nodes": 2, "kind": "language"}, "FSDP2 within nodes, replicas across nodes"),
        ("pytorch", {"devices": 16, "nodes": 2}, "DistributedDataParallel"),
        ("pytorch", {"devices": 4, "train": ["tpu"]}, "not settled"),
        ("pytorch", {"devices": 2, "train": ["apple-gpu"]}, "not settled"),
        ("pytorch", {"train": ["apple-gpu"]}, "one device"),
        ("jax", {}, "one device"),
        ("jax", {"train": ["apple-gpu"]}, "not settled"),
        ("jax", {"devices": 4}, "jax.sharding data mesh"),
        ("jax", {"devices": 8, "kind": "language"}, "jax.sharding mesh with sharded parameters"),
        ("jax", {"devices": 8, "nodes": 2}, "multi-process mesh"),
        ("jax", {"nodes": 2}, "multi-process mesh"),  # two machines have at least two devices
        ("keras", {"devices": 4}, "keras.distribution.DataParallel"),
        ("keras", {"devices": 4, "nodes": 2}, "keras.distribution over several machines"),
        ("tensorflow", {"devices": 4}, "tf.distribute.MirroredStrategy"),
        ("tensorflow", {"devices": 4, "nodes": 2}, "tf.distribute.MultiWorkerMirroredStrategy"),
        ("tensorflow", {"train": ["tpu"]}, "tf.distribute.TPUStrategy"),
    ],
)
def test_the_strategy_follows_devices_nodes_and_hardware(framework: str, changes: dict, name: str) -> None:
    assert stack(framework, **changes).parallel.name == name


def test_every_strategy_is_reached() -> None:
    reached = {
        parallel._key(framework, kind, [hardware], devices, nodes)
        for framework, kind, hardware in itertools.product(CHOICES, KINDS, HARDWARE)
        for devices, nodes in SIZES
    }
    assert reached == set(parallel._rows())


@pytest.mark.parametrize("found", [stack(f, kind=k, devices=d, nodes=n) for f in CHOICES for k in ("vision", "language")
                                   for d, n in SIZES])  # fmt: skip
def test_sketches_are_code_in_both_languages(found: Stack) -> None:
    for text in (found.parallel.code.en, found.parallel.code.zh):
        ast.parse(text)
        assert "$" not in text
        assert not re.search(r"#\d", text)
        assert all(len(line) <= 120 for line in text.splitlines())
    assert ast.dump(ast.parse(found.parallel.code.en)) == ast.dump(ast.parse(found.parallel.code.zh))


def run(key: str) -> None:
    """Run a sketch on the CPU: PyTorch as a group of one process, JAX on four pretended devices."""
    row = parallel._rows()[key]
    code = parallel._code(row, [text.en for text in row.comments], {"devices": 4, "nodes": 1, "per_node": 1})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    code = code.replace("initialize()", f"initialize('127.0.0.1:{port}', num_processes=1, process_id=0)")
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": "0", "WORLD_SIZE": "1"}
    environment = {
        **os.environ,
        **group,
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_sketch_runs() -> None:
    run("jax-data-mesh")


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in SKETCHES if key.startswith(("pytorch", "jax"))])
def test_every_sketch_runs(key: str) -> None:
    run(key)


@pytest.mark.parametrize(
    ("framework", "kind", "target", "format"),
    [
        ("pytorch", "vision", "cpu", "ONNX"),
        ("pytorch", "language", "nvidia-gpu", "vLLM server"),
        ("pytorch", "vision", "nvidia-gpu", "AOTInductor package (.pt2)"),
        ("pytorch", "vision", "mobile", "ExecuTorch (.pte)"),
        ("pytorch", "language", "tpu", "vLLM on TPU"),
        ("jax", "vision", "cpu", "ONNX"),
        ("jax", "vision", "tpu", "StableHLO by jax.export"),
        ("jax", "language", "tpu", "vLLM on TPU"),
        ("jax", "vision", "mobile", "LiteRT (.tflite) by way of SavedModel"),
        ("keras", "vision", "mobile", "LiteRT by Model.export"),
        ("tensorflow", "vision", "cpu", "SavedModel for TensorFlow Serving"),
    ],
)
def test_the_first_way_to_deploy(framework: str, kind: str, target: str, format: str) -> None:
    found = stack(framework, kind=kind, serve=[target])
    assert found.deployment[0].format == format
    assert found.deployment[0].libraries


def test_a_target_that_is_named_twice_counts_once() -> None:
    assert stack(serve=["cpu", "cpu"]).deployment == stack(serve=["cpu"]).deployment


def test_hardware_that_does_not_serve_is_said() -> None:
    found = stack("jax", train=["nvidia-gpu"], os="windows")
    assert any("no NVIDIA GPU support on native Windows" in text.en for text in found.unknowns)
    assert not any("NVIDIA" in text.en for text in stack("jax", train=["nvidia-gpu"]).unknowns)
    assert any("Macs only" in text.en for text in stack("pytorch", train=["apple-gpu"]).unknowns)


def test_every_row_has_both_languages_and_sources_that_exist() -> None:
    base = facts.load()
    rows = [*parallel._rows().values(), *deployment._rows(), *limits._hardware(), *limits._gaps(), *resources._rows()]
    named = {source.ref for row in rows for source in row.source if source.kind == "fact"}
    assert len(named) > 40
    for name in named:
        base.by_id(name)
    for row in [*parallel._rows().values(), *limits._hardware(), *limits._gaps(), *resources._rows()]:
        assert row.source
        assert CHINESE.search(row.zh)
    for way in deployment._rows():
        assert all(CHINESE.search(text.zh) for text in [*way.steps, *way.limits])
        assert set(way.libraries) <= set(load().by_name)
        assert set(way.serve) <= set(SERVE)
        assert set(way.kinds) | set(way.without) <= set(KINDS)
        assert not any(load().by_name[name].status == "archived" for name in way.libraries)


def test_resources_come_in_the_language_that_is_shown() -> None:
    for framework in CHOICES:
        assert {row.language for row in resources.resources_for(framework, "other")} == {"en", "zh"}
        assert resources.resources_for(framework, "other")[0].language == "en"
        with use_language("zh"):
            assert resources.resources_for(framework, "other")[0].language == "zh"
    titles = [row.title for row in resources.resources_for("pytorch", "language")]
    assert "Hugging Face LLM Course" in titles
    assert "Hugging Face LLM Course" not in [row.title for row in resources.resources_for("pytorch", "vision")]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"kind": "cooking"}, "kind"),
        ({"train": ["gpu"]}, "hardware.train"),
        ({"serve": ["moon"]}, "hardware.serve"),
        ({"os": "beos"}, "hardware.os"),
        ({"devices": 0}, "hardware.devices"),
        ({"nodes": -1}, "hardware.nodes"),
    ],
)
def test_unknown_needs_are_refused(changes: dict, where: str) -> None:
    with pytest.raises(BadNeeds) as caught:
        stack(**changes)
    assert caught.value.where == where


def test_an_unknown_framework_is_refused() -> None:
    with pytest.raises(BadNeeds, match="not one of those allowed"):
        stack("mxnet")

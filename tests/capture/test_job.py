"""The job `capture`: what it writes, and that it holds everything that emission needs."""

from __future__ import annotations

import json
from pathlib import Path

import case_file
import pytest
import torch
from comparing import assert_same, run_graph
from safetensors.torch import load_file

from regauge.errors import BadCase, CaptureError, OutputError
from regauge.findings import Finding
from regauge.ir.check import check_graph
from regauge.ir.serial import graph_from_json
from regauge.run import torch_capture
from regauge.run.launch import launch
from regauge.run.protocol import unflatten_tree

FILE = Path(case_file.__file__)


def run(name, out, **job):
    return torch_capture.run({"job": "capture", "case": f"{FILE}:{name}", "out": str(out), **job})


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_files_of_a_training_case(tmp_path):
    result = run("case", tmp_path)
    about = read(tmp_path / "capture.json")
    assert about["name"] == result["name"] == "net"
    assert about["root"] == "Net"
    assert about["has_loss"]
    assert about["optimizer"]["type"] == "SGD"
    assert about["versions"]["torch"] == torch.__version__
    assert about["inputs"] == {"tuple": [{"leaf": "inputs.0"}]}
    assert about["targets"] == {"leaf": "targets"}
    assert about["outputs"] == {"dict": {"logits": {"leaf": "outputs.logits"}, "nothing": {"none": True}}}
    assert {"load", "run", "export", "functionalise", "loss", "write"} <= about["seconds"].keys()
    assert not (tmp_path / "graph_eval.json").exists()
    for name in ("graph.json", "loss.json"):
        check_graph(graph_from_json(read(tmp_path / name)))


def test_weights_keep_names_dtypes_and_values(tmp_path):
    run("case", tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    graph = graph_from_json(read(tmp_path / "graph.json"))
    assert set(weights) == {w.name for w in graph.weights}
    assert weights["halves"].dtype is torch.bfloat16
    assert weights["norm.num_batches_tracked"].dtype is torch.int64
    assert torch.equal(weights["head.weight"], torch.eye(3))
    assert torch.equal(load_file(tmp_path / "loss_weights.safetensors")["constant_0"], torch.tensor([1.0, 2.0, 3.0]))


def test_graphs_and_reference_fit_together(tmp_path):
    run("inference", tmp_path)
    reference = load_file(tmp_path / "reference.safetensors")
    about, graph = read(tmp_path / "capture.json"), graph_from_json(read(tmp_path / "graph.json"))
    assert about["targets"] is None
    assert about["optimizer"] is None
    assert not about["has_loss"]
    assert not (tmp_path / "loss.json").exists()
    inputs = unflatten_tree(about["inputs"], reference)
    outputs = run_graph(graph, load_file(tmp_path / "weights.safetensors"), inputs).outputs
    assert_same(outputs, unflatten_tree(about["outputs"], reference))


def test_the_loss_takes_outputs_and_targets(tmp_path):
    run("case", tmp_path)
    reference, about = load_file(tmp_path / "reference.safetensors"), read(tmp_path / "capture.json")
    outputs, targets = (unflatten_tree(about[name], reference) for name in ("outputs", "targets"))
    graph = graph_from_json(read(tmp_path / "loss.json"))
    result = run_graph(graph, load_file(tmp_path / "loss_weights.safetensors"), (outputs, targets))
    assert_same(result.outputs, case_file.weighted(outputs, targets))


def test_reference_outputs_are_those_of_evaluation(tmp_path):
    case = case_file.case()
    run("case", tmp_path)
    state = load_file(tmp_path / "weights.safetensors")
    case.model.load_state_dict({name: state[name] for name in case.model.state_dict()})
    with torch.no_grad():
        expected = case.model.eval()(*case.inputs)["logits"]
    torch.testing.assert_close(load_file(tmp_path / "reference.safetensors")["outputs.logits"], expected)


def test_functions_are_cases_too(tmp_path):
    run("function", tmp_path)
    assert read(tmp_path / "capture.json")["root"] == "noisy"
    graph = graph_from_json(read(tmp_path / "graph.json"))
    assert graph.weights == ()
    assert graph.nodes[0].origin.line.startswith("case_file.py:")


def test_a_loss_may_get_sizes_but_not_read_them(tmp_path):
    run("loss_beside_a_size", tmp_path)
    with pytest.raises(CaptureError, match="the loss reads a size that the model returns"):
        run("loss_by_a_size", tmp_path)


def test_sizes_can_be_fixed(tmp_path):
    run("inference", tmp_path, dynamic=None)
    assert graph_from_json(read(tmp_path / "graph.json")).symbols == ()


@pytest.mark.parametrize("name", ["case", "outputs_of_one_mode"])
def test_a_loss_that_reads_what_both_modes_give_is_that_of_both(name, tmp_path):
    assert "C170" not in run(name, tmp_path)["findings"]


@pytest.mark.parametrize("name", ["loss_of_each_mode", "loss_of_one_mode"])
def test_outputs_of_one_mode_that_the_loss_minds_are_said(name, tmp_path):
    run(name, tmp_path)
    findings = [Finding.from_json(item) for item in read(tmp_path / "capture.json")["findings"]]
    assert [f.text.split(". ")[0] for f in findings if f.code == "C170"] == ["Outputs of one mode only: states.0"]


def test_a_loss_reads_the_sizes_that_differ_between_the_modes(tmp_path):
    assert "C193" not in run("sizes_of_each_mode", tmp_path)["findings"]
    logits, _ = graph_from_json(read(tmp_path / "loss.json")).inputs
    assert str(logits.spec) == "float32[batch, sequence, 3]"


def test_a_loss_that_decides_on_a_size_of_training_is_said(tmp_path):
    run("sizes_of_one_mode", tmp_path)
    findings = [Finding.from_json(item) for item in read(tmp_path / "capture.json")["findings"]]
    (text,) = [finding.text for finding in findings if finding.code == "C193"]
    assert "the output: size 1 is 6 in training and 2 in evaluation" in text


def test_findings_are_written(tmp_path):
    assert run("inference", tmp_path)["findings"] == []
    assert [Finding.from_json(item) for item in read(tmp_path / "capture.json")["findings"]] == []


def test_a_loss_that_is_no_scalar(tmp_path):
    with pytest.raises(BadCase) as caught:
        run("vector_loss", tmp_path)
    assert caught.value.code == "B130"
    assert caught.value.received == "float32[batch]"


def test_a_loss_that_cannot_be_captured_names_its_line(tmp_path):
    with pytest.raises(CaptureError) as caught:
        run("loss_with_line", tmp_path)
    line = next(i for i, text in enumerate(FILE.read_text().splitlines(), 1) if text.endswith("# line: loss"))
    assert caught.value.where.endswith(f"case_file.py:{line}")


def test_a_loss_that_rejects_the_outputs(tmp_path):
    with pytest.raises(BadCase, match="KeyError") as caught:
        run("rejecting_loss", tmp_path)
    assert "case_file.py" in caught.value.where


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(OutputError) as caught:
        run("inference", tmp_path / "missing")
    assert "missing" in caught.value.where


def test_memory_shared_by_tensors_is_written_for_each(tmp_path):
    both = torch.arange(6.0).reshape(2, 3)
    torch_capture.save_tensors({"a": both[0], "b": both[1], "t": both.T}, tmp_path / "x.safetensors")
    found = load_file(tmp_path / "x.safetensors")
    assert torch.equal(found["a"], both[0])
    assert torch.equal(found["b"], both[1])
    assert torch.equal(found["t"], both.T)


def test_through_a_worker_process(tmp_path):
    result = launch("torch", {"job": "capture", "case": f"{FILE}:case", "out": str(tmp_path), "dynamic": "auto"})
    assert result["root"] == "Net"
    with pytest.raises(BadCase, match="does not return one float scalar"):
        launch("torch", {"job": "capture", "case": f"{FILE}:vector_loss", "out": str(tmp_path)})

"""Operators that torch.export takes apart or refuses stay one node, and compute what the original does."""

import pytest
import torch
from comparing import leaves, run_graph

from regauge.capture.torch_export import capture_function
from regauge.errors import CaptureError

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(3, 5, generator=GENERATOR)
TALL, RIGHT = torch.randn(5, 3, generator=GENERATOR), torch.randn(5, 2, generator=GENERATOR)
WEIGHTS = torch.tensor([1, 2, 1, 3, 1])

CASES = {
    "regauge.cov.default": (lambda x: torch.cov(x, correction=0, fweights=WEIGHTS), (X,)),
    "regauge.corrcoef.default": (lambda x: x.corrcoef(), (X,)),
    "regauge.lstsq.default": (lambda a, b: tuple(torch.linalg.lstsq(a, b, driver="gelsd")), (TALL, RIGHT)),
    "regauge.bincount.default": (lambda x, w: torch.bincount(x, w, minlength=4), (WEIGHTS, X[0])),
    "aten.geqrf.default": (lambda x: torch.geqrf(x), (X,)),
}


@pytest.mark.parametrize("op", CASES)
def test_one_node_that_computes_the_same(op):
    function, given = CASES[op]
    captured = capture_function(function, given)
    assert op in [node.op for node in captured.graph.nodes]
    found = run_graph(captured.graph, captured.tensors, given, gradient=False).outputs
    torch.testing.assert_close(leaves(found), leaves(function(*given)))


def test_counts_have_a_fixed_number_which_is_said():
    least = len(WEIGHTS.bincount())
    captured = capture_function(lambda x: x.bincount(minlength=least), (WEIGHTS,))
    assert [(finding.code, finding.severity) for finding in captured.findings] == [("C194", "warning")]
    found = run_graph(captured.graph, captured.tensors, (WEIGHTS,), gradient=False).outputs
    torch.testing.assert_close(leaves(found), leaves(WEIGHTS.bincount()))


@pytest.mark.parametrize(
    "count",
    [lambda x: x.bincount(minlength=2), lambda x: torch.bincount(x, x.float(), 2)],
)
def test_counts_that_the_example_has_more_of_are_refused(count):
    with pytest.raises(CaptureError, match=f"gives {len(WEIGHTS.bincount())} counts for the inputs") as caught:
        capture_function(count, (WEIGHTS,))
    assert caught.value.code == "C243"
    assert "test_whole_ops.py" in caught.value.where
    assert f"minlength={len(WEIGHTS.bincount())}" in caught.value.next


@pytest.mark.parametrize(("driver", "codes"), [("gelsd", ["C144"]), ("gelsy", []), (None, [])])
def test_it_is_said_that_residuals_always_come(driver, codes):
    captured = capture_function(lambda a, b: torch.linalg.lstsq(a, b, driver=driver).solution, (TALL, RIGHT))
    assert [finding.code for finding in captured.findings] == codes

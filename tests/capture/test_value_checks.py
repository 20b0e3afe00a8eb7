"""Functions of torch that look at values: captured with the same values and derivatives, and said."""

import pytest
import torch
import torch.nn.functional as F
from comparing import gradients, leaves, run_graph
from torch import nn

from regauge.capture.torch_export import capture_function
from regauge.errors import BadCase, CaptureError

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", [(4, 5), (4,), (4, 1)], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("full", [False, True])
def test_gaussian_nll_loss(shape, reduction, full):
    """Also where the variance is below eps: torch's gradient is not stopped there."""
    x, target = torch.randn(4, 5, generator=GENERATOR), torch.randn(4, 5, generator=GENERATOR)
    variance = torch.rand(shape, generator=GENERATOR)
    variance[0] = 1e-3
    loss = nn.GaussianNLLLoss(full=full, eps=1e-2, reduction=reduction)
    captured = capture_function(lambda mean, target, var: loss(mean, target, var), (x, target, variance))
    results = []
    for run in (loss, lambda *args: run_graph(captured.graph, captured.tensors, args, gradient=True).outputs):
        given = {"mean": x.clone().requires_grad_(), "variance": variance.clone().requires_grad_()}
        output = run(given["mean"], target, given["variance"])
        results.append((leaves((output,))["0"], gradients((output,), given)))
    (expected, expected_gradients), (found, found_gradients) = results
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_gradients, expected_gradients)


def test_it_is_said_once_that_values_are_not_looked_at():
    def loss(mean, target, var):
        return F.gaussian_nll_loss(mean, target, var) + F.gaussian_nll_loss(mean, target, 2 * var)

    captured = capture_function(loss, (torch.zeros(3), torch.zeros(3), torch.ones(3)))
    assert [finding.code for finding in captured.findings] == ["C140"]


@pytest.mark.parametrize(
    ("variance", "options", "message"),
    [(torch.ones(2, 3), {}, "var is of incorrect size"), (torch.ones(4, 5), {"reduction": "all"}, "all is not valid")],
)
def test_other_refusals_stay(variance, options, message):
    def loss(mean, target):
        return F.gaussian_nll_loss(mean, target, variance, **options)

    with pytest.raises(BadCase, match=message):
        capture_function(loss, (torch.zeros(4, 5), torch.zeros(4, 5)))


def test_distributions_are_not_validated_and_it_is_said():
    """Also one that was made before, with its validation on."""
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3), validate_args=True)

    def loss(logits, mean, action, x):
        policy = torch.distributions.Categorical(logits=logits)
        return (
            policy.log_prob(action),
            policy.entropy(),
            torch.distributions.Normal(mean, 0.5).log_prob(x),
            prior.cdf(x),
        )

    given = (torch.randn(4, 3, generator=GENERATOR), torch.zeros(3), torch.tensor([0, 2, 1, 1]), torch.ones(3))
    captured = capture_function(loss, given)
    found = run_graph(captured.graph, captured.tensors, given, gradient=False).outputs
    torch.testing.assert_close(leaves(found), leaves(loss(*given)))
    assert [finding.code for finding in captured.findings].count("C142") == 1
    # said outright, because torch's own compiler switches the default off for the process
    with pytest.raises(ValueError, match="invalid values"):
        torch.distributions.Normal(torch.zeros(3), -torch.ones(3), validate_args=True)


def test_transformer_takes_masks_as_inputs():
    torch.manual_seed(0)
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True).eval()
    source, target = torch.randn(2, 5, 8), torch.randn(2, 4, 8)
    for mask in (nn.Transformer.generate_square_subsequent_mask(4), torch.zeros(4, 4)):
        captured = capture_function(lambda s, t, m: model(s, t, tgt_mask=m), (source, target, mask), model=None)
        found = run_graph(captured.graph, captured.tensors, (source, target, mask), gradient=False).outputs
        torch.testing.assert_close(leaves((found,))["0"], model(source, target, tgt_mask=mask))


def test_values_that_are_only_checked_are_left_out():
    def model(x, sizes):
        torch._check_tensor_all(sizes.sum() >= 0)
        torch._check(sizes[0].item() > -5)
        return x * 2

    x, sizes = torch.randn(3, 4, generator=GENERATOR), torch.tensor([1, 2])
    graph = capture_function(model, (x, sizes)).graph
    assert [node.op for node in graph.nodes] == ["aten.mul.Tensor"]


def test_values_that_are_checked_and_used_are_refused():
    def model(x, sizes):
        size = sizes[0].item()
        torch._check(size > 0)
        return x * 2, torch.zeros(size)

    with pytest.raises(CaptureError, match="from the values of tensors"):
        capture_function(model, (torch.ones(3), torch.tensor([1, 2])))

from dataclasses import replace
from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import Sample, check, sample
from torch.nn.modules.linear_cross_entropy_options import LinearCrossEntropyOptions

import regauge


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) * 0.98 + 0.01


NONE, MEAN, SUM = 0, 1, 2
A, B = normal(4, 5), normal(4, 5, seed=1)
SIGNS = torch.tensor([1.0, -1.0, -1.0, 1.0])
# differences at every kink of the losses with default arguments: 0, +-1
KINKS = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]), torch.zeros(5)


def elementwise(op: str, *options: tuple[object, ...]) -> list[Sample]:
    found = [sample(f"{op}.default", A, B, MEAN), sample(f"{op}.default", *KINKS, NONE)]
    found += [sample(f"{op}.default", *KINKS, NONE, *o) for o in options]
    found.append(sample(f"{op}.default", A[:0], B[:0], SUM))
    return [*found, sample(f"{op}.default", A[0, 0], B[0, 0])]


NUMBERS = [
    *elementwise("mse_loss"),
    *elementwise("l1_loss"),
    *elementwise("smooth_l1_loss", (0.5,), (0.0,)),
    *elementwise("huber_loss", (2.0,)),
    *elementwise("soft_margin_loss"),
    sample("soft_margin_loss.default", torch.tensor([300.0, -300.0]), torch.ones(2), NONE),
]

CERTAIN = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.5, 1e-20]), torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
EXTREME = torch.tensor([-300.0, 0.0, 300.0]), torch.tensor([1.0, 0.0, 0.0])
PROBABILITIES = [
    *(sample("binary_cross_entropy.default", uniform(4, 5), uniform(4, 5, seed=1), None, r) for r in (NONE, MEAN)),
    sample("binary_cross_entropy.default", uniform(4, 5), uniform(4, 5, seed=1), uniform(5)),
    # torch's derivative by the target is infinite here, which a bounded logarithm cannot have
    replace(sample("binary_cross_entropy.default", *CERTAIN, None, NONE), held=("target",)),
    *(sample("binary_cross_entropy_with_logits.default", A, uniform(4, 5), None, None, r) for r in (NONE, MEAN)),
    sample("binary_cross_entropy_with_logits.default", A, uniform(4, 5), uniform(4, 5), 3 * uniform(5), MEAN),
    sample("binary_cross_entropy_with_logits.default", *EXTREME, None, None, NONE),
    *(sample("kl_div.default", -uniform(4, 5), uniform(4, 5, seed=1), r) for r in (NONE, MEAN)),
    sample("kl_div.default", -uniform(4, 5), -uniform(4, 5, seed=1), SUM, log_target=True),
    sample("poisson_nll_loss.default", A, uniform(4, 5) * 3, True, False, 1e-8, MEAN),
    sample("poisson_nll_loss.default", uniform(4, 5), uniform(4, 5) * 3, False, True, 1e-8, SUM),
    sample("poisson_nll_loss.default", A, torch.tensor([0.0, 1.0, 2.0, 3.0, 0.5]), True, True, 1e-8, NONE),
]

DISTANCES = [
    *(sample("hinge_embedding_loss.default", normal(4), SIGNS, 1.0, r) for r in (NONE, MEAN)),
    sample("hinge_embedding_loss.default", torch.tensor([1.0, 1.0, 0.0, 2.0]), SIGNS, 1.0, NONE),
    *(sample("margin_ranking_loss.default", normal(4), normal(4, seed=1), SIGNS, 0.3, r) for r in (NONE, MEAN)),
    sample("margin_ranking_loss.default", torch.ones(4), torch.ones(4), SIGNS, 0.0, NONE),
    *(sample("cosine_embedding_loss.default", A, B, SIGNS, 0.1, r) for r in (NONE, MEAN)),
    sample("cosine_embedding_loss.default", torch.zeros(4, 5), B, SIGNS, 0.0, NONE),
    sample("cosine_embedding_loss.default", A[0], B[0], torch.tensor(-1.0)),
    *(sample("pairwise_distance.default", A, B, p) for p in (2.0, 1.0, 3.0, float("inf"))),
    sample("pairwise_distance.default", A, A, 2.0, 0.0, True),
    sample("pairwise_distance.default", A, B[0]),
    sample("cosine_similarity.default", A, B),
    sample("cosine_similarity.default", normal(4, 5, 3), normal(5, 3), 1, 1e-3),
    sample("cosine_similarity.default", torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 1.0]])),
    sample("cosine_similarity.default", 0.01 * A, B, 1, 0.1),
    *(
        sample("triplet_margin_loss.default", A, B, normal(4, 5, seed=2), 1.0, 2.0, 1e-6, False, r)
        for r in (NONE, MEAN)
    ),
    sample("triplet_margin_loss.default", A, B, normal(4, 5, seed=2), 0.5, 1.0, 1e-6, True),
]


CHUNKS = ("compact", torch.float32, False, False, False, False)


def sample_of_torch_nn(op: str, *args: object) -> Sample:
    return Sample(f"torch_nn.{op}.default", (*args, -100, 2, "compact", torch.float32))


LABELS = torch.tensor([2, 0, -100, 4])
IMAGE_LABELS = torch.tensor([[[0, 1, 2], [2, 1, -100]], [[1, 1, 0], [0, 2, 2]]])
WEIGHT = uniform(5)


def classes(op: str, *more: tuple[object, ...]) -> list[Sample]:
    """reduction x weight, ignored targets, none left; then options of the operator itself."""
    found = [sample(op, A, LABELS, w, r) for w, r in ((None, MEAN), (WEIGHT, NONE), (WEIGHT, MEAN), (None, SUM))]
    found += [
        sample(op, A, LABELS.clamp(min=1), None, MEAN, 1),
        sample(op, A, torch.full((4,), -100)),
    ]
    return found + [sample(op, A, LABELS, *m) for m in more]


CLASSES = [
    *classes("cross_entropy_loss.default", *((w, r, -100, 0.1) for w, r in product((None, WEIGHT), (NONE, MEAN, SUM)))),
    sample("cross_entropy_loss.default", A[0], torch.tensor(3)),
    sample("cross_entropy_loss.default", normal(2, 3, 2, 3), IMAGE_LABELS),
    sample("cross_entropy_loss.default", normal(2, 3, 2, 3), IMAGE_LABELS, uniform(3), MEAN, -100, 0.2),
    *(
        sample("cross_entropy_loss.default", A, uniform(4, 5), w, r, -100, s)
        for w, r, s in ((None, MEAN, 0.0), (WEIGHT, MEAN, 0.1), (WEIGHT, NONE, 0.0), (None, SUM, 0.1))
    ),
    sample("cross_entropy_loss.default", normal(2, 3, 4), uniform(2, 3, 4), uniform(3)),
    sample("cross_entropy_loss.default", A[0], uniform(5)),
    sample("cross_entropy_loss.default", 300 * A, LABELS),
    *classes("nll_loss.default"),
    *classes("nll_loss_nd.default"),
    sample("nll_loss.default", A[0], torch.tensor(3)),
    sample("nll_loss_nd.default", normal(2, 3, 2, 3), IMAGE_LABELS),
    sample("nll_loss2d.default", normal(2, 3, 2, 3), IMAGE_LABELS, uniform(3)),
    sample("nll_loss_forward.default", A, LABELS, WEIGHT, MEAN, -100),
    sample("nll_loss_forward.default", A, LABELS, None, NONE, -100),
    sample("nll_loss2d_forward.default", normal(2, 3, 2, 3), IMAGE_LABELS, uniform(3), SUM, -100),
    *(
        sample("multi_margin_loss.default", A, LABELS.clamp(min=0), p, 1, None, r)
        for p, r in ((1, MEAN), (2, SUM), (1, NONE))
    ),
    sample("multi_margin_loss.default", A, LABELS.clamp(min=0), 1, 0.5, WEIGHT),
    sample("multi_margin_loss.default", A[0], torch.tensor(3), 1, 1, None, NONE),
    sample("multi_margin_loss.default", torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([0])),
    *(
        sample("multilabel_margin_loss.default", A[:2], torch.tensor([[3, 0, -1, 1, 2], [-1, 0, 1, 2, 3]]), r)
        for r in (0, 1, 2)
    ),
    sample("multilabel_margin_loss.default", A[0], torch.tensor([3, 0, 1, -1, 2])),
    sample("multilabel_margin_loss.default", torch.tensor(0.5), torch.tensor(0)),
    sample("multi_margin_loss.default", torch.tensor(0.5), torch.tensor(0)),
    sample("cosine_similarity.default", torch.tensor(0.5), torch.tensor(-2.0), 0),
    *(
        Sample(
            "torch_nn._linear_cross_entropy_batch_chunked.default",
            (A, normal(3, 5), LABELS.clamp(-100, 2), bias, uniform(3), reduction, -100, 0.0, 2, *CHUNKS),
            no_gradient="torch keeps its derivatives in results that are compared with nothing",
        )
        for bias, reduction in ((normal(3), "mean"), (None, "sum"))
    ),
    *(
        sample_of_torch_nn("_linear_cross_entropy_batch_chunked_no_reduction", A, normal(3, 5), target, bias, None)
        for bias, target in ((normal(3), LABELS.clamp(-100, 2)), (None, LABELS.clamp(0, 2)))
    ),
]

# Arguments for which torch defines no derivative.
# (smooth_l1_loss with beta=0 has one for the target at equality that contradicts the one for the prediction: -1 both.)
HELD = {
    "smooth_l1_loss": ("target",),
    "soft_margin_loss": ("target",),
    "cross_entropy_loss": ("weight",),
    "multi_margin_loss": ("weight",),
}
HELD |= {f"nll_loss{kind}": ("weight",) for kind in ("", "_nd", "2d", "_forward", "2d_forward")}
HELD |= {f"binary_cross_entropy{kind}": ("weight", "pos_weight") for kind in ("", "_with_logits")}

SAMPLES = [
    replace(s, held=s.held or HELD.get(s.op.split(".")[1], ())) for s in NUMBERS + PROBABILITIES + DISTANCES + CLASSES
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_loss(case: Sample) -> None:
    check(case)


class Scored(torch.nn.Module):
    """A linear layer and its loss in chunks, for which torch keeps the scores in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(normal(3, 5) * 4)
        self.bias = torch.nn.Parameter(normal(3))

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        options = LinearCrossEntropyOptions(batch_chunk_size=2)
        return F.linear_cross_entropy(x, self.weight, target, linear_bias=self.bias, reduction="none", options=options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_scores_of_a_chunked_loss_are_not_rounded(dtype: torch.dtype) -> None:
    model, x, target = Scored().to(dtype), normal(64, 5).to(dtype), torch.arange(64) % 3
    torch_loss = model(x, target).double().detach().numpy()
    scores = x.double() @ model.weight.double().T + model.bias.double()
    exact = F.cross_entropy(scores, target, reduction="none").detach().numpy()
    jax_loss = regauge.to_jax(model, (x, target))(
        jnp.asarray(x.double().numpy(), str(dtype).removeprefix("torch.")), target.numpy()
    )
    assert jax_loss.dtype.name == str(dtype).removeprefix("torch.")
    ulp = torch.finfo(dtype).eps
    for loss in (torch_loss, np.asarray(jax_loss, np.float64)):
        np.testing.assert_allclose(loss, exact, rtol=ulp, atol=4e-6)  # and float32's rounding of scores up to 30

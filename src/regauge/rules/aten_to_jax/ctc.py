"""Connectionist temporal classification: the likelihood of a sequence of labels over all its alignments."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("ctc")


def log_of_sum(terms: Sequence[Array]) -> Array:
    """log(sum(exp(terms))), with derivative 0 where all terms are -inf."""
    largest = terms[0]
    for term in terms[1:]:
        largest = jnp.maximum(largest, term)
    shift = lax.stop_gradient(jnp.where(jnp.isneginf(largest), 0, largest))
    total = jnp.zeros_like(shift)
    for term in terms:
        total = total + jnp.exp(term - shift)
    return jnp.where(total == 0, -jnp.inf, jnp.log(jnp.where(total == 0, 1, total)) + shift)


def log_likelihood(log_probs: Array, targets: Array, input_lengths: Array, target_lengths: Array, blank: int) -> Array:
    """Logarithm of the probability of each target, summed over its alignments: [batch].

    Formula: https://www.cs.toronto.edu/~graves/icml_2006.pdf, section 4.1

    Args:
        log_probs: [time, batch, classes].
        targets: [batch, labels].
        input_lengths: [batch], steps that count.
        target_lengths: [batch], labels that count.
        blank: class of the blank.
    """
    steps, batch, _ = log_probs.shape
    # blank, label, blank, ..., label, blank; a label may follow the one before directly unless both are equal
    labels = jnp.full((batch, 2 * targets.shape[1] + 1), blank, targets.dtype).at[:, 1::2].set(targets)
    before = jnp.pad(labels, ((0, 0), (2, 0)), constant_values=blank)[:, :-2]
    direct = (labels != blank) & (labels != before)
    emitted = jnp.take_along_axis(log_probs, jnp.broadcast_to(labels, (steps, *labels.shape)), axis=2)

    def step(state: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        time, now = given
        one = jnp.pad(state, ((0, 0), (1, 0)), constant_values=-jnp.inf)[:, :-1]
        two = jnp.pad(state, ((0, 0), (2, 0)), constant_values=-jnp.inf)[:, :-2]
        after = log_of_sum([state, one, jnp.where(direct, two, -jnp.inf)]) + now
        return jnp.where((time < input_lengths)[:, None], after, state), None

    start = jnp.full(labels.shape, -jnp.inf, log_probs.dtype).at[:, 0].set(0)
    state, _ = lax.scan(step, start, (jnp.arange(steps), emitted))
    last = 2 * target_lengths[:, None]
    ends = jnp.take_along_axis(state, jnp.concatenate([last, jnp.maximum(last - 1, 0)], axis=1), axis=1)
    return log_of_sum([ends[:, 0], jnp.where(target_lengths > 0, ends[:, 1], -jnp.inf)])


@TABLE.rule("aten.ctc_loss.Tensor")
def ctc_loss(
    log_probs: Array,
    targets: Array,
    input_lengths: Array,
    target_lengths: Array,
    blank: int = 0,
    reduction: int = 1,
    zero_infinity: bool = False,
) -> Array:
    """ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank=0, int reduction=1, bool zero_infinity=False) -> Tensor"""  # noqa: E501
    single = log_probs.ndim == 2
    scores = log_probs[:, None] if single else log_probs
    batch = scores.shape[1]
    times, counts = input_lengths.reshape(-1), target_lengths.reshape(-1)
    if targets.ndim == 2:
        rows = targets
    elif single:
        rows = targets[None]
    else:  # all targets one after another: each row reads on from where its own begins
        rows = jnp.pad(targets, (0, targets.shape[0]))
        rows = rows[(jnp.cumsum(counts) - counts)[:, None] + jnp.arange(targets.shape[0])]
    loss = -log_likelihood(scores, rows, times, counts, blank)
    # torch's derivative is that by the logits below a log_softmax: it has the probabilities beside the true one
    counted = (jnp.arange(scores.shape[0])[:, None] < times)[..., None]
    probabilities = jnp.where(counted, jnp.exp(scores), 0)
    loss = loss + jnp.sum(probabilities - lax.stop_gradient(probabilities), axis=(0, 2))
    if zero_infinity:
        loss = jnp.where(jnp.isinf(loss), 0, loss)
    if reduction == 1:
        return jnp.sum(loss / jnp.maximum(counts, 1)) / batch
    if reduction == 2:
        return jnp.sum(loss)
    return loss[0] if single else loss

"""The original of the pair: BERT of the base size from transformers with a classifier, weights drawn at random."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

import regauge

BATCH, TOKENS = 2, 16


def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs["logits"], targets)


def case() -> regauge.Case:
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(num_labels=3))
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 30000, (BATCH, TOKENS), generator=generator)
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    return regauge.Case(model, inputs, torch.tensor([0, 2]), loss, optimizer, name="bert-base")

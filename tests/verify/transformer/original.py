"""The original of the hand-made transformer conversion: one block with attention, GELU and dropout, masked pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regauge import Case, optimizers

WIDTH, HEADS, WORDS = 16, 2, 20


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.fc1 = nn.Linear(WIDTH, WIDTH)
        self.fc2 = nn.Linear(WIDTH, WIDTH)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, time, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, time, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -1e4)
        mixed = (self.drop(scores.softmax(-1)) @ v).transpose(1, 2).reshape(batch, time, WIDTH)
        x = x + self.drop(self.proj(mixed))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=0)
        self.block = Block()
        self.register_buffer("scale", torch.tensor([0.5, 2.0]))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = self.block(self.words(ids), mask)
        weights = mask[..., None].to(x.dtype)
        pooled = (x * weights).sum(1) / weights.sum(1).clamp(min=1)
        return {"logits": self.head(pooled) * self.scale[1], "best": x.sum(-1).argmax(-1)}


def case() -> Case:
    torch.manual_seed(0)
    model = Encoder()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(0, WORDS, (4, 6), generator=random)
    mask = torch.ones(4, 6, dtype=torch.int64)
    mask[1, 4:] = 0
    schedule = optimizers.LinearWarmup(total_iters=4, start_factor=0.25)
    return Case(
        model,
        inputs={"ids": ids, "mask": mask},
        targets=torch.tensor([0, 2, 1, 2]),
        loss=lambda outputs, targets: F.cross_entropy(outputs["logits"], targets),
        optimizer=optimizers.Adam(lr=1e-3, schedule=schedule),
    )


def without_loss() -> Case:
    found = case()
    return Case(found.model, inputs=found.inputs)

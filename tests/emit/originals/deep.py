"""Models of equal layers in a row, as people write them, and some whose layers only look equal."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge

WORDS, WIDTH, HEADS, DEPTH, TOKENS = 53, 16, 2, 4, 6


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, rate: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, rate
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        rate = self.rate if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)
        return self.proj(x.transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
    """A layer of GPT-2: norms before attention and before the two linear layers."""

    def __init__(self, dim: int, heads: int, rate: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads, rate)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(rate)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.drop(self.attn(self.ln_1(x), mask))
        return x + self.drop(self.mlp(self.ln_2(x)))


class GPT(nn.Module):
    """tokens: int64[batch, 6]  ->  logits: float32[batch, 6, 53]"""

    def __init__(self, depth: int = DEPTH, rate: float = 0.2) -> None:
        super().__init__()
        self.wte = nn.Embedding(WORDS, WIDTH)
        self.wpe = nn.Embedding(TOKENS, WIDTH)
        self.drop = nn.Dropout(rate)
        self.h = nn.ModuleList(Block(WIDTH, HEADS, rate) for _ in range(depth))
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, WORDS, bias=False)
        self.register_buffer("mask", torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril())

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.drop(self.wte(tokens) + self.wpe.weight)
        for block in self.h:
            x = block(x, self.mask)
        return self.lm_head(self.ln_f(x))


class Encoder(nn.Module):
    """PyTorch's own encoder layers, as BERT has them; padded tokens are masked in each.

    tokens: int64[batch, 6]  ->  scores: float32[batch, 3]
    """

    def __init__(self, depth: int = DEPTH, rate: float = 0.2) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(WORDS, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, rate, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.classifier = nn.Linear(WIDTH, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.encoder(self.embeddings(tokens), src_key_padding_mask=tokens == 0)
        return self.classifier(x[:, 0])


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.bn(self.conv(x)))


class Residuals(nn.Module):
    """images: float32[batch, 3, 8, 8]  ->  scores: float32[batch, 5]; the layers are an nn.Sequential."""

    def __init__(self, depth: int = DEPTH) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*[Residual(8) for _ in range(depth)])
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))


class Gated(nn.Module):
    def __init__(self, inputs: int, outputs: int, rate: float = 0.0) -> None:
        super().__init__()
        self.up = nn.Linear(inputs, 2 * outputs)
        self.norm = nn.LayerNorm(outputs)
        self.drop = nn.Dropout(rate)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.up(x).chunk(2, dim=-1)
        return self.drop(self.norm(a * torch.sigmoid(b)))


class Chain(nn.Module):
    """x: float32[batch, 8]  ->  float32[batch, width]; the layers are given."""

    def __init__(self, layers: list[nn.Module], taps: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.taps = taps

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for layer in self.layers:
            x = layer(x)
            seen.append(x)
        return torch.stack(seen) if self.taps else x


class Noisy(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x) + 0.1 * torch.randn_like(x))


class Positions(nn.Module):
    """Every layer gets a row of its own, all taken at once or each when it is needed."""

    def __init__(self, at_once: bool = True) -> None:
        super().__init__()
        self.at_once = at_once
        self.rows = nn.Parameter(torch.randn(3, 8))
        self.layers = nn.ModuleList(Shifted() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.rows.unbind() if self.at_once else None
        for number, layer in enumerate(self.layers):
            x = layer(x, rows[number] if rows else self.rows[number])
        return x


class Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        return self.norm(self.linear(x) + row)


def gpt() -> regauge.Case:
    torch.manual_seed(0)
    tokens = torch.randint(0, WORDS, (3, TOKENS))
    model = GPT()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-3
    )

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return regauge.Case(model, (tokens,), tokens.roll(-1, 1), loss, optimizer, "gpt", layers="scan")


def encoder() -> regauge.Case:
    torch.manual_seed(0)
    tokens, labels = torch.randint(1, WORDS, (4, TOKENS)), torch.tensor([0, 1, 2, 1])
    tokens[:2, 4:] = 0
    optimizer = regauge.optimizers.SGD(lr=1e-2, momentum=0.9, clip_norm=0.5)
    return regauge.Case(Encoder(), (tokens,), labels, F.cross_entropy, optimizer, "encoder", layers="scan")


def residuals() -> regauge.Case:
    torch.manual_seed(0)
    images, labels = torch.randn(4, 3, 8, 8), torch.randint(0, 5, (4,))
    optimizer = regauge.optimizers.Adam(lr=1e-3)
    return regauge.Case(Residuals(), (images,), labels, F.cross_entropy, optimizer, "residuals", layers="scan")

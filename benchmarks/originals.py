"""The two networks of the benchmarks as cases, in PyTorch: an encoder like BERT and a residual network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge

VOCABULARY, WIDTH, HEADS, DEPTH, TOKENS, CLASSES = 2048, 256, 4, 4, 64, 8


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q = self.query(x).view(b, t, self.heads, -1).transpose(1, 2)
        k = self.key(x).view(b, t, self.heads, -1).transpose(1, 2)
        v = self.value(x).view(b, t, self.heads, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Encoder(nn.Module):
    """tokens: int64[batch, 64]  ->  scores: float32[batch, 8]"""

    def __init__(self, depth: int = DEPTH, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Parameter(0.02 * torch.randn(TOKENS, width))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.classifier = nn.Linear(width, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.tokens(tokens) + self.positions)
        for layer in self.layers:
            x = layer(x)
        return self.classifier(x.mean(1))


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """images: float32[batch, 3, 32, 32]  ->  scores: float32[batch, 10]"""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(32)
        self.blocks = nn.ModuleList([Block(32, 32, 1), Block(32, 64, 2), Block(64, 128, 2), Block(128, 128, 1)])
        self.classifier = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(images)))
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean((2, 3)))


def encoder() -> regauge.Case:
    torch.manual_seed(0)
    tokens, labels = torch.randint(0, VOCABULARY, (16, TOKENS)), torch.randint(0, CLASSES, (16,))
    optimizer = regauge.optimizers.AdamW(lr=1e-4, weight_decay=1e-2)
    return regauge.Case(Encoder(), (tokens,), labels, F.cross_entropy, optimizer, "encoder")


def resnet() -> regauge.Case:
    torch.manual_seed(0)
    images, labels = torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,))
    optimizer = regauge.optimizers.SGD(lr=1e-2, momentum=0.9)
    return regauge.Case(ResNet(), (images,), labels, F.cross_entropy, optimizer, "resnet")

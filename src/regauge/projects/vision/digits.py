"""A small residual network on real handwritten digits: batch norm, dropout, SGD with momentum.

The 1,797 images of 8 x 8 pixels ship inside scikit-learn, so nothing is downloaded.
Network: He et al., Deep Residual Learning, arXiv 1512.03385, with a third of the layers of its ResNet-20.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge

BATCH = 64
SEED = 0


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm around a shortcut, projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class DigitNet(nn.Module):
    """(batch, 1, 8, 8) float32 images to (batch, 10) scores."""

    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.stages = nn.Sequential(
            Block(width, width),
            Block(width, 2 * width, stride=2),
            Block(2 * width, 4 * width, stride=2),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(4 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(images)))
        x = self.stages(x)
        x = x.mean(dim=(2, 3))
        return self.classifier(self.dropout(x))


def load(count: int = BATCH) -> tuple[Tensor, Tensor]:
    """The first `count` digits after a fixed shuffle: (count, 1, 8, 8) float32 in [0, 1], (count,) int64."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = torch.randperm(len(digits.images), generator=torch.Generator().manual_seed(SEED))[:count].numpy()
    images = torch.tensor(digits.images[order], dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(digits.target[order], dtype=torch.int64)


def build() -> DigitNet:
    """The network with seeded weights, and running statistics away from the neutral 0 and 1, where errors hide."""
    torch.manual_seed(SEED)
    model = DigitNet()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


def case() -> regauge.Case:
    """DigitNet with a batch of 64 digits, cross-entropy, and SGD with momentum, weight decay, cosine and clipping."""
    images, labels = load()
    optimizer = regauge.optimizers.SGD(
        lr=0.05, momentum=0.9, weight_decay=5e-4, schedule=regauge.optimizers.Cosine(T_max=1000), clip_norm=1.0
    )
    return regauge.Case(build(), (images,), targets=labels, loss=F.cross_entropy, optimizer=optimizer, name="digits")

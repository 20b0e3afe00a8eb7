"""Networks of the usual kinds in plain torch, as a person writes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge
from regauge.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop


class DoubleConv(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.1),
        )


class UNet(nn.Module):
    """images: float32[batch, 3, 16, 16]  ->  masks: float32[batch, 2, 16, 16]"""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = DoubleConv(3, 8)
        self.pool = nn.MaxPool2d(2)
        self.down2 = DoubleConv(8, 16)
        self.middle = DoubleConv(16, 32)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.up2 = DoubleConv(32, 16)
        self.resize = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.reduce = nn.Conv2d(16, 8, 1)
        self.up1 = DoubleConv(16, 8)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        a = self.down1(images)
        b = self.down2(self.pool(a))
        x = self.middle(F.avg_pool2d(b, 2))
        x = self.up2(torch.cat([b, self.up(x)], dim=1))
        x = self.up1(torch.cat([a, self.reduce(self.resize(x))], dim=1))
        return self.head(x)


class Tagger(nn.Module):
    """tokens: int64[batch, time]  ->  tags: float32[batch, time, 5]; a two-layer bidirectional LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 12, padding_idx=0)
        self.lstm = nn.LSTM(12, 16, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        x, _ = self.lstm(self.embed(tokens))
        return self.head(x)


class Forecaster(nn.Module):
    """series: float32[batch, time, 3]  ->  (next: float32[batch, 3], hidden: float32[1, batch, 10]); a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 10, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, series: Tensor) -> tuple[Tensor, Tensor]:
        x, hidden = self.gru(series)
        return self.head(x[:, -1]), hidden


class PackedReader(nn.Module):
    """tokens: int64[batch, time], lengths: int64[batch] on the CPU  ->  float32[batch, 5]"""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 12)
        self.gru = nn.GRU(12, 16, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        x = self.embed(tokens)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, hidden = self.gru(packed)
        return self.head(hidden[-1])


class PackedTagger(nn.Module):
    """tokens: int64[batch, time], lengths: int64[batch] on the CPU  ->  (tags: float32[batch, time, 5], states)"""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 12, padding_idx=0)
        self.lstm = nn.LSTM(12, 16, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.embed(tokens)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, (hidden, cell) = self.lstm(packed)
        x, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=tokens.shape[1])
        return self.head(x), hidden, cell


class MixerBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.norm2 = nn.LayerNorm(width)
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """images: float32[batch, 3, 16, 16]  ->  scores: float32[batch, 5]"""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, stride=4)
        self.blocks = nn.Sequential(*[MixerBlock(16, 16) for _ in range(2)])
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


class AutoEncoder(nn.Module):
    """x: float32[batch, 20]  ->  reconstruction in (0, 1): float32[batch, 20]"""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 12), nn.ELU(), nn.Dropout(0.1), nn.Linear(12, 4), nn.Tanh())
        self.decoder = nn.Sequential(nn.Linear(4, 12), nn.SiLU(), nn.Linear(12, 20), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def _norms(model: nn.Module) -> nn.Module:
    """Statistics and affine weights away from 0 and 1, where errors hide."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5, generator=generator)  # type: ignore[union-attr]
    return model


def unet() -> regauge.Case:
    torch.manual_seed(0)
    targets = torch.randint(0, 2, (4, 16, 16))
    optimizer = RMSprop(lr=1e-3, momentum=0.5, clip_norm=1.0)
    return regauge.Case(_norms(UNet()), (torch.randn(4, 3, 16, 16),), targets, F.cross_entropy, optimizer, "unet")


def lstm() -> regauge.Case:
    torch.manual_seed(0)
    tokens, targets = torch.randint(1, 40, (4, 9)), torch.randint(0, 5, (4, 9))
    tokens[2, 6:] = 0

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.transpose(1, 2), targets, label_smoothing=0.1)

    return regauge.Case(Tagger(), (tokens,), targets, loss, Adagrad(lr=1e-2), "lstm")


def gru() -> regauge.Case:
    torch.manual_seed(0)

    def loss(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        return F.huber_loss(outputs[0], targets) + 1e-3 * outputs[1].square().mean()

    return regauge.Case(Forecaster(), (torch.randn(4, 9, 3),), torch.randn(4, 3), loss, Adam(lr=1e-2), "gru")


def packed() -> regauge.Case:
    torch.manual_seed(0)
    inputs = (torch.randint(0, 40, (4, 9)), torch.tensor([9, 4, 7, 1]))
    return regauge.Case(PackedReader(), inputs, torch.arange(4), F.cross_entropy, Adam(lr=1e-2), "packed")


def packed_lstm() -> regauge.Case:
    torch.manual_seed(0)
    lengths = torch.tensor([8, 4, 7, 1])  # none is as long as the padded batch
    tokens, targets = torch.randint(1, 40, (4, 9)), torch.randint(0, 5, (4, 9))

    def loss(outputs: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> Tensor:
        tags, hidden, cell = outputs
        return F.cross_entropy(tags.transpose(1, 2), targets) + 0.1 * (hidden.square().mean() + cell.abs().mean())

    return regauge.Case(PackedTagger(), (tokens, lengths), targets, loss, AdamW(lr=1e-2), "packed_lstm")


def mixer() -> regauge.Case:
    torch.manual_seed(0)
    images, targets = torch.randn(4, 3, 16, 16), torch.arange(4)
    return regauge.Case(_norms(Mixer()), (images,), targets, F.cross_entropy, SGD(lr=1e-2, momentum=0.9), "mixer")


def autoencoder() -> regauge.Case:
    """The sum of every loss that people train an autoencoder with."""
    torch.manual_seed(0)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (
            F.mse_loss(outputs, targets)
            + F.l1_loss(outputs, targets)
            + F.smooth_l1_loss(outputs, targets, beta=0.5)
            + F.huber_loss(outputs, targets, delta=0.3)
            + F.binary_cross_entropy(outputs, targets)
            + F.binary_cross_entropy_with_logits(outputs, targets, pos_weight=torch.full((20,), 2.0))
            + F.kl_div(F.log_softmax(outputs, -1), F.softmax(targets, -1), reduction="batchmean")
            + (1 - F.cosine_similarity(outputs, targets, dim=-1)).mean()
            + F.poisson_nll_loss(outputs, targets, log_input=True)
            + F.gaussian_nll_loss(outputs, targets, torch.full_like(outputs, 0.7))
        )

    x = torch.rand(6, 20)
    return regauge.Case(AutoEncoder(), (x,), x, loss, AdamW(lr=1e-2), "autoencoder")

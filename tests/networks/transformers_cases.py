"""Small random models of the transformers library as cases: the families that people port most."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ConvNextConfig,
    ConvNextForImageClassification,
    EfficientNetConfig,
    EfficientNetForImageClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

import regauge
from regauge.optimizers import SGD, Adam, AdamW

CLASSES = 5


def _classification(outputs: Any, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs["logits"], targets)


def _next_token(outputs: Any, targets: Tensor) -> Tensor:
    logits = outputs["logits"]
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=-100)


def _seed(model: PreTrainedModel) -> PreTrainedModel:
    """Weights away from the neutral values that hide errors: biases and norm weights too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1, generator=generator)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)
    return model.train()


def _images(size: int, batch: int = 4) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(batch, 3, size, size)}


def _tokens(vocabulary: int, batch: int = 3, length: int = 12, padded: bool = True) -> dict[str, Tensor]:
    mask = torch.ones(batch, length, dtype=torch.long)
    if padded:
        mask[1, 9:] = 0
    return {"input_ids": torch.randint(0, vocabulary, (batch, length)), "attention_mask": mask}


def _labels(batch: int) -> Tensor:
    return torch.arange(batch) % CLASSES


def resnet() -> regauge.Case:
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="bottleneck", num_labels=CLASSES
    )
    model = _seed(ResNetForImageClassification(config))
    optimizer = SGD(lr=1e-2, momentum=0.9, nesterov=True, weight_decay=1e-4)
    return regauge.Case(model, _images(32), _labels(4), _classification, optimizer, "resnet")


def efficientnet() -> regauge.Case:
    torch.manual_seed(0)
    config = EfficientNetConfig(
        image_size=32,
        width_coefficient=0.25,
        depth_coefficient=0.5,
        hidden_dim=320,
        num_labels=CLASSES,
        dropout_rate=0.1,
    )
    model = _seed(EfficientNetForImageClassification(config))
    return regauge.Case(model, _images(32), _labels(4), _classification, Adam(lr=1e-3), "efficientnet")


def convnext() -> regauge.Case:
    torch.manual_seed(0)
    config = ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 2, 1], num_labels=CLASSES, image_size=32)
    model = _seed(ConvNextForImageClassification(config))
    return regauge.Case(model, _images(32), _labels(4), _classification, AdamW(lr=1e-3), "convnext")


def bert() -> regauge.Case:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        num_labels=CLASSES,
    )
    model = _seed(BertForSequenceClassification(config))
    return regauge.Case(model, _tokens(99), _labels(3), _classification, AdamW(lr=1e-3, clip_norm=1.0), "bert")


def gpt2() -> regauge.Case:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=99, n_positions=32, n_embd=32, n_layer=2, n_head=4, use_cache=False)
    model = _seed(GPT2LMHeadModel(config))
    inputs = _tokens(99)
    return regauge.Case(model, inputs, inputs["input_ids"].roll(-1, 1), _next_token, AdamW(lr=1e-3), "gpt2")


def llama() -> regauge.Case:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=99,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        use_cache=False,
    )
    model = _seed(LlamaForCausalLM(config))
    inputs = _tokens(99)
    return regauge.Case(model, inputs, inputs["input_ids"].roll(-1, 1), _next_token, AdamW(lr=1e-3), "llama")


def t5() -> regauge.Case:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=99,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
        decoder_start_token_id=0,
        use_cache=False,
    )
    model = _seed(T5ForConditionalGeneration(config))
    inputs = _tokens(99) | {"decoder_input_ids": torch.randint(0, 99, (3, 7))}
    targets = torch.randint(0, 99, (3, 7))
    return regauge.Case(model, inputs, targets, _next_token, Adam(lr=1e-3), "t5")


def vit() -> regauge.Case:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        num_labels=CLASSES,
    )
    model = _seed(ViTForImageClassification(config))
    return regauge.Case(model, _images(32), _labels(4), _classification, AdamW(lr=1e-3), "vit")


def swin() -> regauge.Case:
    torch.manual_seed(0)
    config = SwinConfig(
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        num_labels=CLASSES,
        drop_path_rate=0.0,
    )
    model = _seed(SwinForImageClassification(config))
    return regauge.Case(model, _images(32), _labels(4), _classification, AdamW(lr=1e-3), "swin")

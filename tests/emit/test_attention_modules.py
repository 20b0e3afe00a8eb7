"""`nn.MultiheadAttention` and torch's transformers as a person would write them: same numbers, same gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge

PADDING = torch.tensor([[False, False, False, True], [False, False, True, True], [False] * 4])


class Attend(nn.Module):
    """One attention module, called with what the model is called with."""

    def __init__(self, need_weights: bool = False, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **options)
        self.need_weights = need_weights

    def forward(
        self,
        x: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        padding: Tensor | None = None,
    ) -> Any:
        key = x if key is None else key
        value = key if value is None else value
        found, weights = self.attention(
            x, key, value, key_padding_mask=padding, need_weights=self.need_weights, attn_mask=mask
        )
        return (found, weights) if self.need_weights else found


def arrays(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def later(queries: int, keys: int) -> Tensor:
    return torch.ones(queries, keys, dtype=torch.bool).triu(1)


CASES: dict[str, Any] = {
    "self": lambda: (Attend(batch_first=True), arrays((3, 5, 8))),
    "time first": lambda: (Attend(), arrays((5, 3, 8))),
    "boolean mask": lambda: (Attend(batch_first=True), (*arrays((3, 5, 8)), None, None, later(5, 5))),
    "float mask": lambda: (Attend(batch_first=True), (*arrays((3, 5, 8)), None, None, *arrays((5, 5)))),
    "memory with padding": lambda: (Attend(), (*arrays((5, 3, 8), (4, 3, 8)), None, None, PADDING)),
    "masks of both kinds, weights": lambda: (
        Attend(need_weights=True, batch_first=True),
        (*arrays((3, 5, 8), (3, 4, 8), (3, 4, 8), (6, 5, 4)), PADDING),
    ),
    "widths of their own": lambda: (
        Attend(need_weights=True, kdim=6, vdim=10, batch_first=True),
        (*arrays((3, 5, 8), (3, 4, 6), (3, 4, 10)), None, PADDING),
    ),
    "more keys": lambda: (
        Attend(need_weights=True, add_bias_kv=True, add_zero_attn=True),
        (*arrays((5, 3, 8), (4, 3, 8), (4, 3, 8)), later(5, 4)),
    ),
    "one more key, no biases": lambda: (
        Attend(bias=False, add_bias_kv=True, batch_first=True),
        (*arrays((3, 5, 8), (3, 4, 8)), None, later(5, 4)),
    ),
    "one sequence": lambda: (
        Attend(need_weights=True, batch_first=True),
        (*arrays((5, 8), (4, 8), (4, 8)), None, PADDING[0]),
    ),
}


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("name", CASES)
def test_attention_is_torchs(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = CASES[name]()
    assert_like_torch(model, inputs)


def test_a_query_that_sees_nothing_gets_what_torch_gives_it() -> None:
    torch.manual_seed(0)
    hides_all = torch.zeros(5, 5, dtype=torch.bool)
    hides_all[2] = True
    assert_like_torch(Attend(batch_first=True), (*arrays((3, 5, 8)), None, None, hides_all))


def body(source: str, name: str) -> str:
    """The text of `__call__` of a class of an emitted file."""
    return source.split(f"class {name}(")[1].split("def __call__")[1].split("\nclass ")[0].split("\ndef ")[0]


def test_self_attention_reads_as_written_by_hand() -> None:
    model, inputs = CASES["self"]()
    lines = [line.split("  #")[0].strip() for line in body(regauge.to_jax(model, inputs).source, "MultiheadAttention")
             .strip().splitlines()]  # fmt: skip
    assert lines[1:] == [
        "batch = query.shape[0]",
        "q, k, v = jnp.split(query @ self.in_proj_weight[...].T + self.in_proj_bias[...], 3, axis=-1)",
        "q = q.reshape(-1, 5, 2, 4)",
        "k = k.reshape(-1, 5, 2, 4)",
        "v = v.reshape(-1, 5, 2, 4)",
        "attended = jax.nn.dot_product_attention(q, k, v)",
        "return self.out_proj(attended.reshape(batch, 5, -1))",
    ]


def test_the_last_projection_is_a_module_unless_torch_would_not_call_it() -> None:
    model, inputs = CASES["self"]()
    assert "self.out_proj = nnx.Linear(8, 8, rngs=rngs)" in regauge.to_jax(model, inputs).source

    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    model.attention.out_proj = Doubled(8, 8)  # of which torch reads the weights alone
    assert "self.out_proj(" not in assert_like_torch(model, inputs).source


class Pooling(nn.Module):
    """One query for an image, as CLIP pools it: torch's function with weights of other modules."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.q_proj, self.v_proj, self.c_proj = (nn.Linear(8, 8) for _ in range(3))
        self.k_proj = nn.Linear(8, 8, bias=False)  # by its bias the derivative is rounding alone
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).permute(2, 0, 1)
        x = torch.cat([x.mean(dim=0, keepdim=True), x], dim=0)
        biases = torch.cat([self.q_proj.bias, torch.zeros(8), self.v_proj.bias])
        pooled, _ = F.multi_head_attention_forward(
            x[:1], x, x, 8, 2, None, biases,
            None, None, False, self.dropout, self.c_proj.weight, self.c_proj.bias,
            use_separate_proj_weight=True, q_proj_weight=self.q_proj.weight, k_proj_weight=self.k_proj.weight,
            v_proj_weight=self.v_proj.weight, training=self.training, need_weights=False,
        )  # fmt: skip
        return pooled.squeeze(0)


def test_torchs_function_with_weights_of_other_modules() -> None:
    torch.manual_seed(0)
    source = assert_like_torch(Pooling(), arrays((2, 8, 3, 3))).source
    assert "attended = jax.nn.dot_product_attention(q, k, v)" in source


class Translation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        encoder = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(encoder, 2, enable_nested_tensor=False)
        decoder = nn.TransformerDecoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.decoder = nn.TransformerDecoder(decoder, 2)

    def forward(self, source: Tensor, target: Tensor, padding: Tensor) -> Tensor:
        memory = self.encoder(source, src_key_padding_mask=padding)
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.decoder(target, memory, tgt_mask=mask, memory_key_padding_mask=padding, tgt_is_causal=True)


def test_layers_of_torchs_transformer_keep_the_statements_and_names_of_its_own_code() -> None:
    torch.manual_seed(0)
    source = assert_like_torch(Translation(), (*arrays((3, 4, 8), (3, 5, 8)), PADDING)).source
    assert "memory = self.encoder(source" in source
    assert "x = x + self.dropout1(self.self_attn(self.norm1(x)" in body(source, "TransformerEncoderLayer")
    decoder = body(source, "TransformerDecoderLayer")
    assert "(self, tgt, memory, memory_key_padding_mask)" in decoder
    assert "x = self.norm1(tgt + self.dropout1(self.self_attn(tgt)))" in decoder


def test_weights_are_dropped_by_a_switch() -> None:
    model = Attend(need_weights=True, dropout=0.5, batch_first=True)
    converted = regauge.to_jax(model, arrays((3, 5, 8)), train=True)
    assert "weights = self.dropout(weights)" in converted.source
    assert "nnx.Dropout(0.5, rngs=rngs)" in converted.source
    assert not any(finding.code == "C120" for finding in converted.findings)

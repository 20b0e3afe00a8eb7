"""Models of the transformers library, small and random: keyword inputs, dataclass outputs, tied weights."""

from __future__ import annotations

import torch
import transformers as t
from comparing import assert_captures, assert_same, ops, run_graph

from regauge.capture.containers import plain
from regauge.capture.torch_export import capture_module


def tokens(batch=3, length=7):
    return torch.randint(1, 40, (batch, length))


def bert():
    config = t.BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    return t.BertForSequenceClassification(config)


def gpt2():
    config = t.GPT2Config(vocab_size=40, n_embd=8, n_layer=2, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0)
    return t.GPT2LMHeadModel(config)


def llama():
    config = t.LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=16,
    )
    return t.LlamaForCausalLM(config)


def swin():
    config = t.SwinConfig(image_size=16, patch_size=4, embed_dim=4, depths=[2], num_heads=[2], window_size=2)
    return t.SwinForImageClassification(config)


def masked(batch=3, length=7):
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[0, length // 2 :] = 0
    return {"input_ids": tokens(batch, length), "attention_mask": mask}


def test_bert():
    model = bert().eval()
    captured = assert_captures(model, masked(), train=False, others=(masked(5, 4),))
    graph = captured.graph
    assert graph.in_tree == {"dict": {"input_ids": {"leaf": "input_ids"}, "attention_mask": {"leaf": "attention_mask"}}}
    assert graph.out_tree == {"dict": {"logits": {"leaf": graph.outputs[0].name}}, "type": "SequenceClassifierOutput"}
    names = [symbol.name for symbol in graph.symbols]
    assert names[:2] == ["batch", "sequence"]
    assert ops(graph).count("aten.scaled_dot_product_attention.default") == 2
    paths = [node.origin.path for node in graph.nodes if node.op == "aten.linear.default"]
    assert "bert.encoder.layer.1.attention.self.query" in paths


def test_bert_in_training_needs_one_export():
    captured = assert_captures(bert(), masked(), train=True)
    assert captured.graph_eval is None
    rates = {n.argument("dropout_p") for n in captured.graph.nodes if "scaled_dot_product" in n.op}
    assert rates == {0.1}


def test_gpt2_ties_its_embedding():
    captured = assert_captures(gpt2(), {"input_ids": tokens(), "use_cache": False}, train=True)
    (tied,) = (w for w in captured.graph.weights if w.tied_to)
    assert (tied.name, tied.tied_to) == ("lm_head.weight", "transformer.wte.weight")
    assert captured.graph.in_tree["dict"]["use_cache"] == {"value": False}


def seq2seq():
    config = t.T5Config(vocab_size=40, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
    return t.T5ForConditionalGeneration(config)


def test_a_cache_in_the_outputs_is_a_list_of_keys_and_values():
    model, inputs = gpt2().eval(), {"input_ids": tokens()}
    captured = capture_module(model, inputs, train=False)
    expected = model(**inputs)
    found = run_graph(captured.graph, captured.tensors, inputs).outputs["past_key_values"]
    assert [list(layer) for layer in found] == [["keys", "values"], ["keys", "values"]]
    for layer, wanted in zip(found, expected.past_key_values.layers, strict=True):
        torch.testing.assert_close(layer["keys"], wanted.keys)
        torch.testing.assert_close(layer["values"], wanted.values)
    (finding,) = [finding for finding in captured.findings if finding.code == "C242"]
    assert "a DynamicCache in past_key_values" in finding.text
    assert "use_cache=False" in finding.text
    assert "aten.cat.default" not in ops(captured.graph)  # with the empty tensors that the cache begins with


def test_a_cache_of_an_encoder_and_a_decoder_has_both():
    model, inputs = seq2seq().eval(), {"input_ids": tokens(), "decoder_input_ids": tokens(3, 4)}
    captured = capture_module(model, inputs, train=False)
    (own,), (cross,) = (captured.outputs["past_key_values"][f"{kind}_attention_cache"] for kind in ("self", "cross"))
    assert own["keys"].shape == (3, 2, 4, 4)
    assert cross["values"].shape == (3, 2, 7, 4)
    found = run_graph(captured.graph, captured.tensors, inputs).outputs
    assert_same(found, plain(model(**inputs)))


def test_llama_rotates_without_gradient():
    captured = assert_captures(llama(), {"input_ids": tokens(), "use_cache": False}, train=True)
    assert not [op for op in ops(captured.graph) if op.startswith("higher_order.")]
    (attention, _) = (n for n in captured.graph.nodes if "scaled_dot_product" in n.op)
    assert attention.origin.path == "model.layers.0.self_attn"


def test_drop_path_is_different_code_in_evaluation():
    captured = assert_captures(swin(), (torch.randn(2, 3, 16, 16),), train=True)
    assert captured.graph_eval is not None
    (finding,) = (f for f in captured.findings if f.code == "C120")
    assert "drop_path" in finding.text

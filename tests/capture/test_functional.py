"""Captured graphs are functional and compute what the model does: in-place operations, views, state, regions."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from comparing import assert_captures, ops
from torch import nn
from torch._decomp import decompositions

from regauge.capture.arguments import written
from regauge.capture.inplace import functional
from regauge.capture.torch_export import capture_module
from regauge.errors import CaptureError
from regauge.ir.graph import Origin, Ref, Sym, node_inputs


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.norm(self.conv(x))) * 0.5
        y += x
        return self.relu(y)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.Sequential(Block(), Block())
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(4, 5)

    def forward(self, images):
        x = self.blocks(self.stem(images))
        return self.head(self.dropout(x.mean((2, 3))))


def images(batch=3):
    return (torch.randn(batch, 3, 6, 6),)


@pytest.mark.parametrize("train", [True, False])
def test_residual_network_in_both_modes(train):
    captured = assert_captures(Residual(), images(), train=train, others=(images(2), images(7)))
    graph = captured.graph
    norms = [node for node in graph.nodes if node.op == "aten.batch_norm.default"]
    assert [len(node.outputs) for node in norms] == [3, 3] if train else [1, 1]
    assert len(graph.mutations) == (6 if train else 0)
    (dropout,) = (node for node in graph.nodes if node.op == "aten.dropout.default")
    assert dropout.argument("p") == 0.3
    assert dropout.argument("train") is train
    assert not [op for op in ops(graph) if op.split(".")[1].endswith("_")]
    assert captured.graph_eval is None


def test_repeated_calls_and_lines_are_told_apart():
    graph = capture_module(Residual(), images(), train=False).graph
    relus = [node for node in graph.nodes if node.op == "aten.relu.default"]
    assert [node.origin.path for node in relus] == ["blocks.0.relu", "blocks.0.relu", "blocks.1.relu", "blocks.1.relu"]
    assert len({node.origin.modules[-1].call for node in relus}) == 4
    assert relus[0].origin.modules[0].type.endswith(".Residual")
    functions = [frame.function for frame in relus[0].origin.frames]
    assert functions == ["forward", "forward"]  # Residual's and Block's; torch's own are left out
    assert relus[0].origin.line.startswith("test_functional.py:")


def twice(x):
    return x.relu() * 2


def test_lines_of_functions_and_methods_that_forward_calls_are_recorded():
    class Calls(nn.Module):
        def prepared(self, x):
            return twice(F.normalize(x))

        def forward(self, x):
            return self.prepared(x)

    graph = capture_module(Calls(), (torch.randn(4, 6),), train=False).graph
    (relu,) = (node for node in graph.nodes if node.op == "aten.relu.default")
    assert [frame.function for frame in relu.origin.frames] == ["forward", "prepared", "twice"]
    assert relu.origin.line == f"test_functional.py:{twice.__code__.co_firstlineno + 1}"
    assert [frame.function for frame in graph.nodes[0].origin.frames] == ["forward", "prepared"]  # torch's are left out


def test_all_arguments_of_the_schema_are_there_in_its_order():
    class Scores(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    (node,) = capture_module(Scores(), (torch.randn(2, 3, 4),), train=False).graph.nodes
    names = ["query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa"]
    assert [name for name, _ in node.arguments] == names
    assert node.argument("dropout_p") == 0.0


def write_slice(x):
    y = x * 2
    y[:, 1] = 0
    y[:, 2:] = y[:, :2] + 1
    return y


def write_through_view(x):
    y = x.clone()
    flat = y.view(-1)
    flat[3] = 5.0
    flat.add_(1)
    return y, flat.sum()


def write_base_then_read_view(x):
    y = x + 0
    column = y[:, 0]
    y.mul_(3)
    return column, y


def write_transposed(x):
    y = x.clone()
    y.t()[1].copy_(torch.arange(y.shape[0]))
    y.transpose(0, 1)[0].zero_()
    y.unsqueeze(0).permute(2, 0, 1)[2].fill_(7)
    return y


def write_masked(x):
    y = x.clone()
    y.masked_fill_(y > 0, -1.0)
    y[y < -0.5] = 4.0
    y.clamp_(max=3.5)
    return y


def write_index(x):
    y = x.clone()
    rows = torch.tensor([0, 1, 1])
    y.index_put_((rows, torch.tensor([0, 1, 2])), torch.ones(3), accumulate=True)
    return y.scatter_(1, torch.tensor([[0], [1]]), 9.0)


def write_other_dtype(x):
    y = torch.zeros(x.shape, dtype=torch.float32)
    y.add_(x.double())
    y[0] = torch.arange(4)
    y.gt_(0.5)
    return y


def write_diagonal(x):
    y = x @ x.T
    y.diagonal().fill_(-1.0)
    return y


def write_parts(x):
    y = x.clone()
    first, second = y.split(2, dim=1)
    second += 1
    y.chunk(2, dim=1)[0].mul_(3)
    y.unbind(1)[3].zero_()
    return first, second


def write_to_out(x):
    y = torch.empty(x.shape)
    torch.add(x, 1, out=y)
    torch.mul(y, y, out=y)
    F.normalize(y, dim=1, out=y)
    return y


def keep_a_copy(x):
    y = x + 1
    before = y.clone()
    same = y.contiguous()
    y.add_(1)
    return before, same


def reshape_that_copies(x):
    y = (x + 1).t()
    copied = y.reshape(-1)
    viewed = y.reshape(4, 2)
    viewed.mul_(2)
    return copied, y


def write_in_a_loop(x):
    y = torch.empty(x.shape[0], 4)
    for i in range(4):
        y[:, i] = x[:, i] * i
    return y


def use_as_out_of_place(x):
    return F.relu(x + 1, inplace=True) + F.dropout(x * 2, 0.5, True, inplace=True)


def transpose_in_place(x):
    y = x + 1
    before = y[0]
    y.t_().unsqueeze_(0)
    y[0, 1] = 5.0
    y.squeeze_(0).transpose_(0, 1).swapaxes_(0, 1)
    return y, before, y.sum(0)


def write_under_other_names(x):
    y = x * 3
    y //= torch.tensor([1.5, -2.0, 0.5, 4.0])
    y.pow_(2).pow_(torch.tensor(2.0))
    z = x.double().float_power_(2).float_power_(torch.tensor(3.0))
    n = torch.arange(4) + 8
    n <<= 2
    n >>= torch.tensor([0, 1, 0, 2])
    n |= 1
    n ^= torch.tensor(6)
    n &= 127
    n.bitwise_left_shift_(1)
    return y, z, n, (x * x + 1).polygamma_(1), x.clone().ldexp_(torch.tensor(3)), x.clone().floor_divide_(2)


def write_diagonals(x):
    tall = torch.cat((x, x, x, x)).t().contiguous().t().clone()
    cube = x.new_ones(3, 3, 3)
    return x.clone().fill_diagonal_(7), tall.clone().fill_diagonal_(7, wrap=True), cube.fill_diagonal_(2)


def write_at_lists_of_tensors(x):
    y = x * 1
    rows, columns = zip(*torch.tensor([[0, 1], [1, 3]]), strict=True)
    y[rows, columns] = 5.0
    y[list(rows), 0] += y[(1, rows[0]), columns]
    return y


def write_through_other_views(x):
    y = x.clone()
    y.narrow(1, 1, 2).mul_(2)
    y.narrow(1, -1, 1).neg_()
    y.movedim(0, 1)[3].add_(1)
    y.swapaxes(0, 1)[0].sub_(y.mT[1])
    y.mT[2].exp_()
    y.ravel()[1::3].fill_(5)
    torch.view_as_real(torch.view_as_complex(y.view(2, 2, 2)))[..., 0].mul_(3)
    return y


def write_through_views_that_no_schema_names(x):
    y, z = x.clone(), x.clone()
    torch.atleast_3d(y)[0].mul_(2)
    torch.nn.functional.dropout2d(z[None], 0.5, training=False).add_(1)
    torch.nn.functional.dropout(z, 0.0, training=True).real.mul_(3)
    torch.einsum("ij->ji", y)[1].sub_(4)
    torch.einsum("...k->k...", z)[:1].fill_(7)
    torch.einsum("ji", y)[2].mul_(5)
    torch.einsum("b...a", z)[0].sub_(2)
    return y, z, y.t().ravel().add_(1)


FUNCTIONS = [
    write_slice,
    write_through_other_views,
    write_through_views_that_no_schema_names,
    write_through_view,
    write_base_then_read_view,
    write_transposed,
    write_masked,
    write_index,
    write_other_dtype,
    write_diagonal,
    write_parts,
    write_to_out,
    keep_a_copy,
    reshape_that_copies,
    write_in_a_loop,
    use_as_out_of_place,
    transpose_in_place,
    write_under_other_names,
    write_diagonals,
    write_at_lists_of_tensors,
]


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_writes_become_values(function):
    captured = assert_captures(Calls(function), (torch.randn(2, 4),), train=True)
    assert not [op for op in ops(captured.graph) if op.split(".")[1].removesuffix("__").endswith("_")]


# What changes the memory of a tensor, or its flags; what is not for dense tensors; what only optimizers and
# generators of quasi-random numbers call; what is written otherwise (`_filled_diagonal`).
WITHOUT_COUNTERPART = re.compile(
    r"aten\.(set_|resize_|resize_as_|rename_|requires_grad_|.*sparse.*|_coalesced_|_cslt.*|copy_sparse.*|_resize.*|"
    r"_foreach.*|_fused.*|_amp.*|_sobol.*|fill_diagonal_|_fill_mem.*)\."
)


def test_every_in_place_operator_has_a_functional_counterpart():
    lacking, found = [], 0
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, rest = name.partition("::")
        packet, _, overload = rest.partition(".")
        if namespace != "aten" or not packet.endswith("_"):
            continue
        op = getattr(getattr(torch.ops.aten, packet), overload or "default")
        if written(op) != (op._schema.arguments[0].name,) or WITHOUT_COUNTERPART.match(str(op)):
            continue
        try:
            names = [argument.name for argument in functional(op, Origin())._schema.arguments]
        except CaptureError:
            lacking.append(str(op))
        else:
            found += 1
            assert len(names) == len(op._schema.arguments), op
    assert not lacking
    assert found > 200


def test_unfilled_tensors_are_zeros_in_the_graph():
    graph = capture_module(Calls(write_in_a_loop), (torch.randn(2, 4),), train=False).graph
    assert ops(graph)[0] == "aten.zeros.default"
    assert graph.nodes[0].argument("size") == (Sym("batch"), 4)


def test_identities_disappear():
    def nothing(x):
        y = x.contiguous().clone().to(torch.float32)[:].view(x.shape).expand_as(x)
        return torch.broadcast_tensors(y, x)[0] + torch.empty(0).sum()

    graph = capture_module(nothing, (torch.randn(2, 4),), train=False).graph
    assert "aten.add.Tensor" in ops(graph)
    assert not {"aten.contiguous.default", "aten.clone.default", "aten.slice.Tensor", "aten.to.dtype"} & set(ops(graph))
    (add,) = (node for node in graph.nodes if node.op == "aten.add.Tensor")
    assert add.argument("self") == Ref("x")


def test_casts_have_one_spelling():
    def cast(x, like):
        return x.half(), x.to(like), x.type_as(like), x.to("cpu", torch.bool), x.int().float()

    graph = capture_module(cast, (torch.randn(2), torch.ones(1, dtype=torch.float64)), train=False).graph
    assert set(ops(graph)) == {"aten.to.dtype"}
    assert len(graph.nodes) == 6


class Smoothed(nn.Module):
    """Keeps an average of what it sees, and a table that is no state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("average", torch.zeros(4))
        self.register_buffer("table", torch.arange(4.0), persistent=False)
        self.steps = nn.Buffer(torch.tensor(0))
        self.scale = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def forward(self, x):
        with torch.no_grad():
            self.average.mul_(0.9).add_(x.mean(0), alpha=0.1)
            self.steps += 1
            self.average[0] = 1.0
        return x * self.scale - self.average + self.table + torch.tensor(2.0)


@pytest.mark.parametrize("train", [True, False])
def test_buffers_are_carried_as_state(train):
    graph = assert_captures(Smoothed(), (torch.randn(3, 4),), train=train).graph
    assert dict(graph.mutations).keys() == {"average", "steps"}
    roles = {w.name: (w.role, w.persistent) for w in graph.weights}
    assert roles == {
        "average": ("buffer", True),
        "table": ("buffer", False),
        "steps": ("buffer", True),
        "scale": ("constant", False),
        "constant_0": ("constant", False),
        "constant_1": ("constant", False),
    }


def test_gradients_stop_where_no_grad_ends():
    class Stopped(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            with torch.no_grad():
                positions = torch.arange(4).float().sin()
                target = self.fc(x)
            with torch.autocast("cpu", enabled=False):
                y = self.fc(x) - target
            return y + positions

    graph = assert_captures(Stopped(), (torch.randn(2, 4),), train=True).graph
    stopped = [node for node in graph.nodes if node.op == "aten.detach.default"]
    assert len(stopped) == 1  # of the target; the positions have no gradient anyway
    (source,) = (node for node in graph.nodes if node.outputs[0].name == stopped[0].argument("self").name)
    assert source.op == "aten.linear.default"


def test_recurrent_layers_stay_whole():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True, dropout=0.25)
            self.gru = nn.GRU(10, 3, batch_first=True)
            self.cell = nn.GRUCell(3, 3)

        def forward(self, x):
            y, (hidden, _) = self.lstm(x)
            z, _ = self.gru(y)
            return self.cell(z[:, -1]), hidden

    graph = assert_captures(Recurrent(), (torch.randn(3, 6, 4),), train=True).graph
    assert {"aten.lstm.input", "aten.gru.input", "aten.gru_cell.default"} <= set(ops(graph))
    (lstm,) = (node for node in graph.nodes if node.op == "aten.lstm.input")
    assert len(lstm.outputs) == 3
    assert len(lstm.argument("params")) == 16
    assert lstm.argument("dropout") == 0.25


@pytest.mark.parametrize("proj_size", [0, 2])
def test_states_of_an_lstm_that_torch_traces_by_its_formula(monkeypatch, proj_size):
    formula = decompositions.one_layer_lstm

    def before_2_13(*args, **kwargs):
        outputs, states = formula(*args, **kwargs)
        return outputs, tuple(state[None] for state in states)

    monkeypatch.setattr(decompositions, "one_layer_lstm", before_2_13)
    model = nn.LSTM(4, 5, 2, bidirectional=True, proj_size=proj_size).double()
    captured = capture_module(model, (torch.zeros(3, 2, 4, dtype=torch.float64),), train=False)
    (lstm,) = (node for node in captured.graph.nodes if node.op == "aten.lstm.input")
    assert [len(value.spec.shape) for value in lstm.outputs] == [3, 3, 3]
    assert [value.spec.shape[-1] for value in lstm.outputs] == [2 * (proj_size or 5), proj_size or 5, 5]


class Windows(nn.Module):
    """Windows that overlap by half, by the strides of heads that were moved before the sequence."""

    def forward(self, x):
        batch, length, _ = x.shape
        heads = x.transpose(0, 1).contiguous().view(length, batch, 2, 3).permute(1, 2, 0, 3)
        heads = heads.reshape(batch * 2, length // 4, 4, 3)
        size, stride = list(heads.shape), list(heads.stride())
        size[1], stride[1] = 2 * size[1] - 1, stride[1] // 2
        return heads.as_strided(size, stride) * x.mean()


def test_strides_of_a_transposed_tensor_are_those_of_its_memory():
    x = torch.randn(2, 8, 6)
    captured = assert_captures(Windows(), (x,), train=False, others=((torch.randn(5, 8, 6),),))
    strided = next(node for node in captured.graph.nodes if node.op == "aten.as_strided.default")
    (ordered,) = (node for node in captured.graph.nodes if node.outputs[0].name == node_inputs(strided)[0])
    assert ordered.op == "aten.permute.default"
    assert ordered.argument("dims") == (1, 2, 0, 3)


def test_a_transposed_tensor_is_written_by_its_strides():
    class Fills(nn.Module):
        def forward(self, x):
            y = (x + 1).T
            y.as_strided((2, 3), (4, 1)).zero_()
            return y

    with pytest.raises(CaptureError):
        assert_captures(Fills(), (torch.randn(4, 6),), train=False)


def test_losses_and_their_constants():
    from regauge.capture.torch_export import capture_function

    weight = torch.tensor([1.0, 2.0, 3.0])
    outputs, targets = {"logits": torch.randn(4, 3)}, torch.tensor([0, 1, 2, 0])
    captured = capture_function(lambda o, t: F.cross_entropy(o["logits"], t, weight), (outputs, targets))
    assert ops(captured.graph) == ["aten.cross_entropy_loss.default"]
    assert torch.equal(captured.tensors["constant_0"], weight)
    assert captured.graph.nodes[0].origin.line.startswith("test_functional.py:")
    names = [value.name for value in captured.graph.inputs]
    assert captured.graph.in_tree == {"tuple": [{"dict": {"logits": {"leaf": names[0]}}}, {"leaf": names[1]}]}
    module = capture_function(nn.CrossEntropyLoss(weight=weight), (outputs["logits"], targets))
    assert module.tensors.keys() == {"weight"}


@pytest.mark.parametrize("lengths", [list, torch.tensor], ids=["lists", "tensors"])
def test_keywords_of_ctc_loss_in_any_order(lengths):
    """Lengths in lists are respelled for export; what is given by keyword must stay what it is."""

    class Loss(torch.nn.Module):
        def forward(self, scores, targets):
            given = {"zero_infinity": True, "blank": 2, "target_lengths": lengths([2, 1])}
            return torch.nn.functional.ctc_loss(scores.log_softmax(-1), targets, lengths([5, 4]), **given)

    graph = capture_module(Loss(), (torch.randn(5, 2, 4), torch.tensor([[0, 1], [3, 0]])), train=False).graph
    (node,) = [node for node in graph.nodes if "ctc_loss" in node.op]
    assert node.argument("blank") == 2
    assert node.argument("zero_infinity") is True

"""Classes that differ in constants only become one class with arguments."""

from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.unify import unify


def block(
    name: str, inner: int, outer: int, strides: int, body: str = "return self.norm(self.conv(x))"
) -> EmittedClass:
    init = [
        Line(f"self.conv = nnx.Conv({inner}, {outer}, kernel_size=(3, 3), strides={strides}, padding=1, rngs=rngs)"),
        Line(f"self.norm = BatchNorm({outer}, epsilon=1e-05)"),
    ]
    return EmittedClass(name, "layer1", "net.py:3", init, Body(["x"], [Line(body)]), "net.Block")


def root(*names: str) -> EmittedClass:
    init = [Line(f"self.layer{i} = {name}(rngs=rngs)") for i, name in enumerate(names)]
    return EmittedClass("Net", "", "net.py:20", init, Body(["x"], [Line("return x")]), "net.Net")


def texts(made: EmittedClass) -> list[str]:
    return [line.text for line in made.init]


def test_widths_and_strides_become_arguments():
    first, net = unify([block("Block", 16, 16, 1), block("Block2", 16, 32, 2), root("Block", "Block2")])
    assert first.name == "Block"
    assert first.arguments == ("features", "strides")
    assert texts(first) == [
        "self.conv = nnx.Conv(16, features, kernel_size=(3, 3), strides=strides, padding=1, rngs=rngs)",
        "self.norm = BatchNorm(features, epsilon=1e-05)",
    ]
    assert texts(net) == [
        "self.layer0 = Block(features=16, strides=1, rngs=rngs)",
        "self.layer1 = Block(features=32, strides=2, rngs=rngs)",
    ]


def test_a_fixed_multiple_is_written_as_one():
    def mlp(name: str, width: int) -> EmittedClass:
        init = [
            Line(f"self.norm = nnx.LayerNorm({width}, rngs=rngs)"),
            Line(f"self.up = nnx.Linear({width}, {4 * width}, rngs=rngs)"),
        ]
        return EmittedClass(name, "mlp", "net.py:3", init, Body(["x"], [Line("return self.up(x)")]), "net.Mlp")

    first, _ = unify([mlp("Mlp", 96), mlp("Mlp2", 192), root("Mlp", "Mlp2")])
    assert texts(first) == [
        "self.norm = nnx.LayerNorm(features, rngs=rngs)",
        "self.up = nnx.Linear(features, 4 * features, rngs=rngs)",
    ]


def test_sizes_of_the_body_are_stored():
    first, net = unify(
        [
            block("Block", 8, 8, 1, "return x.reshape(-1, 64)"),
            block("Block2", 8, 16, 1, "return x.reshape(-1, 16)"),
            root("Block", "Block2"),
        ]
    )
    assert [line.text for line in first.body.lines] == ["return x.reshape(-1, self.size)"]
    assert texts(first)[0] == "self.size = size"
    assert texts(net)[1] == "self.layer1 = Block(features=16, size=16, rngs=rngs)"


def test_different_code_stays_apart():
    other = "return self.conv(self.norm(x))"
    made = unify([block("Block", 8, 8, 1), block("Block2", 8, 16, 1, other), root("Block", "Block2")])
    assert [cls.name for cls in made] == ["Block", "Block2", "Net"]


def test_classes_of_another_origin_stay_apart():
    other = block("Other", 8, 16, 1)
    other.place = "net.py:40"
    assert len(unify([block("Block", 8, 8, 1), other, root("Block", "Other")])) == 3


def test_locals_have_no_numbers_of_other_classes() -> None:
    """A name that is numbered since another class has it loses its number; a function of the file keeps its name."""
    made = EmittedClass(
        "Net", "", "net.py:1", [Line("pass")], Body(["x"], [Line("y_2 = double_2(x)"), Line("return y_2")])
    )
    assert [line.text for line in unify([made])[0].body.lines] == ["y = double_2(x)", "return y"]

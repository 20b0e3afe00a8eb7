"""The port is the model: run by pytest, on a developer's machine and in continuous integration."""

from regauge.testing import assert_same_model


def test_the_port_is_the_model():
    check = assert_same_model("net.py:case", "port.py:case", quick=True, out="build/port")
    assert check.not_checked == ()  # every question was asked: nothing slips out of the check unseen

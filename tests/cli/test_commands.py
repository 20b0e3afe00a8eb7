"""The command line itself: help, exit codes, what goes to which stream, both languages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from regauge import __version__
from regauge.cases import BUILT_IN
from regauge.cli.check import exit_code
from regauge.cli.main import COMMANDS, main
from regauge.cli.terminal import Interrupted, resumable
from regauge.progress import Stopped
from regauge.verify import Check, Tier

NAMES = [command.__name__ for command, _summary in COMMANDS]
Captured = pytest.CaptureFixture[str]


def test_help_names_every_command(capsys: Captured) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)


def test_without_a_command_the_help_is_shown(capsys: Captured) -> None:
    assert main([]) == 0
    assert "compare" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_in_both_languages(name: str, capsys: Captured) -> None:
    assert main([name, "--help", "--lang", "en"]) == 0
    english = capsys.readouterr().out
    assert "--json" in english
    assert "Usage" in english
    assert main([name, "--help", "--lang", "zh"]) == 0
    chinese = capsys.readouterr().out
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    assert "language of the output" not in chinese


def test_version(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compere"], "No such command 'compere'"),
        (["cases", "--frobnicate"], "No such option"),
        (["convert"], "Missing argument"),
        (["convert", "digits"], "Missing option"),
        (["compare", "digits", "--blocks", "none"], "--blocks"),
        (["cases", "--lang", "fr"], "no translation for language 'fr'"),
    ],
)
def test_bad_usage_is_an_error_like_any_other(arguments: list[str], message: str, capsys: Captured) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "next: " in captured.err


def test_an_error_with_json_is_json(capsys: Captured) -> None:
    assert main(["check", "one.py:case", "--map", "map.json", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err == ""
    error = json.loads(captured.out)["error"]
    assert error["code"] == "U120"
    assert error["next"] == "regauge check ORIGINAL CONVERTED --map FILE"


def test_what_check_fails_on() -> None:
    equal, open_ = Tier("tier 1 outputs", "equal"), Tier("trajectory", "not checked")
    checks = [Check("pair", "equal", (equal,)), Check("pair", "equal", (equal, open_))]
    checks += [Check("pair", "not checked", (open_,)), Check("pair", "different", ())]
    assert [exit_code(check, None) for check in checks] == [0, 0, 1, 1]
    assert [exit_code(check, "different") for check in checks] == [0, 0, 0, 1]
    assert [exit_code(check, "not-checked") for check in checks] == [0, 1, 1, 1]
    assert main(["check", "one.py:case", "two.py:case", "--fail-on", "often"]) == 2


def _interrupt(*args: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_with_json_is_one_object(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regauge.cli.cases.print_json", _interrupt)
    assert main(["cases", "--json"]) == 130
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out)["error"]["code"] == "U130"


def test_ctrl_c_in_a_conversion_says_that_nothing_was_written(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("regauge.cli.convert.convert_case", _interrupt)
    assert main(["convert", "digits", "--out", str(tmp_path / "converted"), "--lang", "en"]) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "next: nothing was written; the same command starts from the beginning" in captured.err


@pytest.mark.parametrize(("made", "kept"), [(0, 0), (3, 3), (5, 3)])
def test_ctrl_c_while_measuring_counts_what_is_kept(made: int, kept: int) -> None:
    with pytest.raises(Interrupted) as found, resumable():
        raise Stopped(made, kept, 9)
    assert f"{kept} of 9 launches are kept" in found.value.what
    assert ("made again" in found.value.why) == (made > kept)


def test_labels_of_errors_are_translated(capsys: Captured) -> None:
    assert main(["convert", "digits", "--to", "torch", "--out", "x", "--lang", "zh"]) == 2
    shown = capsys.readouterr().err
    assert "U110" in shown
    assert "  next: " not in shown
    assert "--to jax" in shown


def test_cases_lists_every_built_in_case(capsys: Captured) -> None:
    assert main(["cases", "--lang", "en"]) == 0
    shown = capsys.readouterr().out
    for name, case in BUILT_IN.items():
        assert name in shown
        assert f"regauge[{case.extra}]" in shown
    assert main(["cases", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["cases"]) == set(BUILT_IN)


def test_compare_needs_a_case(capsys: Captured) -> None:
    assert main(["compare"]) == 2
    assert "no case was named" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--variants", "torch-fast", "unknown variant"),
        ("--tasks", "sleep", "unknown task"),
        ("--precision", "bf16", "unknown precision"),
        ("--steps", "2", "steps must lie between 5 and"),
    ],
)
def test_names_are_refused_before_work_starts(
    option: str, value: str, message: str, capsys: Captured, tmp_path: Path
) -> None:
    assert main(["compare", "no_such.py:case", option, value, "--out", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert value in shown


def test_unknown_variants_are_answered_with_the_words_of_the_help(capsys: Captured, tmp_path: Path) -> None:
    assert main(["compare", "no_such.py:case", "--variants", "foo", "--out", str(tmp_path)]) == 2
    assert "next: choose from: torch-eager, torch-compile, jax-jit, jax-op-by-op" in capsys.readouterr().err


def test_an_operator_of_the_very_name_comes_first(capsys: Captured) -> None:
    assert main(["ops", "linear"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("linear(")
    assert len(shown) > 3


@pytest.mark.parametrize("command", ["ops", "facts"])
def test_a_name_that_does_not_exist_is_bad_input(command: str, capsys: Captured) -> None:
    assert main([command, "nosuch"]) == 2
    assert "next: " in capsys.readouterr().err


def test_the_installed_command_exits_with_the_code(capsys: Captured) -> None:
    done = subprocess.run([sys.executable, "-m", "regauge.cli.main", "cases", "--json"], capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True
    assert done.stderr == ""
    done = subprocess.run([sys.executable, "-m", "regauge.cli.main", "nope"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""

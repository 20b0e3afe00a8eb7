from __future__ import annotations

import subprocess
import sys

import pytest

from regauge.errors import BadCase
from regauge.language import (
    N_,
    UnknownLanguage,
    _,
    language,
    ngettext,
    preferred_language,
    set_language,
    translate_message,
    use_language,
)


def test_texts_follow_the_language() -> None:
    assert _(N_("training step")) == "training step"
    with use_language("zh"):
        assert _("training step") == "训练步"
        assert ngettext("{n} thread", "{n} threads", 2).format(n=2) == "2 个线程"
        assert _("a text that no catalogue knows") == "a text that no catalogue knows"
    assert ngettext("{n} thread", "{n} threads", 2).format(n=2) == "2 threads"
    assert language() == "en"


def test_language_is_restored_after_an_error() -> None:
    with pytest.raises(ValueError, match="inside"), use_language("zh"):
        raise ValueError("inside")
    assert language() == "en"


def test_unknown_language_names_the_known_ones() -> None:
    with pytest.raises(UnknownLanguage, match=r"'tlh'(.|\n)*choose one of en, zh"):
        set_language("tlh")


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["compare", "digits", "--lang", "zh"], {"LANG": "en_US.UTF-8"}, "zh"),
        (["--lang=en"], {"LANG": "zh_CN.UTF-8"}, "en"),
        ([], {"LANG": "zh_CN.UTF-8"}, "zh"),
        ([], {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ([], {"REGAUGE_LANG": "zh", "LC_ALL": "C.UTF-8"}, "zh"),
        ([], {"LANG": "fr_FR"}, "en"),
        ([], {}, "en"),
    ],
)
def test_language_of_a_command_line(arguments: list[str], environment: dict[str, str], expected: str) -> None:
    assert preferred_language(arguments, environment) == expected


def test_finished_messages_are_translated_with_their_values() -> None:
    english = "no such file: my model.py"
    assert translate_message(english) == english
    with use_language("zh"):
        shown = translate_message(english)
        assert shown.endswith("my model.py")
        assert "no such file" not in shown
        assert translate_message("torch says: shapes do not fit") == "torch says: shapes do not fit"


def test_message_of_a_real_error_is_translated() -> None:
    from regauge.case import load_case

    with pytest.raises(BadCase) as caught:
        load_case("nowhere.py:case")
    with use_language("zh"):
        assert "nowhere.py" in translate_message(caught.value.what)
        assert translate_message(caught.value.what) != caught.value.what
        assert translate_message(caught.value.next) != caught.value.next


def test_english_needs_no_catalogue_reader() -> None:
    code = "import sys; from regauge.language import _, translate_message; _('x'); translate_message('y'); "
    code += "sys.exit('babel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

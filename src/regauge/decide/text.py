"""Texts of the data files: English and Chinese side by side, shown in the current language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regauge.language import language


@dataclass(frozen=True)
class Text:
    """One sentence in both languages; ``str(text)`` gives it in the current one."""

    en: str
    zh: str

    def __str__(self) -> str:
        return self.zh if language() == "zh" else self.en

    def to_json(self) -> dict[str, Any]:
        return {"en": self.en, "zh": self.zh}

"""Lines and bodies of emitted functions."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """One statement of emitted code, with the comment at its end and the original's line."""

    text: str
    comment: str = ""
    origin: str = ""


@dataclass
class Body:
    """Parameters and statements of one function; `comment` stands beside its `def`."""

    parameters: list[str]
    lines: list[Line] = field(default_factory=list)
    comment: str = ""

    def statements(self, *, is_root: bool) -> list[Line]:
        """The lines; a module below the root that is called for its state alone needs no ``return ()`` at its end."""
        empty = not is_root and len(self.lines) > 1 and self.lines[-1].text == "return ()"
        return self.lines[:-1] if empty else self.lines

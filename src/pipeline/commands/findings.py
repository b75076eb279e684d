"""What an examination finds."""

from dataclasses import dataclass
from typing import Literal

OK: Literal["ok"] = "ok"
WARNING: Literal["warning"] = "warning"
PROBLEM: Literal["problem"] = "problem"


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        state: a problem stops a study, a warning may.
        about: what was looked at.
        what: was found.
        cure: what to do about it.
    """

    state: Literal["ok", "warning", "problem"]
    about: str
    what: str
    cure: str = ""

    def text(self) -> str:
        """Return the line without its state."""
        return f"{self.about}: {self.what}" + (f"; {self.cure}" if self.cure else "")

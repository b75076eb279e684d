"""Identifiers as salted hashes: what stands in artifacts in place of patients, files and dates."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Self

from pipeline.errors import StudyError

LENGTH = 16
"""Hexadecimal digits that are kept: among a million samples two collide with a probability of 3e-8."""


class Salt:
    """A secret that belongs to the user; with it identifiers become hashes that nobody else can look up."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the secret from its file; raise StudyError where it is empty."""
        secret = path.read_text().strip()
        if not secret:
            raise StudyError(f"{path} is empty, and without a secret anybody could undo the hashes; delete it")
        return cls(secret)

    def keyed(self, kind: str, *parts: object) -> str:
        """Return the hash of an identifier of this kind (patient, sample, series ...)."""
        message = json.dumps([kind, *(str(part) for part in parts)])
        return hmac.new(self._secret, message.encode(), hashlib.sha256).hexdigest()[:LENGTH]

"""The audit log: a hash chain over every change of the ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Head:
    """The end of the audit log.

    Whoever keeps both elsewhere can prove later that nothing before it was changed or lost.

    Attributes:
        entries: Number of entries.
        hash: Hash of the last one, in hexadecimal.
    """

    entries: int
    hash: str


@dataclass(frozen=True, repr=False)
class LogEntry:
    """One change of the ledger.

    Attributes:
        seq: Its number, from 1.
        at: When, in UTC.
        kind: What kind of change: `grant`, `charge`, `proposal`, `approval` and the like.
        body: What changed, as the text of a JSON object. The hash is of this very text.
        previous: Hash of the entry before it, in hexadecimal.
        hash: Its own hash, in hexadecimal.
    """

    seq: int
    at: datetime
    kind: str
    body: str
    previous: str
    hash: str

    @property
    def details(self) -> dict[str, Any]:
        """What changed, read from the body."""
        details: dict[str, Any] = json.loads(self.body)
        return details

    def __repr__(self) -> str:
        return f"{self.seq}  {self.at:%Y-%m-%d %H:%M:%S} UTC  {self.kind}  {self.body}"

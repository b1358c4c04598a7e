"""The steps of a question: what is private, where it becomes public, and what is made of that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Visibility = Literal["private", "release", "public", "post-processing", "unknown"]


@dataclass(frozen=True, repr=False)
class Step:
    """One step of a question, with the steps that it is made of.

    Attributes:
        visibility: `private`: rows of privacy units, which nobody sees. `release`: here private
            rows become a noisy public table. `post-processing`: made of what was released; costs
            nothing more. `public`: public data alone.
        text: What is done.
        inputs: The steps under it.
        release: Number of the release, from 1, that the step is or reads again; None for others.
    """

    visibility: Visibility
    text: str
    inputs: tuple[Step, ...]
    release: int | None = None

    def __repr__(self) -> str:
        return "\n".join(self._lines("", ""))

    def _lines(self, here: str, below: str) -> Iterator[str]:
        yield f"{self.visibility:<16}{here}{self.text}"
        for at, step in enumerate(self.inputs, 1):
            last = at == len(self.inputs)
            branch, deeper = ("└─ ", "   ") if last else ("├─ ", "│  ")
            yield from step._lines(below + branch, below + deeper)

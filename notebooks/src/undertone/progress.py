"""A sign of life while an answer is on its way."""

from __future__ import annotations

import sys
from typing import TextIO


class ProgressLine:
    """Writes the time since a query began on one line that rewrites itself.

    Args:
        stream: Where to write; stderr unless given.
        force: Write even where the stream is no terminal, such as in a notebook or a log.
    """

    def __init__(self, stream: TextIO | None = None, *, force: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._enabled = force or self._stream.isatty()
        self._width = 0

    def __call__(self, elapsed_seconds: float) -> None:
        """Show the time since the query began, in seconds."""
        self._write(f"undertone: {elapsed_seconds:.1f} s")

    def clear(self) -> None:
        """Wipe the line."""
        if self._width:
            self._write("")
            self._write("")

    def _write(self, text: str) -> None:
        if self._enabled:
            self._stream.write("\r" + text.ljust(self._width))
            self._stream.flush()
            self._width = len(text)

"""Tables and notes as plain text and as HTML."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape


def text_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()
) -> str:
    """Lay out a table in monospaced text. The columns at the indices `right` are right-aligned."""
    lines = [list(headers), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def html_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()
) -> str:
    """Lay out a table in HTML, escaped. The columns at the indices `right` are right-aligned."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<{tag} style="text-align: {"right" if index in right else "left"}">'
            f"{escape(text)}</{tag}>"
            for index, text in enumerate(texts)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', headers)}</tr></thead><tbody>{body}</tbody></table>"


def html_heading(text: str) -> str:
    """Lay out a heading in HTML, escaped."""
    return f"<p><strong>{escape(text)}</strong></p>"


def html_notes(lines: Iterable[str]) -> str:
    """Lay out lines of small print in HTML, escaped."""
    return f"<p><small>{'<br>'.join(map(escape, lines))}</small></p>"

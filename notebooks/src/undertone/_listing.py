"""A list that shows its items one below the other."""

from __future__ import annotations

from typing import Protocol, TypeVar


class Shown(Protocol):
    """Something with a text and an HTML form."""

    def _repr_html_(self) -> str: ...


T = TypeVar("T", bound=Shown)


class Listing(list[T]):
    """A list that shows its items one below the other, as text and in notebooks."""

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self)) if self else "(none)"

    def _repr_html_(self) -> str:
        return "".join(item._repr_html_() for item in self) if self else "<p>(none)</p>"

"""Errors to ask for in the place of a price."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Accuracy:
    """What counts and sums may be off by; the smallest price that does it is charged.

    Whether it makes sense is for the server to judge.

    Attributes:
        error: Half of an interval's width, in the unit of the count or sum.
        relative_error: The same as a share of `magnitude`.
        magnitude: About how large the counts and sums are, as public knowledge or an earlier answer
            tells. A question with a relative error needs it. A refinement does not: None is then
            the median of the values that the answer has.
        confidence: How sure the error is to be.

    Examples:
        `Accuracy(50)` and `Accuracy(relative_error=0.05, magnitude=1000)` ask for the same.
        `Accuracy(relative_error=0.05)` is for `Client.refine` alone.
    """

    error: float | None = None
    relative_error: float | None = None
    magnitude: float | None = None
    confidence: float = 0.95

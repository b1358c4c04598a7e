"""Amounts of epsilon, rho and delta: exact decimals here, decimal strings on the wire."""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral

Amount = str | Decimal | int | float


def to_wire(amount: Amount | None) -> str:
    """Write an amount without losing a digit. None, the server's default, is the empty string.

    Whether the amount makes sense is for the server to judge.

    Raises:
        TypeError: The amount is of a type that has no exact decimal form.
    """
    if amount is None:
        return ""
    if isinstance(amount, str):
        return amount
    if isinstance(amount, Decimal):
        return str(amount).lower()
    if isinstance(amount, float):
        # The shortest text that reads back as this double. Not repr(), which a subclass may change.
        return float.__repr__(amount)
    if isinstance(amount, Integral) and not isinstance(amount, bool):
        return str(int(amount))
    raise TypeError(f"an amount is a str, Decimal, int or float, not {type(amount).__name__}")


def from_wire(text: str) -> Decimal:
    """Read an amount; the empty string is 0."""
    return Decimal(text) if text else Decimal(0)


def optional_from_wire(text: str) -> Decimal | None:
    """Read an amount that may be absent, which the empty string says."""
    return Decimal(text) if text else None


def show(amount: Decimal) -> str:
    """Write an amount for people, to six digits: `0.1`, `1e-6`."""
    mantissa, e, exponent = f"{float(amount):.6g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa

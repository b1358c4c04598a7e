"""Values with their error bars, written for people."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any


def key(value: Any) -> str:
    """Write a value that carries no noise, as it is."""
    return "NULL" if value is None else str(value)


def number(value: float) -> str:
    """Write a number to six digits: `0.25`, `1,234.5`. Whole numbers are written in full."""
    if isinstance(value, int):
        return f"{value:,d}"
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.6g}"


def error(half_width: float) -> str:
    """Write the size of an error to two digits, or in full where it is a whole number: `12`."""
    return f"{half_width:,.{_decimals(half_width)}f}"


def percent(share: float) -> str:
    """Write a share: `95%`, `99.9%`."""
    return f"{share * 100:.6g}%"


def estimate(value: Any, lower: Any, upper: Any) -> str:
    """Write a noisy value with its error bar.

    Args:
        value: The value, or None for NULL.
        lower: The interval's lower end, in the unit of the value, or None where it is withheld.
        upper: The interval's upper end, likewise.

    Returns:
        `1,234 ± 12` where the interval is symmetric, else `1,234 [1,230, 1,300]`; the value alone
        where there is no interval.
    """
    if not _is_number(value):
        return key(value)
    if not (_is_number(lower) and _is_number(upper)):
        return number(_as_int_or_float(value))
    value, lower, upper = map(_as_int_or_float, (value, lower, upper))
    below, above = value - lower, upper - value
    half_width = (upper - lower) / 2
    shown = _to_precision(value, half_width)
    if math.isclose(below, above, rel_tol=1e-9, abs_tol=1e-9 * abs(value)):
        return f"{shown} ± {error(half_width)}"
    return f"{shown} [{_to_precision(lower, half_width)}, {_to_precision(upper, half_width)}]"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _as_int_or_float(value: float | Decimal) -> float:
    return value if isinstance(value, int) else float(value)


def _to_precision(value: float, half_width: float) -> str:
    """Write a value to the decimals that its error leaves meaningful."""
    if isinstance(value, int) or half_width == 0 or not math.isfinite(half_width):
        return number(value)
    decimals = _decimals(half_width)
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # + 0.0 makes -0.0 a plain 0.


def _decimals(half_width: float) -> int:
    """Count the decimals that show two significant digits of an error; none where it is whole."""
    if float(half_width).is_integer() or not math.isfinite(half_width):
        return 0
    return min(max(1 - math.floor(math.log10(half_width)), 0), 15)

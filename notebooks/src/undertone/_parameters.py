"""Values of parameters, as the wire carries them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

from ._generated import undertone_pb2 as pb

Parameter = None | bool | int | float | Decimal | str | date | datetime


def to_wire(values: Iterable[Parameter]) -> list[pb.Parameter]:
    """Translate the values of `$1`, `$2`, ... or of one `?` after the other.

    Raises:
        TypeError: A value is of a type that no literal has, or `values` is a string.
        ValueError: A whole number does not fit 64 bits, or a moment has a time zone.
    """
    if isinstance(values, (str, bytes)):
        raise TypeError("parameters is a list of values, not one string")
    return [_parameter(value) for value in values]


def _parameter(value: Parameter) -> pb.Parameter:
    unwrap = getattr(value, "item", None)
    if unwrap is not None:  # NumPy's scalars hold the plain value.
        value = unwrap()
    if value is None:
        return pb.Parameter(null=True)
    if isinstance(value, bool):
        return pb.Parameter(boolean=value)
    if isinstance(value, int):
        return pb.Parameter(whole=value)
    if isinstance(value, (float, Decimal)):
        return pb.Parameter(number=float(value))
    if isinstance(value, str):
        return pb.Parameter(text=value)
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            raise ValueError(
                "a moment with a time zone is no parameter: TIMESTAMP has none, so convert it to"
                " the zone of the data and drop the zone with .replace(tzinfo=None)"
            )
        return pb.Parameter(timestamp=value.isoformat(sep=" "))
    if isinstance(value, date):
        return pb.Parameter(date=value.isoformat())
    raise TypeError(
        f"a parameter is None, bool, int, float, Decimal, str, date or datetime,"
        f" not {type(value).__name__}"
    )

import math
from decimal import Decimal

import pytest

from undertone._numbers import error, estimate, key, number, percent


@pytest.mark.parametrize(
    ("value", "lower", "upper", "text"),
    [
        (1234, 1222, 1246, "1,234 ± 12"),
        (1234, 1221.6, 1246.4, "1,234 ± 12"),
        (2**53 + 1, 2**53 - 1, 2**53 + 3, "9,007,199,254,740,993 ± 2"),
        (3, 0, 15, "3 [0, 15]"),
        (-5, -17, 7, "-5 ± 12"),
        (43.2178, 41.9838, 44.4518, "43.2 ± 1.2"),
        (43.0, 41.766, 44.234, "43.0 ± 1.2"),
        (0.12345, 0.12222, 0.12468, "0.1235 ± 0.0012"),
        (1234.5, 1222.5, 1246.5, "1,234 ± 12"),
        (-0.2, -12.2, 11.8, "0 ± 12"),
        (43.2178, 42.9, 44.4518, "43.22 [42.90, 44.45]"),
        (Decimal("43.2178"), Decimal("41.9838"), Decimal("44.4518"), "43.2 ± 1.2"),
        (7, 7, 7, "7 ± 0"),
        (7.25, 7.25, 7.25, "7.25 ± 0"),
        (7, None, None, "7"),
        (0.25, None, None, "0.25"),
        (Decimal("1234.500"), None, None, "1,234.5"),
        (None, 1, 2, "NULL"),
        (None, None, None, "NULL"),
        ("south", None, None, "south"),
        (True, None, None, "True"),
        (math.nan, None, None, "nan"),
        (1.5, -math.inf, math.inf, "1.5 ± inf"),
        (1.5, 0.0, math.inf, "1.5 [0, inf]"),
    ],
)
def test_estimates(value, lower, upper, text):
    assert estimate(value, lower, upper) == text


def test_values_without_noise_are_shown_as_they_are():
    assert key(2023) == "2023"
    assert key(None) == "NULL"


def test_numbers():
    assert number(1234567) == "1,234,567"
    assert number(1234567.0) == "1,234,567"
    assert number(1234.5) == "1,234.5"
    assert number(0.000012345) == "1.2345e-05"
    assert number(2.5) == "2.5"


def test_shares():
    assert percent(0.95) == "95%"
    assert percent(0.999) == "99.9%"
    assert percent(1 - 0.05) == "95%"


def test_errors_have_two_digits():
    assert error(12) == "12"
    assert error(1234.0) == "1,234"
    assert error(0.0123) == "0.012"
    assert error(1.26) == "1.3"

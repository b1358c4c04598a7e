"""Answers at an epsilon so large that no noise is left, against DuckDB's on random tables."""

import hashlib
import json
import math
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import undertone
from conftest import missing
from real import Server

TOKEN = "ana-token"
# Of a grant of 1e12, which is the largest.
EPSILON = "1e10"
SEEDS = [1, 2, 3]
UNITS = 60
GROUPS = ["north", "south", "east"]

CONFIGURATION = f"""
[ledger]
path = "ledger.sqlite"
[[dataset]]
file = "lab.toml"
[policy]
file = "policy.toml"
[[principal]]
name = "ana"
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
"""

POLICY = """
[[dataset]]
name = "lab"
pool_epsilon = "1e12"
pool_delta = "0"
[[grant]]
principal = "ana"
dataset = "lab"
purpose = "research"
epsilon = "1e12"
delta = "0"
"""

# No unit has more than 20 rows, so that no limit cuts anything off.
DATASET = """
[dataset]
name = "lab"
privacy_unit = "one person"
default_epsilon = "1e10"
max_epsilon = "1e10"
max_groups_contributed = 3
max_rows_contributed = 20
max_rows_per_unit = 20
[[table]]
name = "t"
path = "t.parquet"
format = "parquet"
unit = "person"
column = [
    { name = "person" },
    { name = "region", domain = ["north", "south", "east"] },
    { name = "x", bounds = [-100, 1000] },
    { name = "y", bounds = [-50, 50] },
    { name = "z", bounds = [0, 30] },
    { name = "word" },
    { name = "day", bounds = ["2020-01-01", "2030-12-31"] },
]
"""

# As both engines write them; those of two arguments in SQL's order, y first.
AGGREGATES = [
    "count(*)",
    "count(x)",
    "count(y)",
    "count(DISTINCT word)",
    "count(DISTINCT x)",
    "count(DISTINCT y)",
    "count(DISTINCT day)",
    "count(DISTINCT person)",
    "sum(x)",
    "sum(y)",
    "sum(x * z + 1)",
    "avg(x)",
    "avg(y)",
    "avg(CASE WHEN z > 10 THEN y END)",
    "var_pop(x)",
    "var_samp(y)",
    "variance(x)",
    "stddev_pop(y)",
    "stddev_samp(x)",
    "stddev(y + z)",
    "covar_pop(y, z)",
    "covar_samp(y + z, z)",
    "corr(y + z, z)",
    "regr_slope(y + 3 * z, z)",
    "regr_intercept(y + 3 * z, z)",
    "regr_r2(y + 3 * z, z)",
    "regr_count(y, x)",
    "regr_avgx(y, z)",
    "regr_avgy(x, z)",
    "regr_sxx(y, z)",
    "regr_syy(y, z)",
    "regr_sxy(y + z, z)",
    "min(x)",
    "max(x)",
    "min(y)",
    "max(y)",
    "min(day)",
    "max(day)",
    "bool_and(x > -99)",
    "bool_and(z >= 0)",
    "bool_or(y > 49.9)",
    "bool_or(z > 30)",
]
FILTERS = ["", " FILTER (WHERE z > 12)", " FILTER (WHERE word <> 'w3' AND x > 0)"]
FRACTIONS = [0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.999, 1.0]


def table(seed: int) -> pa.Table:
    """Random rows of people, with NULLs, repeated values and groups of unequal sizes."""
    chance = random.Random(seed)

    def maybe(value: Any) -> Any:
        return None if chance.random() < 0.1 else value

    rows = [
        {
            "person": person,
            "region": maybe(chance.choices(GROUPS, [6, 3, 1])[0]),
            "x": maybe(chance.choice([chance.randint(-100, 1000), 7, 500])),
            "y": maybe(round(chance.uniform(-50, 50), chance.choice([0, 3]))),
            "z": maybe(chance.randint(0, 30)),
            "word": maybe(f"w{chance.randint(0, 9)}"),
            "day": maybe(18_300 + chance.randint(0, 3_000)),
        }
        for person in range(UNITS)
        for _ in range(chance.randint(1, 20))
    ]
    chance.shuffle(rows)
    types = [("person", pa.int64()), ("region", pa.string()), ("x", pa.int64())]
    types += [("y", pa.float64()), ("z", pa.int64()), ("word", pa.string()), ("day", pa.int32())]
    made = pa.Table.from_pylist(rows, schema=pa.schema(types))
    return made.set_column(6, "day", made.column("day").cast(pa.date32()))


@pytest.fixture(scope="module", params=SEEDS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a server over a random table, and a connection of DuckDB to the same."""
    binary = os.environ.get("UNDERTONE_BIN")
    if not binary:
        missing("UNDERTONE_BIN does not name the server's binary")
    try:
        import duckdb
    except ImportError:
        missing("duckdb is not installed: pip install 'undertone[test]'")
    directory = tmp_path_factory.mktemp("lab")
    pq.write_table(table(request.param), directory / "t.parquet")
    (directory / "undertone.toml").write_text(CONFIGURATION)
    (directory / "policy.toml").write_text(POLICY)
    (directory / "lab.toml").write_text(DATASET)
    server = Server(Path(binary), directory)
    server.start()
    duck = duckdb.connect()
    duck.execute(f"CREATE VIEW t AS SELECT * FROM '{directory / 't.parquet'}'")
    with undertone.connect(server.url, TOKEN, dataset="lab", purpose="research") as client:
        yield client, duck
    server.stop()


def ask(client: undertone.Client, sql: str) -> list[dict[str, Any]]:
    return client.query(sql, epsilon=EPSILON).table.to_pylist()


def alike(call: str, got: Any, wanted: Any) -> bool:
    if wanted is None:
        # An aggregate of nothing: there is no NULL that would tell.
        return got is not None
    if isinstance(wanted, float) or isinstance(got, float):
        # What is left of the noise is that of sums, as these are; others are divided by rows.
        slack = 0.05 if call.startswith(("regr_sxx", "regr_syy", "regr_sxy")) else 1e-3
        return math.isclose(float(got), float(wanted), rel_tol=1e-6, abs_tol=slack)
    return bool(got == wanted)


@pytest.mark.parametrize("grouped", [False, True], ids=["all", "by region"])
def test_aggregates_are_duckdbs(lab: Any, grouped: bool) -> None:
    client, duck = lab
    wrong = []
    for filter_ in FILTERS:
        for first in range(0, len(AGGREGATES), 7):
            calls = [call + filter_ for call in AGGREGATES[first : first + 7]]
            columns = ", ".join(f"{call} AS a{i}" for i, call in enumerate(calls))
            keys, by = ("region, ", " GROUP BY region") if grouped else ("", "")
            sql = f"SELECT {keys}{columns} FROM t{by}"
            known = {
                row[0] if grouped else "": row[len(row) - len(calls) :]
                for row in duck.execute(sql).fetchall()
            }
            for row in ask(client, sql):
                wanted = known[row["region"] if grouped else ""]
                got = [row[f"a{i}"] for i in range(len(calls))]
                for call, a, b in zip(calls, got, wanted, strict=True):
                    if not alike(call, a, b):
                        wrong.append(f"{call} by {row.get('region')}: {a}, not {b}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("column", ["x", "y", "z"])
def test_quantiles_are_between_duckdbs_neighbours(lab: Any, column: str) -> None:
    client, duck = lab
    calls = ", ".join(
        f"percentile_cont({q}) WITHIN GROUP (ORDER BY {column}) AS q{i}"
        for i, q in enumerate(FRACTIONS)
    )
    for row in ask(client, f"SELECT region, median({column}) AS m, {calls} FROM t GROUP BY region"):
        values = sorted(
            v
            for (v,) in duck.execute(
                f"SELECT {column} FROM t WHERE region = ? AND {column} IS NOT NULL", [row["region"]]
            ).fetchall()
        )
        for q, got in [(0.5, row["m"]), *((q, row[f"q{i}"]) for i, q in enumerate(FRACTIONS))]:
            place = q * (len(values) - 1)
            low, high = values[math.floor(place)], values[math.ceil(place)]
            assert low - 1e-6 <= got <= high + 1e-6, f"{q} of {column} in {row['region']}"


def test_histograms_are_duckdbs(lab: Any) -> None:
    client, duck = lab
    size = "CASE WHEN z < 5 THEN 'low' WHEN z < 20 THEN 'mid' WHEN z >= 20 THEN 'high' END"
    calls = f"histogram({size}) AS h, approx_top_k({size}, 2) AS t"
    sql = f"SELECT region, {calls} FROM t GROUP BY region"
    known = dict(
        duck.execute(f"SELECT region, histogram({size}) FROM t GROUP BY region").fetchall()
    )
    for row in ask(client, sql):
        wanted = {
            value: count for value, count in known[row["region"]].items() if value is not None
        }
        assert dict(json.loads(row["h"])) == {"low": 0, "mid": 0, "high": 0} | wanted
        top = sorted(wanted.values(), reverse=True)[:2]
        assert [count for _, count in json.loads(row["t"])] == top
        assert all(wanted[value] == count for value, count in json.loads(row["t"]))


@pytest.mark.parametrize("column", ["x", "y", "z"])
def test_error_bars_hold_duckdbs_quantiles(lab: Any, column: str) -> None:
    client, duck = lab
    call = f"median({column}, error_bars => true)"
    answer = client.query(f"SELECT region, {call} AS m FROM t GROUP BY region", epsilon="1e6")
    known = dict(duck.execute(f"SELECT region, median({column}) FROM t GROUP BY region").fetchall())
    for row, ends in zip(answer.table.to_pylist(), answer.intervals.to_pylist(), strict=True):
        assert ends["m_lower"] <= row["m"] <= ends["m_upper"]
        assert ends["m_lower"] <= known[row["region"]] <= ends["m_upper"]

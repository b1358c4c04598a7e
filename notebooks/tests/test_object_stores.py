"""Datasets whose files are in object stores: one that speaks S3, and one that speaks plain HTTP."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import undertone
from conftest import missing
from real import Server

PATIENTS = 400
COUNT = "SELECT COUNT(*) AS n FROM visits"
BY_YEAR = "SELECT year, COUNT(*) AS n FROM visits GROUP BY year ORDER BY year"
TOKEN = "ana-token"

CONFIGURATION = f"""
[ledger]
path = "ledger.sqlite"
[[dataset]]
file = "clinic.toml"
[policy]
file = "policy.toml"
[[principal]]
name = "ana"
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
"""

POLICY = """
[[dataset]]
name = "clinic"
pool_epsilon = "1000"
pool_delta = "0"
[[grant]]
principal = "ana"
dataset = "clinic"
purpose = "research"
epsilon = "1000"
delta = "0"
"""

DATASET = """
[dataset]
name = "clinic"
privacy_unit = "one patient"
default_epsilon = "1"
max_epsilon = "100"
max_groups_contributed = 2
max_rows_contributed = 1
[[table]]
name = "visits"
unit = "patient"
{visits}
column = [{{ name = "patient", type = "BIGINT" }}{year}]
[[table]]
name = "hospitals"
public = true
{hospitals}
column = [{{ name = "hospital", type = "VARCHAR" }}]
"""

YEAR = ', { name = "year", type = "BIGINT", domain = [2023, 2024] }'


@pytest.fixture(scope="module")
def s3() -> Iterator["Bucket"]:
    """An empty bucket, and the environment in which a server finds it."""
    try:
        import boto3
        from moto.server import ThreadedMotoServer
    except ImportError:
        missing("moto is not installed: pip install 'undertone[test]'")
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    names = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket="clinic")
    yield Bucket(client, {**names, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"})
    moto.stop()


class Bucket:
    def __init__(self, client, environment: dict[str, str]) -> None:
        self.client = client
        self.environment = environment

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket="clinic", Key=key, Body=body)


def parquet(patients: range) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"patient": pa.array(patients, pa.int64())}), sink, row_group_size=50)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def binary() -> Path:
    found = os.environ.get("UNDERTONE_BIN")
    if not found:
        missing("UNDERTONE_BIN does not name the undertone program")
    return Path(found)


def declare(directory: Path, visits: str, hospitals: str, year: str = "") -> None:
    (directory / "undertone.toml").write_text(CONFIGURATION)
    (directory / "policy.toml").write_text(POLICY)
    declaration = DATASET.format(visits=visits, hospitals=hospitals, year=year)
    (directory / "clinic.toml").write_text(declaration)


@contextlib.contextmanager
def serving(binary: Path, directory: Path, environment: dict[str, str]) -> Iterator[Server]:
    server = Server(binary, directory, environment)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def connect(server: Server) -> undertone.Client:
    return undertone.connect(server.url, TOKEN, dataset="clinic", purpose="research", timeout=60)


def count(client: undertone.Client) -> float:
    (n,) = client.query(COUNT, epsilon="50", fresh=True).table.column("n").to_pylist()
    return n


def check(binary: Path, directory: Path, environment: dict[str, str]) -> str:
    """Why the configuration cannot be served."""
    done = subprocess.run(
        [binary, "check", directory / "undertone.toml"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_tables_in_a_bucket(s3: Bucket, binary: Path, tmp_path: Path) -> None:
    half = PATIENTS // 2
    s3.put("visits/year=2023/a.parquet", parquet(range(half)))
    s3.put("visits/year=2024/b.parquet", parquet(range(half, PATIENTS)))
    s3.put("visits/_SUCCESS", b"")
    s3.put("public/hospitals.csv.gz", gzip.compress(b"hospital\nA\nB\n"))
    declare(
        tmp_path,
        'path = "s3://clinic/visits/"\nformat = "parquet"\npath_columns = ["year"]',
        'path = "s3://clinic/public/*.csv.gz"\nformat = "csv"',
        YEAR,
    )
    with serving(binary, tmp_path, s3.environment) as server, connect(server) as ana:
        rows = ana.query(BY_YEAR, epsilon="50").table.to_pylist()
        assert [row["year"] for row in rows] == [2023, 2024]
        assert [row["n"] for row in rows] == pytest.approx([half, half], abs=3)
        hospitals = ana.query("SELECT hospital FROM hospitals ORDER BY hospital").table
        assert hospitals.column("hospital").to_pylist() == ["A", "B"]

        # A new object does not join by itself; a reload takes it in, and gives nothing back.
        s3.put("visits/year=2024/c.parquet", parquet(range(PATIENTS, 2 * PATIENTS)))
        assert count(ana) == pytest.approx(PATIENTS, abs=3)
        spent = ana.budget("clinic")[0].account.spent_epsilon
        reload(server)
        assert count(ana) == pytest.approx(2 * PATIENTS, abs=3)
        assert ana.budget("clinic")[0].account.spent_epsilon > spent

        # An object that was replaced is another one, whatever its name.
        s3.put("visits/year=2024/b.parquet", parquet(range(half, PATIENTS)))
        assert count(ana) == pytest.approx(2 * PATIENTS, abs=3), "the same bytes"
        s3.put("visits/year=2024/b.parquet", parquet(range(half, PATIENTS + 1)))
        before = ana.budget("clinic")[0].account.spent_epsilon
        with pytest.raises(undertone.UndertoneError) as refused:
            count(ana)
        assert refused.value.code == "DATA_CHANGED"
        assert ana.budget("clinic")[0].account.spent_epsilon == before
        reload(server)
        assert count(ana) == pytest.approx(2 * PATIENTS, abs=3)


def reload(server: Server) -> None:
    seen = server.log().count("were read again")
    server.send(signal.SIGHUP)
    for _ in range(300):
        if server.log().count("were read again") > seen:
            return
        time.sleep(0.1)
    raise AssertionError(server.log())


def test_what_is_wrong_with_a_bucket(s3: Bucket, binary: Path, tmp_path: Path) -> None:
    s3.put("good/a.parquet", parquet(range(9)))
    s3.put("broken/a.parquet", b"PAR1 this is none PAR1")
    s3.put("mixed/a.csv", b"patient\n1\n")
    s3.put("mixed/b.csv", b"patient,age\n1,2\n")
    hospitals = 'path = "h.csv"\nformat = "csv"'
    (tmp_path / "h.csv").write_text("hospital\nA\n")
    for path, file_format, words in [
        ("s3://nowhere/visits/", "parquet", "no such file, bucket or container"),
        ("s3://clinic/nothing/", "parquet", "no file matches 's3://clinic/nothing/'"),
        ("s3://clinic/good/*.csv", "csv", "no file matches"),
        ("s3://clinic/broken/", "parquet", "s3://clinic/broken/a.parquet: cannot be read"),
        ("s3://clinic/mixed/", "csv", "b.csv: has other columns or types than s3://clinic/mixed/a"),
    ]:
        declare(tmp_path, f'path = "{path}"\nformat = "{file_format}"', hospitals)
        said = check(binary, tmp_path, s3.environment)
        assert "clinic.toml" in said and "table 'visits'" in said and words in said, (path, said)
    declare(tmp_path, 'path = "s3://clinic/good/a.parquet"\nformat = "parquet"', hospitals)
    with serving(binary, tmp_path, s3.environment) as server, connect(server) as ana:
        assert count(ana) == pytest.approx(9, abs=3)


def test_a_file_behind_a_plain_address(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "hospitals.csv").write_text("hospital\nA\nB\n")
    (tmp_path / "visits.csv").write_text("patient\n" + "\n".join(map(str, range(PATIENTS))) + "\n")
    handler = functools.partial(Quiet, directory=tmp_path / "web")
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{web.server_port}/hospitals.csv"
    visits = 'path = "visits.csv"\nformat = "csv"'
    declare(tmp_path, visits, f'path = "{address}"\nformat = "csv"')
    with serving(binary, tmp_path, {}) as server, connect(server) as ana:
        hospitals = ana.query("SELECT hospital FROM hospitals ORDER BY hospital").table
        assert hospitals.column("hospital").to_pylist() == ["A", "B"]
        assert count(ana) == pytest.approx(PATIENTS, abs=3)
    declare(tmp_path, visits, f'path = "{address}.gz"\nformat = "csv"')
    assert "no file matches" in check(binary, tmp_path, {})
    (tmp_path / "web" / "untagged.csv").write_text("hospital\nA\n")
    address = address.replace("hospitals.csv", "untagged.csv")
    declare(tmp_path, visits, f'path = "{address}"\nformat = "csv"')
    assert "names no strong ETag" in check(binary, tmp_path, {})
    web.shutdown()
    web.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, with an entity tag for those that are tagged."""

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.name != "untagged.csv" and path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self.send_header("ETag", f'"{digest}"')
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import undertone
from fake import Fake, serving
from real import PASSWORD, Server, prepare


def missing(what: str) -> None:
    """Skip a test for lack of something, except where everything must be tested."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI is set")
    pytest.skip(what)


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNDERTONE_URL", raising=False)
    monkeypatch.delenv("UNDERTONE_TOKEN", raising=False)


@pytest.fixture
def fake() -> Iterator[Fake]:
    """A server made of cardboard, in this process."""
    fake = Fake()
    with serving(fake) as fake.url:
        yield fake


@pytest.fixture
def client(fake: Fake) -> Iterator[undertone.Client]:
    """A client of the fake server."""
    with undertone.connect(fake.url, "secret", dataset="shop", purpose="testing") as client:
        yield client


@pytest.fixture
def governance(fake: Fake) -> Iterator[undertone.Governance]:
    """A client of governance of the fake server."""
    with undertone.govern(fake.url, "secret") as governance:
        yield governance


def shop(directory: Path, *, customers: int) -> Server:
    """The real server over the demo's data, which is not started yet."""
    binary = os.environ.get("UNDERTONE_BIN")
    if not binary:
        missing("UNDERTONE_BIN does not name the server's binary")
    prepare(Path(binary), directory, customers=customers)
    return Server(Path(binary), directory)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server with its demo dataset. All tests share its budget."""
    server = shop(tmp_path_factory.mktemp("demo"), customers=2000)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server whose budgets are one module's alone. Ana has a password as well."""
    server = shop(tmp_path_factory.mktemp("flight"), customers=1000)
    server.set_password("ana", PASSWORD)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ana(server: Server) -> Iterator[undertone.Client]:
    """An analyst whose grant is (10, 1e-6)."""
    with server.connect("ana") as client:
        yield client


@pytest.fixture
def ben(server: Server) -> Iterator[undertone.Client]:
    """An analyst whose grant is (0.5, 1e-6)."""
    with server.connect("ben") as client:
        yield client


@pytest.fixture(scope="session")
def notebook_tools() -> None:
    """What it takes to execute a notebook."""
    for module in ("ipykernel", "matplotlib", "nbclient", "nbformat", "pandas"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} is not installed: pip install 'undertone[notebook]'")

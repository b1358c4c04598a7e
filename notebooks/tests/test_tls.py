import grpc
import pytest
import trustme

import undertone
from fake import Fake, serving
from undertone import UndertoneError, _retry

NOWHERE = "/nonexistent"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def url(authority):
    certificate = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    pair = (certificate.private_key_pem.bytes(), chain)
    with serving(Fake(), "localhost:0", grpc.ssl_server_credentials([pair])) as url:
        yield url


@pytest.fixture(autouse=True)
def no_other_roots(monkeypatch, tmp_path):
    monkeypatch.setattr(_retry, "FIRST_PAUSE", 0.01)
    monkeypatch.setenv("SSL_CERT_FILE", NOWHERE)
    monkeypatch.setenv("SSL_CERT_DIR", NOWHERE)


def test_roots_from_a_file(authority, url, monkeypatch, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with undertone.connect(url, "secret") as client:
        assert len(client.budget()) == 1


def test_roots_from_a_folder(authority, url, monkeypatch, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "README").write_text("not a certificate")
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with undertone.connect(url, "secret") as client:
        assert len(client.budget()) == 1


def test_a_stranger_is_not_trusted(url):
    with undertone.connect(url, "secret") as client, pytest.raises(UndertoneError) as caught:
        client.budget()
    assert caught.value.code == "UNAVAILABLE"

import pytest

import undertone
from undertone._endpoint import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    ("url", "authority", "tls"),
    [
        ("127.0.0.1:7001", "127.0.0.1:7001", False),
        ("http://127.0.0.1:7001", "127.0.0.1:7001", False),
        ("http://127.0.0.1:7001/", "127.0.0.1:7001", False),
        ("127.8.7.6:7001", "127.8.7.6:7001", False),
        ("localhost:7001", "localhost:7001", False),
        ("http://[::1]:7001", "[::1]:7001", False),
        ("HTTP://LOCALHOST:7001", "localhost:7001", False),
        ("http://localhost", "localhost:80", False),
        ("https://undertone.example", "undertone.example:443", True),
        ("https://undertone.example:7001", "undertone.example:7001", True),
        ("https://127.0.0.1:7001", "127.0.0.1:7001", True),
    ],
)
def test_addresses(url, authority, tls):
    assert parse_endpoint(url, insecure=False) == Endpoint(authority, tls)


@pytest.mark.parametrize(
    "url",
    [
        "http://undertone.example:7001",
        "undertone.example:7001",
        "http://10.0.0.1:7001",
        "0.0.0.0:7001",
        "http://[2001:db8::1]:7001",
        "http://localhost.example:7001",
        "http://127.0.0.1.example:7001",
        "127.1:7001",
    ],
)
def test_a_token_does_not_leave_the_machine_in_plain_text(url):
    with pytest.raises(ValueError, match=r"plain text.*https://"):
        parse_endpoint(url, insecure=False)
    assert not parse_endpoint(url, insecure=True).tls


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "ftp://127.0.0.1:7001",
        "unix:///tmp/socket",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:7001/path",
        "http://127.0.0.1:7001?query",
        "http://127.0.0.1:7001#fragment",
        "http://127.0.0.1:7001@undertone.example",
        "http://[::1:7001",
    ],
)
def test_other_texts_are_no_addresses(url):
    with pytest.raises(ValueError, match="not a server's address"):
        parse_endpoint(url, insecure=True)


@pytest.mark.usefixtures("no_environment")
def test_connect_says_what_is_missing():
    with pytest.raises(ValueError, match="UNDERTONE_URL"):
        undertone.connect(token="secret")
    with pytest.raises(ValueError, match="UNDERTONE_TOKEN"):
        undertone.connect("127.0.0.1:1")


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "sécret", " "])
def test_connect_refuses_what_is_no_token(token):
    with pytest.raises(ValueError, match="token"):
        undertone.connect("127.0.0.1:1", token)

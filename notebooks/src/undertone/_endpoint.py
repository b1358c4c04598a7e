"""Where the server is, and whether the way there is safe for a bearer token."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Endpoint:
    """A server's address. `authority` is `host:port`, with an IPv6 host in brackets."""

    authority: str
    tls: bool


def parse_endpoint(url: str, *, insecure: bool) -> Endpoint:
    """Read `https://host[:port]`, `http://host[:port]` or `host:port`, which means the second.

    Args:
        url: The text to read.
        insecure: Allow plain text to other hosts than this one.

    Raises:
        ValueError: The text is no such address, or a token would travel there in plain text.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as why:
        raise ValueError(f"{url!r} is not a server's address: {why}") from None
    if (
        not host
        or parts.scheme not in ("http", "https")
        or parts.username is not None
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError(
            f"{url!r} is not a server's address; write https://host:port, "
            "or http://127.0.0.1:port for a server on this machine"
        )
    tls = parts.scheme == "https"
    if not tls and not insecure and not _is_loopback(host):
        raise ValueError(
            f"the token would travel to {host} in plain text, where anyone on the way can read it; "
            f"use https://, or pass insecure=True if the way is protected by other means"
        )
    if port is None:
        port = 443 if tls else 80
    return Endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tls)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

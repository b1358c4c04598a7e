"""Opening gRPC channels."""

from __future__ import annotations

import ssl
from importlib.metadata import version
from pathlib import Path

import grpc

from ._endpoint import Endpoint


def open_channel(endpoint: Endpoint) -> grpc.Channel:
    """Open a channel. It connects on first use, and again whenever the connection was lost."""
    target = f"dns:///{endpoint.authority}"
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"undertone-python/{version('undertone')}"),
        # An answer is one message, of any size.
        ("grpc.max_receive_message_length", -1),
        # A lost server is looked for again at the pace of the retries.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # A connection that died silently is noticed while waiting for an answer.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if endpoint.tls:
        return grpc.secure_channel(
            target, grpc.ssl_channel_credentials(_system_roots()), options=options
        )
    # A proxy named in the environment would see the token, which must not leave this machine.
    options.append(("grpc.enable_http_proxy", 0))
    return grpc.insecure_channel(target, options=options)


def _system_roots() -> bytes | None:
    """The certificate authorities that this system trusts, as PEM.

    gRPC by itself looks at the roots it ships with, not at the system's. `SSL_CERT_FILE` and
    `SSL_CERT_DIR` are heeded, as everywhere in Python. None where the system has no roots, which
    leaves gRPC to its own.
    """
    context = ssl.create_default_context()
    # OpenSSL reads a folder of certificates only as it needs them, so the context lacks those.
    folder = ssl.get_default_verify_paths().capath
    for file in Path(folder).iterdir() if folder is not None else ():
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError):
            continue  # Not a certificate.
    roots = map(ssl.DER_cert_to_PEM_cert, context.get_ca_certs(binary_form=True))
    return "".join(roots).encode() or None

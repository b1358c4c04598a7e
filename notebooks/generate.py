#!/usr/bin/env python3
"""Regenerate the protobuf and gRPC code in src/undertone/_generated from the proto file.

Needs grpcio-tools at the version that the `test` extra pins. Generated code asks for a grpcio no
older than the grpcio-tools, and for a protobuf runtime of the same or the next major version: a
newer pin would shut out users for nothing.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTO_DIR = HERE.parent / "proto" / "undertone" / "v1"
PACKAGE = "undertone/_generated"


def generate(into: Path) -> None:
    """Write the generated modules below `into`, the folder that holds the package `undertone`.

    Raises:
        ImportError: grpcio-tools is not installed.
        RuntimeError: The compiler failed; it has said why on stderr.
    """
    from grpc_tools import protoc

    # The folder of the proto file is presented to the compiler under the package's own path, so the
    # generated modules import each other from where they are installed.
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PACKAGE}={PROTO_DIR}",
            f"--python_out={into}",
            f"--pyi_out={into}",
            f"--grpc_python_out={into}",
            f"{PACKAGE}/undertone.proto",
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=HERE / "src", help="default: src")
    generate(parser.parse_args().into)
    return 0


if __name__ == "__main__":
    sys.exit(main())

import sys
from pathlib import Path

import pytest

import undertone

ROOT = Path(__file__).resolve().parent.parent


def test_the_generated_code_is_current(tmp_path, monkeypatch):
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    monkeypatch.syspath_prepend(str(ROOT))
    from generate import PACKAGE, generate

    generate(tmp_path)
    fresh = {path.name: path.read_text() for path in (tmp_path / PACKAGE).iterdir()}
    checked_in = Path(undertone.__file__).parent / "_generated"
    assert fresh == {name: (checked_in / name).read_text() for name in fresh}
    assert len(fresh) == 3


def test_the_generated_code_is_imported_from_inside_the_package():
    names = [name for name in sys.modules if name.endswith(("undertone_pb2", "undertone_pb2_grpc"))]
    assert names
    assert all(name.startswith("undertone._generated.") for name in names)

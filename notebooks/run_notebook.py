#!/usr/bin/env python3
"""Execute a notebook from top to bottom; fail if any cell does.

Nothing is written unless every cell succeeds. Needs the `notebook` extra.
"""

import argparse
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL_SECONDS = 300


def execute(notebook: Path, output: Path) -> None:
    """Execute `notebook` in its own folder and write it with its outputs to `output`.

    Raises:
        CellExecutionError: A cell raised an exception, expected or not.
    """
    content = nbformat.read(notebook, as_version=4)
    metadata = deepcopy(content.metadata)
    NotebookClient(
        content,
        timeout=CELL_SECONDS,
        force_raise_errors=True,
        record_timing=False,
        resources={"metadata": {"path": str(notebook.parent)}},
    ).execute()
    # What the outputs do not depend on stays as it was: no times, no version of the interpreter.
    content.metadata = metadata
    nbformat.validate(content)
    nbformat.write(content, output)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--output", type=Path, help="default: the notebook itself")
    arguments = parser.parse_args()
    try:
        execute(arguments.notebook, arguments.output or arguments.notebook)
    except CellExecutionError as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "first-questions.ipynb"
FIGURES = 4


def run(notebook: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "run_notebook.py", notebook, *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.usefixtures("notebook_tools")
def test_first_questions(server, tmp_path):
    import nbformat

    output = tmp_path / "executed.ipynb"
    done = run(
        NOTEBOOK,
        f"--output={output}",
        UNDERTONE_URL=server.url,
        UNDERTONE_TOKEN=server.token("ana"),
    )
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(output, as_version=4)
    nbformat.validate(notebook)
    committed = nbformat.read(NOTEBOOK, as_version=4)
    assert notebook.metadata == committed.metadata
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in committed.cells]
    check(notebook)
    assert server.token("ana") not in output.read_text()


@pytest.mark.usefixtures("notebook_tools")
def test_the_committed_notebook_holds_outputs_of_one_run():
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    check(notebook)
    assert nbformat.writes(notebook) + "\n" == NOTEBOOK.read_text()


def check(notebook):
    """Check that a notebook was executed as a whole and shows nothing about where."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {
        "execute_result",
        "display_data",
        "stream",
    }
    assert sum("image/png" in output.get("data", {}) for output in outputs) == FIGURES
    assert sum("±" in output.get("data", {}).get("text/html", "") for output in outputs) >= 5
    assert all(output.name == "stdout" for output in outputs if output.output_type == "stream")
    texts = [output.get("text", "") for output in outputs]
    texts += [
        text
        for output in outputs
        for kind, text in output.get("data", {}).items()
        if not kind.startswith("image/")
    ]
    for text in texts:
        assert not re.search(r"ut_[0-9a-zA-Z]|127\.0\.0\.1|localhost|/(tmp|home|root|Users)/", text)


@pytest.mark.usefixtures("notebook_tools")
def test_a_failing_notebook_fails_and_is_left_alone(tmp_path):
    import nbformat

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]})]
    )
    path = tmp_path / "failing.ipynb"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    done = run(path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert path.read_bytes() == before

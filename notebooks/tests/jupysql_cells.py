"""Cells of a notebook with jupysql, run by an IPython of its own; prints what came of each.

Arguments: the server's address, a name and its password.
"""

import json
import sys

from adbc_driver_flightsql import dbapi
from IPython.core.interactiveshell import InteractiveShell

ASKED = "SELECT topic, count(*) AS n FROM tickets GROUP BY topic"
CELLS = [
    f"%sql {ASKED}",
    "%sql SELECT account FROM undertone.budget",
    "%sql SELECT topic FROM tickets LIMIT 5",
    # A click that fires many statements.
    "%sqlcmd profile --table orders",
]


def main(uri: str, name: str, password: str) -> None:
    shell = InteractiveShell()
    kwargs = {"username": name, "password": password}
    shell.user_ns["connection"] = dbapi.connect(uri, db_kwargs=kwargs)
    for setup in (
        "%load_ext sql",
        "%config SqlMagic.feedback = 0",
        "%sql connection --alias undertone",
    ):
        shell.run_cell(setup).raise_error()
    outcomes = []
    for cell in CELLS:
        done = shell.run_cell(cell)
        if done.success:
            frame = done.result.DataFrame()
            outcomes.append({"columns": list(frame.columns), "rows": len(frame)})
        else:
            outcomes.append({"error": str(done.error_in_exec)})
    print("\n" + json.dumps(outcomes))


main(*sys.argv[1:])

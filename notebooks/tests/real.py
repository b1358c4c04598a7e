"""The real server, run as a user would run it."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import undertone

DATASET = "shop"
PURPOSE = "service-quality"
PASSWORD = "correct:horse: battery"

READY = re.compile(r"undertone is listening on (127\.0\.0\.1:\d+)")
PREPARE_SECONDS = 300
START_SECONDS = 60
STOP_SECONDS = 30


def prepare(binary: Path, directory: Path, *, customers: int) -> None:
    """Write the demo's configuration, data and tokens."""
    command = [binary, "demo", "--dir", directory, "--prepare", "--customers", str(customers)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PREPARE_SECONDS,
    )
    assert done.returncode == 0, f"demo --prepare ended with {done.returncode}:\n{done.stdout}"


class Server:
    """A server on a port of its own choosing. Its state outlives a restart, its port does not."""

    def __init__(
        self, binary: Path, directory: Path, environment: dict[str, str] | None = None
    ) -> None:
        self._binary = binary
        self._environment = {**os.environ, **(environment or {})}
        self.directory = directory
        self._log = directory / "server.log"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        config = self.directory / "undertone.toml"
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [self._binary, "serve", "--config", config, "--listen", "127.0.0.1:0"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        # The pipe is read to its end in any case, so that the server never waits for a reader.
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=START_SECONDS)
            except queue.Empty:
                self.stop(signal.SIGKILL)
                raise AssertionError(f"no server in {START_SECONDS} s:\n{self.log()}") from None
            assert line is not None, f"the server ended before it listened:\n{self.log()}"
            if ready := READY.search(line):
                self.url = f"http://{ready[1]}"
                return

    def send(self, what: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    def reload(self) -> None:
        """Have the were read again."""
        before = self._log.read_text().count("were read again")
        self.send(signal.SIGHUP)
        for _ in range(20 * START_SECONDS):
            if self._log.read_text().count("were read again") > before:
                return
            time.sleep(0.05)
        raise AssertionError(f"the configuration was not read again:\n{self.log()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.send(how)
        assert self._process is not None
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{how.name} did not end the server:\n{self.log()}") from None

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.stop(how)
        self.start()

    @contextlib.contextmanager
    def another(self, directory: Path, *, customers: int) -> Iterator["Server"]:
        """A server with data and budgets of its own, until the block ends."""
        prepare(self._binary, directory, customers=customers)
        other = Server(self._binary, directory)
        other.start()
        try:
            yield other
        finally:
            other.stop()

    def set_password(self, principal: str, password: str) -> None:
        """Let a principal be known by a password too, from the next start or reload on."""
        printed = subprocess.run(
            [self._binary, "token", "password", "--principal", principal],
            input=password + "\n",
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        (line,) = [line for line in printed.splitlines() if line.startswith("password_argon2")]
        config = self.directory / "undertone.toml"
        name = f'name = "{principal}"\n'
        text = re.sub(r"password_argon2 = .*\n", "", config.read_text())
        assert text.count(name) == 1
        config.write_text(text.replace(name, f"{name}{line}\n"))

    def token(self, principal: str) -> str:
        return (self.directory / f"{principal}.token").read_text().strip()

    def connect(self, principal: str) -> undertone.Client:
        return undertone.connect(
            self.url, self.token(principal), dataset=DATASET, purpose=PURPOSE, timeout=60
        )

    def govern(self, principal: str) -> undertone.Governance:
        return undertone.govern(self.url, self.token(principal), timeout=60)

    def log(self) -> str:
        return self._log.read_text()[-4000:]

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        with contextlib.closing(process.stdout):
            for line in process.stdout:
                lines.put(line)
        lines.put(None)

"""A terminal of 80 columns for tests: what a program wrote on it, and what is to be seen then."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import tty
from contextlib import suppress
from pathlib import Path
from types import TracebackType

COLUMNS = 80
_PARTS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+|\x1b")


class Terminal:
    """A context manager; `file` is the program's end, to be given to one process or written on here."""

    def __enter__(self) -> Terminal:
        self._master, slave = pty.openpty()
        tty.setraw(slave)  # what comes is what was written: no CR is added
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.file = os.fdopen(slave, "w", encoding="utf-8", buffering=1, newline="")
        self._read = bytearray()
        self._reader = threading.Thread(target=self._drain)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drain(self) -> None:
        with suppress(OSError):  # when nobody has it open any more
            while piece := os.read(self._master, 65536):
                self._read += piece

    def close(self) -> None:
        if not self.file.closed:
            self.file.close()
            self._reader.join()
            os.close(self._master)

    @property
    def written(self) -> str:
        """All that was written, when the program has ended."""
        self.close()
        return self._read.decode()

    def lines(self) -> list[str]:
        """What is to be seen in the end. Lines of any length are one: only the bar counts on a width."""
        lines, row, column = [""], 0, 0
        for part in _PARTS.finditer(self.written):
            text, (number, command) = part.group(), part.groups()
            if command == "m":
                continue  # a colour
            if command == "A":
                row -= int(number or 1)
            elif (number, command) == ("2", "K"):
                lines[row] = ""
            elif text == "\r":
                column = 0
            elif text == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            else:
                assert not text.startswith("\x1b"), f"not known here: {text!r}"
                lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
                column += len(text)
        return [line for line in lines if line]

    def log_lines(self) -> list[str]:
        """What is to be seen, log lines of more than the terminal's width put together again."""
        whole: list[str] = []
        for line in self.lines():
            if line.startswith(" " * 9) and whole:
                whole[-1] += f" {line.strip()}"
            else:
                whole.append(line)
        return whole


def on_terminal(*arguments: str, stdout: Path | None = None) -> tuple[subprocess.Popen[bytes], Terminal]:
    """The command, begun on a terminal of its own, or with its rows in a file."""
    terminal = Terminal().__enter__()
    command = [sys.executable, "-m", "kaltura_archiver", *arguments]
    with stdout.open("wb") if stdout else os.fdopen(os.dup(terminal.file.fileno()), "wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=terminal.file, start_new_session=True
        )
    return process, terminal

"""Stdout and stderr, whatever a shell has made of them."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from kaltura_archiver.output.logs import logs_json
from kaltura_archiver.redact import one_line, redact

log = logging.getLogger(__name__)


def discard_stdout() -> None:
    """Send what is still to be written nowhere; Python would complain again when it closes stdout."""
    if isinstance(sys.stdout, _Closed):
        sys.stdout.silent = True
        return
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class PatientStdout:
    """Stdout of a run that changes something: when who reads the rows has gone, or the disk is full, the work goes on.

    `failure` is set where rows were lost that somebody wanted.
    """

    failure: OSError | None = None

    def _trying(self, attempt: Callable[[], object]) -> None:
        try:
            attempt()
        except BrokenPipeError:
            discard_stdout()
        except OSError as error:
            self.failure = error
            log.error("rows cannot be written to stdout: %s; the work goes on without them", error.strerror or error)
            discard_stdout()

    def write(self, text: str) -> None:
        self._trying(lambda: sys.stdout.write(text))

    def flush(self) -> None:
        self._trying(sys.stdout.flush)


class _Closed(io.TextIOBase):
    """Stands for stdout where there is none (`>&-`): whoever writes to it is told."""

    encoding = "utf-8"
    silent = False

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError("text, not bytes")  # click tries what it may write
        if text and not self.silent:
            raise OSError(errno.EBADF, "it is closed")
        return len(text)

    @property
    def buffer(self) -> Any:
        return _ClosedBytes()


class _ClosedBytes(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        raise OSError(errno.EBADF, "it is closed")


def occupy_closed_streams() -> None:
    """Where a shell has closed stdin, stdout or stderr, have nothing else take its place: the next file that is opened
    would be stdout to everybody."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # takes the lowest that is free
        if getattr(sys, name) is None:
            stream = _Closed() if name == "stdout" else open(os.devnull, "w" if name == "stderr" else "r")  # noqa: SIM115
            setattr(sys, name, stream)


def complain(text: str, code: int) -> int:
    line = one_line(redact(" ".join(text.split())))
    if logs_json():
        log.error("%s", line)
    elif sys.stderr.isatty():
        from kaltura_archiver.output.screen import columns_of_terminal, wrapped

        for told in wrapped(line, columns_of_terminal(sys.stderr), indent=" " * 7, head="error: "):
            click.echo(told, err=True)
    else:
        click.echo(f"error: {line}", err=True)
    return code

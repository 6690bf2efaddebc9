"""The one way to write a file: whole or not at all, for this user alone unless told otherwise, never through a link."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from kaltura_archiver.errors import Exit, OutputError

PRIVATE = 0o600
_PAGE = b"<!DOCTYPE HTML"


class Sink(Protocol):
    """What takes bytes."""

    def write(self, data: bytes | memoryview, /) -> int: ...


class _GuardedFile:
    """A file that is being written; what goes wrong with it is told in the name of the file that it is to become."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, data: bytes | memoryview, /) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            raise failure(self._path, error, code=Exit.FAILED) from error

    def close(self, mode: int) -> None:
        """All of it is on the disk when this returns."""
        try:
            self._file.flush()
            if mode != PRIVATE:
                os.fchmod(self._file.fileno(), mode)
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise failure(self._path, error, code=Exit.FAILED) from error


def failure(path: Path | str, error: OSError, *, code: Exit = Exit.USAGE) -> OutputError:
    """What to raise for a file that cannot be written: by default, since the operator has to name another."""
    return OutputError(f"cannot write {path}: {error.strerror or error}", exit_code=code)


def check_target(path: Path, *, replace: bool = True) -> None:
    """Raise OutputError where `path` cannot become a file of ours: a link, a device, a folder, or, unless it may be
    replaced, anything that exists."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure(path, error) from error
    if stat.S_ISLNK(found.st_mode):
        raise OutputError(f"cannot write {path}: it is a link; name the file itself")
    if not stat.S_ISREG(found.st_mode):
        raise OutputError(f"cannot write {path}: it is there, and is no ordinary file")
    if not replace:
        raise OutputError(f"cannot write {path}: it exists")


@contextmanager
def written(path: Path, *, mode: int = PRIVATE, replace: bool = True) -> Iterator[Sink]:
    """What is written here becomes the file `path` when this ends well; until then `path` stays as it is.

    The bytes are on the disk before the file gets its name. Raises OutputError where that fails; nothing is left then.
    """
    check_target(path, replace=replace)
    try:
        # In the same folder, so that the new name cannot fail half-way; a name that nobody can guess, mode 0600.
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise failure(path, error) from error
    try:
        file = os.fdopen(handle, "wb")
        try:
            part = _GuardedFile(file, path)
            yield part
            part.close(mode)
        finally:
            with suppress(OSError):
                file.close()
        check_target(path, replace=replace)  # it may have come meanwhile
        try:
            _give_name(name, path, replace=replace)
        except OSError as error:
            raise failure(path, error) from error
    finally:
        with suppress(OSError):
            os.unlink(name)


def _give_name(name: str, path: Path, *, replace: bool) -> None:
    if replace:
        os.replace(name, path)
    else:
        try:
            os.link(name, path)  # which, unlike a rename, fails where there is a file by now
        except FileExistsError:
            raise
        except OSError:
            os.replace(name, path)  # a file system that knows no links
    with suppress(OSError):  # not every file system does that for a folder
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write(path: Path, content: bytes, *, mode: int = PRIVATE, replace: bool = True) -> None:
    """Make this the content of the file. Raises OutputError."""
    with written(path, mode=mode, replace=replace) as file:
        file.write(content)


def _is_page(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_PAGE)).upper() == _PAGE
    except OSError as error:
        raise failure(path, error) from error


@contextmanager
def written_whole(path: str, *, page: bool) -> Iterator[Sink]:
    """What is written here becomes the file, as by `written`, or goes to stdout for `-`.

    It may take the place of an older `page` if it is one itself; else of nothing, whose there it may be.
    """
    if path == "-":
        yield sys.stdout.buffer
        return
    target = Path(path)
    check_target(target)
    if target.exists() and target.stat().st_size and not (page and _is_page(target)):
        what = ", and is no page" if page else ""
        raise OutputError(f"cannot write {path}: it exists{what}; name another file, or remove it")
    with written(Path(path)) as file:
        yield file

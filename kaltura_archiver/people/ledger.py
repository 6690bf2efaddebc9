"""Who was told in a plan: written down when the mail server has taken a message, and before the next is sent."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from kaltura_archiver.errors import InputError, Locked
from kaltura_archiver.output.files import check_target
from kaltura_archiver.people.notices import Notice

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sent:
    """What the ledger says of a message: its entries, when it was sent, whether they are all marked, whose each was in
    the list, and the day that the message named (empty, and None, where an earlier version recorded it)."""

    entries: tuple[str, ...]
    at: datetime
    marked: bool = False
    owners: tuple[str, ...] = ()
    until: date | None = None

    @classmethod
    def now(cls, notice: Notice, until: date) -> Sent:
        owners = tuple(item.owner_id for item in notice.items.values())
        return cls(notice.entry_ids, datetime.now(UTC), owners=owners, until=until)


class Ledger:
    """Who was told in a plan: a line of JSON each in a file of the folder that one run at a time holds.

    A message is recorded when the server has accepted it, and before the next is sent. A run that is killed just
    between sends that one again, under the same Message-ID, as SMTP itself does where an answer is lost. Recorded
    before, the message of a killed run would never be sent, and nobody would know. A context manager.

    `may_be_lost`: where nothing can be written, as in the image's container, which is thrown away anyway, no record is
    kept. What is marked is known by its tag; just what a killed run has not marked yet is told once more.
    """

    def __init__(self, folder: Path, plan: str, *, dry_run: bool, may_be_lost: bool = False) -> None:
        self._plan = plan
        self._path = folder / "sent.jsonl"
        self._file: int | None = None
        self.sent: dict[str, Sent] = {}
        self.written: set[str] = set()
        self.reminded: dict[str, Sent] = {}
        try:
            if not dry_run:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                check_target(self._path)
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
                self._file = os.open(self._path, flags, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raw = self._path.read_bytes() if self._path.exists() else b""
        except BlockingIOError as error:
            raise Locked(f"another notify is writing to {folder}: wait for it, or use another --out") from error
        except OSError as error:
            if may_be_lost and error.errno == errno.EROFS:
                log.info("no record of messages is kept in %s: nothing can be written here", folder)
                return
            raise InputError(f"cannot use {self._path}: {error.strerror}") from error
        for number, line in enumerate(raw.splitlines(), 1):
            self._read(number, line)
        if raw and not raw.endswith(b"\n"):
            self._write(b"\n")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def _read(self, number: int, line: bytes) -> None:
        if not line.endswith(b"}"):
            return  # what a killed run has left of a line
        try:
            record = json.loads(line)
            plan, kind, key = record["plan"], record["kind"], record["owner"]
            at, owners = datetime.fromisoformat(record["at"]), tuple(record.get("owners", ()))
            until = date.fromisoformat(record["until"]) if record.get("until") else None
            sent = Sent(tuple(record["entries"]), at, kind == "marked", owners, until)
            if owners and len(owners) != len(sent.entries):
                raise ValueError("not an owner for each entry")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self._path}, line {number} is no record of a message") from error
        if plan == self._plan:
            if kind == "written":
                self.written.add(key)
            elif kind == "reminded":
                self.reminded[key] = sent
            else:
                self.sent[key] = sent

    def record(self, kind: str, notice: Notice, sent: Sent) -> None:
        """Write down that a message was `written`, `sent` or `reminded` of, or that its entries are `marked`."""
        # A file that was written may be written again; a message that was sent may not.
        self._write(self._line(kind, notice, sent), to_stay=kind != "written")

    def require_room(self, notice: Notice, sent: Sent) -> None:
        """Before a message is sent: InputError where it could not be recorded, lest each run send it again.

        Blanks are no record, should the run be killed here.
        """
        if self._file is None:
            return
        end = os.fstat(self._file).st_size
        try:
            self._write(b" " * len(self._line("reminded", notice, sent)))
        finally:
            os.ftruncate(self._file, end)

    def _line(self, kind: str, notice: Notice, sent: Sent) -> bytes:
        line = {
            "plan": self._plan,
            "kind": kind,
            "owner": notice.key,
            "address": notice.address,
            "entries": sent.entries,
            "owners": sent.owners,
            "at": sent.at.isoformat(timespec="seconds"),
            "until": sent.until.isoformat() if sent.until else None,
        }
        return json.dumps(line).encode() + b"\n"

    def _write(self, data: bytes, *, to_stay: bool = True) -> None:
        if self._file is None:
            return
        try:
            while data:
                data = data[os.write(self._file, data) :]
            if to_stay:
                os.fsync(self._file)
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}; no further message is sent") from error

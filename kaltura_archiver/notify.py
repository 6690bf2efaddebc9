"""Messages to owners about what is going to be replaced: one digest a person, made from an enriched list.

Templates are `string.Template`s: there is nothing to install, a template can run no code, and one function escapes
every value.
"""

from __future__ import annotations

import fcntl
import hashlib
import html
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from kaltura_archiver.errors import ConfigError, EntryFailed, InputError, Locked
from kaltura_archiver.files import check_target, write
from kaltura_archiver.model import NOTICE_PREFIX, Outcome, same_id
from kaltura_archiver.owners import ACTIVE, INACTIVE, UNKNOWN, TsvTable, column_index, opened, same_uid, uid_of

if TYPE_CHECKING:
    from kaltura_archiver.apply import Result

# What is read of a list, and the column that it is usually in. Without a title an entry goes by its id.
COLUMNS = {
    "entry_id": "entry_id",
    "owner_id": "owner_id",
    "creator_id": "creator_id",
    "ldap_status": "ldap_status",
    "name": "name",
    "org_unit": "org_unit",
    "mail": "mail",
    "title": "",
    "created_date": "created_date",
    "last_played_date": "last_played_date",
    "plays": "plays",
}
_OF_OWNERS = ("ldap_status", "name", "org_unit", "mail")
_NEEDED = ("entry_id", "owner_id", "ldap_status", "mail")
_ENTRY_ID = re.compile(r"[A-Za-z0-9_]{1,64}")

# Long lines and anything but ASCII are encoded, so that every server takes it.
_POLICY = SMTP.clone(cte_type="7bit")


@dataclass(frozen=True)
class Item:
    """One entry of a list, as its owner is told of it."""

    entry_id: str
    title: str
    created: str
    last_played: str
    plays: str
    owner: str
    owner_id: str = ""


@dataclass
class Notice:
    """A message to be: to an owner, or (`fallback`) to whoever is asked in the place of several.

    `key` names the recipient within a plan; no owner's begins with an @. Without an `address` nobody can be told:
    `why`.
    """

    key: str
    address: str = ""
    owner: str = ""
    name: str = ""
    unit: str = ""
    fallback: bool = False
    unknown: bool = False
    why: str = ""
    items: dict[str, Item] = field(default_factory=dict)  # by `same_id` of the entry's

    @property
    def entry_ids(self) -> tuple[str, ...]:
        """As they are spelled in the list."""
        return tuple(item.entry_id for item in self.items.values())


# Reading


def clean(text: str) -> str:
    """One line without anything that steers a terminal or a header; joiners are letters of some scripts."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable() or c in "\u200c\u200d")


def checked_address(text: str) -> str:
    """The mail address, or empty if it is none that every server takes. Of several, the first."""
    first = text.split(";")[0].strip()
    try:
        address = Address(addr_spec=first)
    except (ValueError, IndexError, TypeError):
        return ""
    plain = first.isascii() and first.isprintable() and " " not in first and len(first) <= 254
    return first if plain and address.username and address.domain and address.addr_spec == first else ""


def columns_of(table: TsvTable, prefix: str, named: Mapping[str, str], where: str) -> dict[str, int]:
    """Where in a row each of COLUMNS is, of those that the table has. Raises InputError if one is missing.

    A column of creators that is named, or the only one that there is, does for that of the owners.
    """
    usual = {role: (prefix if role in _OF_OWNERS else "") + name for role, name in COLUMNS.items()}
    if prefix:
        usual["title"] = "name"
    if "creator_id" in named and "owner_id" not in named:
        del usual["owner_id"]
    found: dict[str, int] = {}
    for role, name in {**usual, **named}.items():
        if name in table.columns:
            found[role] = table.columns.index(name)
        elif role in named:
            column_index(table.columns, name, where)
        elif role in _NEEDED and not (role == "owner_id" and "creator_id" in table.columns):
            hint = "enrich --columns mail writes it" if role in _OF_OWNERS else "list writes it"
            raise InputError(
                f"{where} has no column {name!r} ({hint}; --column {role}=NAME tells another name); "
                f"there are {', '.join(table.columns)}"
            )
    return found


def read_notices(
    table: TsvTable, columns: Mapping[str, int], *, fallback: str, of_units: Mapping[str, str], where: str
) -> list[Notice]:
    """Who is to be told of what, in the order of the list. Entries of one owner come together, each once."""
    notices: dict[str, Notice] = {}
    for number, row in enumerate(table, 2):
        cells = {role: clean(row[index]) for role, index in columns.items()}
        if not _ENTRY_ID.fullmatch(cells["entry_id"]):
            raise InputError(f"{where}, row {number}: {cells['entry_id'][:40]!r} is not an entry id")
        owner = cells.get("owner_id") or cells.get("creator_id", "")
        new = _recipient(cells, owner, fallback, of_units, f"{where}, row {number}")
        notice = notices.setdefault(new.key, new)
        item = Item(
            entry_id=cells["entry_id"],
            title=cells.get("title") or cells["entry_id"],
            created=cells.get("created_date") or "unknown",
            last_played=cells.get("last_played_date") or "never",
            plays=cells.get("plays") or "0",
            owner=" ".join(filter(None, (cells.get("name"), f"({owner})" if owner else "nobody"))),
            owner_id=owner,
        )
        notice.items.setdefault(same_id(item.entry_id), item)
    return list(notices.values())


def _recipient(
    cells: Mapping[str, str], owner: str, fallback: str, of_units: Mapping[str, str], where: str
) -> Notice:  # fmt: skip
    """The notice, without its entries, that the entry of a row belongs to."""
    status, unit, uid = cells["ldap_status"].lower(), cells.get("org_unit", ""), same_uid(uid_of(owner))
    if status not in (ACTIVE, INACTIVE, UNKNOWN, ""):
        raise InputError(f"{where}: ldap_status is {status[:20]!r}, neither {ACTIVE}, {INACTIVE}, {UNKNOWN} nor empty")
    owner = owner or "nobody"
    if status == UNKNOWN:
        why = "the directory could not be asked about this owner: run enrich again"
        return Notice(f"@unknown {uid}", owner=owner, unknown=True, why=why)
    mail = checked_address(cells["mail"])
    if status == ACTIVE and mail:
        # Also by the address: jane@a.edu and jane@b.edu, looked up whole, are two people.
        return Notice(f"{uid} {mail.lower()}", mail, owner, cells.get("name") or owner, unit)
    for name in (unit, *unit.split(";")):
        if address := of_units.get(same_uid(name)):
            return Notice(f"@unit {address.lower()}", address, unit=unit, fallback=True)
    if fallback:
        return Notice(f"@fallback {fallback.lower()}", fallback, fallback=True)
    gone = "has no mail address" if status == ACTIVE else "has left" if status else "is not known"
    why = f"the owner {gone}, and there is no address in their place (--fallback, --unit-file)"
    return Notice(f"@nobody {uid}", owner=owner, why=why)


def read_units(path: str) -> dict[str, str]:
    """Unit to address, of a TSV with the columns org_unit and mail. Raises InputError."""
    with opened(path) as file:
        table = TsvTable(file, path)
        unit, mail = (column_index(table.columns, name, path) for name in ("org_unit", "mail"))
        found = {}
        for number, row in enumerate(table, 2):
            address = checked_address(row[mail])
            if not address:
                raise InputError(f"{path}, row {number}: {row[mail][:60]!r} is not a mail address")
            if not row[unit].strip():
                raise InputError(f"{path}, row {number}: no org_unit")
            found[same_uid(row[unit])] = address
        return found


# Writing

_OF_MESSAGES = frozenset({"name", "unit", "count", "date", "contact"})
_OF_ENTRIES = frozenset({"entry_id", "title", "link", "created", "last_played", "plays", "owner"})
_TEMPLATES = {
    "subject.txt": _OF_MESSAGES,
    "message.txt": _OF_MESSAGES | {"entries"},
    "message.html": _OF_MESSAGES | {"entries"},
    "entry.txt": _OF_ENTRIES,
    "entry.html": _OF_ENTRIES | {"linked_title"},
}


class Templates:
    """The templates of a folder; of those that it does not have, the built-in ones. Raises ConfigError."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"--templates {folder}: no such folder")
        built_in = resources.files("kaltura_archiver") / "templates"
        self._templates: dict[str, Template] = {}
        names = [f"{kind}{name}" for kind in ("", "fallback_") for name in _TEMPLATES]
        for path in folder.iterdir() if folder else ():
            if path.suffix in (".txt", ".html") and path.name not in names:
                raise ConfigError(f"{path}: there is no such template; there are {', '.join(names)}")
        for name in names:
            own = folder / name if folder else None
            source = own if own and own.exists() else built_in / name
            try:
                template = Template(source.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"cannot read the template {source}: {error}") from error
            known = _TEMPLATES[name.removeprefix("fallback_")]
            if not template.is_valid():
                raise ConfigError(f"{source}: a $ that begins no name is written $$")
            if unknown := set(template.get_identifiers()) - known:
                raise ConfigError(f"{source}: there is no ${min(unknown)}; there are ${', $'.join(sorted(known))}")
            self._templates[name] = template

    def write(self, notice: Notice, *, replaced_on: date, contact: str, link: str) -> tuple[str, str, str]:
        """Subject, plain text and HTML. `link` leads to an entry, with {entry_id} in it; or it is empty."""
        kind = "fallback_" if notice.fallback else ""
        values = {
            "name": notice.name,
            "unit": notice.unit,
            "count": str(len(notice.items)),
            "date": replaced_on.isoformat(),
            "contact": contact,
        }

        def entries(name: str, escape: Callable[[str], str]) -> str:
            return "\n".join(self._entry(kind + name, item, link, escape) for item in notice.items.values())

        text = self._fill(f"{kind}message.txt", values, str, entries=entries("entry.txt", str))
        page = self._fill(f"{kind}message.html", values, html.escape, entries=entries("entry.html", html.escape))
        return clean(self._fill(f"{kind}subject.txt", values, str)), text, page

    def _entry(self, template: str, item: Item, link: str, escape: Callable[[str], str]) -> str:
        values = {name: getattr(item, name) for name in _OF_ENTRIES - {"link"}}
        values["link"] = link.replace("{entry_id}", item.entry_id)
        title = escape(item.title)
        linked = f'<a href="{escape(values["link"])}">{title}</a>' if link else title
        text = self._fill(template, values, escape, linked_title=linked)
        return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())

    def _fill(self, template: str, values: Mapping[str, str], escape: Callable[[str], str], **made: str) -> str:
        """The template with every value escaped; `made` are parts that are so already."""
        return self._templates[template].substitute({name: escape(value) for name, value in values.items()}, **made)


def message_id(plan: str, key: str, sender: str) -> str:
    """The same for the same plan and recipient: whoever gets a message twice after all can tell."""
    digest = hashlib.sha256(json.dumps([plan, key]).encode()).hexdigest()
    return f"<{digest[:40]}@{sender.rpartition('@')[2]}>"


def checked_sender(text: str, what: str) -> tuple[str, str]:
    """A header's value and the address in it, of `address` or `Name <address>`. Raises ConfigError."""
    headers = EmailMessage(policy=_POLICY)
    try:
        headers["From"] = text.strip()
        (one,) = headers["From"].addresses
        address = checked_address(one.addr_spec)
    except (ValueError, IndexError, AttributeError):
        address = ""
    if not address:
        raise ConfigError(f"{what}: {clean(text)[:80]!r} is not an address such as Video archive <video@example.edu>")
    return text.strip(), address


def compose(
    notice: Notice, written: tuple[str, str, str], *, sender: str, reply_to: str, identity: str, now: datetime
) -> EmailMessage:
    """The message. The recipient's name stands in its text only, where it can do no harm."""
    subject, text, page = written
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = notice.address
    if reply_to:
        message["Reply-To"] = reply_to
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = identity
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    message.add_alternative(page, subtype="html")
    return message


# What was sent


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
    """

    def __init__(self, folder: Path, plan: str, *, dry_run: bool) -> None:
        self._plan = plan
        self._path = folder / "sent.jsonl"
        self._file: int | None = None
        self.sent: dict[str, Sent] = {}
        self.written: set[str] = set()
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
            else:
                self.sent[key] = sent

    def record(self, kind: str, notice: Notice, sent: Sent) -> None:
        """Write down that a message was `written` or `sent`, or that its entries are `marked`."""
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
        # A file that was written may be written again; a message that was sent may not.
        self._write(json.dumps(line).encode() + b"\n", to_stay=kind != "written")

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


def file_name(notice: Notice, identity: str) -> str:
    """Of an .eml file: readable, and another for each recipient of each plan."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", notice.key.split(" ")[0]).strip("-") or "owner"
    return f"{name[:40]}-{identity[1:13]}.eml"


def write_file(path: Path, message: EmailMessage) -> None:
    """Write a message, whole or not at all, for this user's eyes only."""
    write(path, message.as_bytes())


# A run

Deliver = Callable[[EmailMessage, str], None]
Mark = Callable[[str, date, str, date | None], "Result"]


@dataclass(frozen=True)
class Post:
    """How the notices of a plan are brought to their recipients.

    `deliver` hands a message to the mail server; without it messages become files in `folder`. `mark` tags an entry
    with the day on which its owner was told, who that was, and which day the message named.
    """

    plan: str
    folder: Path
    ledger: Ledger
    templates: Templates
    sender: str
    sender_address: str
    reply_to: str
    replaced_on: date
    link: str
    dry_run: bool
    deliver: Deliver | None = None
    mark: Mark | None = None

    def one(self, notice: Notice) -> tuple[Outcome, str]:
        """Bring one notice to its recipient, unless that was done. Raises MailError where none will get through."""
        if not notice.address:
            return (Outcome.WAITING if notice.unknown else Outcome.REFUSED), notice.why
        identity = message_id(self.plan, notice.key, self.sender_address)
        path = self.folder / file_name(notice, identity)
        sent = self.ledger.sent.get(notice.key)
        if sent is not None:
            outcome, told = Outcome.ALREADY, f"sent on {sent.at:%Y-%m-%d}"
            if more := len(notice.items.keys() - set(map(same_id, sent.entries))):
                told += f"; {more} more entries were not in it: another --plan-id tells of them"
            if not self.dry_run:
                path.unlink(missing_ok=True)  # a run that was killed may have left it
        elif notice.key in self.ledger.written and not path.exists():
            return Outcome.ALREADY, f"written, and taken from {self.folder}"
        elif self.dry_run:
            outcome, told = Outcome.WOULD, "would send it" if self.deliver else f"would write {path}"
            sent = Sent.now(notice, self.replaced_on)
        else:
            sent = Sent.now(notice, self.replaced_on)
            try:
                told = self._bring(notice, identity, path, sent)
            except EntryFailed as error:
                return Outcome.FAILED, str(error)
            outcome = Outcome.DONE
        if self.mark and not sent.marked:
            return self._mark(notice, sent, outcome, told, self.mark)
        return outcome, told

    def _bring(self, notice: Notice, identity: str, path: Path, sent: Sent) -> str:
        contact = self.reply_to or self.sender_address
        written = self.templates.write(notice, replaced_on=self.replaced_on, contact=contact, link=self.link)
        message = compose(
            notice, written, sender=self.sender, reply_to=self.reply_to, identity=identity, now=sent.at
        )  # fmt: skip
        if self.deliver is None:
            write_file(path, message)
            self.ledger.record("written", notice, sent)
            return f"written to {path}"
        self.deliver(message, notice.address)
        self.ledger.record("sent", notice, sent)
        path.unlink(missing_ok=True)  # nobody is to send it a second time
        return "sent"

    def _mark(self, notice: Notice, sent: Sent, outcome: Outcome, told: str, mark: Mark) -> tuple[Outcome, str]:
        """Tag the entries of a message, only now that it is sent; those that fail are tagged by the next run."""
        day = sent.at.date()
        owners = sent.owners or ("",) * len(sent.entries)
        told_of = zip(sent.entries, owners, strict=True)
        results = [mark(entry_id, day, owner, sent.until) for entry_id, owner in told_of]
        if failed := [result for result in results if result.outcome is Outcome.FAILED]:
            return Outcome.FAILED, f"{told}; {len(failed)} of {len(results)} entries not marked: {failed[0].detail}"
        if self.dry_run:
            return outcome, f"{told} and mark {len(results)} entries"
        self.ledger.record("marked", notice, sent)
        told += f"; {len(results)} entries marked {NOTICE_PREFIX}{day}"
        if moved := [result.entry_id for result in results if result.outcome is Outcome.REFUSED]:
            told += f"; of other owners by now, who have had no notice: {', '.join(moved)}"
        return Outcome.DONE, told

"""LDAP: are these people still here? Reads only. The one module that imports ldap3."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from ldap3 import NONE, SUBTREE, Connection, Server
from ldap3.core.exceptions import LDAPInvalidFilterError, LDAPStartTLSError

from kaltura_archiver.config import LdapSettings
from kaltura_archiver.errors import ArchiverError, ConfigError, DirectoryError
from kaltura_archiver.people.ldap import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    IN_ALL_SECONDS,
    LDAP_FAULTS,
    CheckedTls,
    Found,
    checked_filter,
    entry_found,
    escape_value,
    ldap_address,
    ldap_login,
    reason_of,
    result_text,
)
from kaltura_archiver.people.owners import (
    ACTIVE,
    BATCH,
    DOUBTFUL,
    INACTIVE,
    UNKNOWN,
    Attributes,
    Owner,
    attributes_of,
    same_uid,
)
from kaltura_archiver.transfer.deadlines import ends, tls_context

log = logging.getLogger(__name__)
T = TypeVar("T")
# Before each further attempt: the first at once, for a server that has been restarted.
PAUSES = (0.0, 1.0, 2.0, 4.0)
# After all of them have failed the directory is left alone for so long, or for as long as that took.
REST_SECONDS = 10.0
PAGE = 500
# LDAP's results (RFC 4511, 4.1.9)
_SUCCESS, _SIZE_LIMIT, _BUSY, _UNAVAILABLE = 0, 4, 51, 52
_LIMITS = (3, _SIZE_LIMIT, 11)  # of time, of size, of the administrator


@dataclass(frozen=True)
class _SearchAnswer:
    """What one search gave; `referred`: part of the tree is kept by another server, which is not asked."""

    code: int
    reason: str
    found: list[Found]
    referred: bool
    cookie: bytes


class _Split(Exception):
    """The question has to be asked in halves."""


class Directory:
    """One connection to the directory, opened anew when it breaks. A context manager.

    Raises ConfigError for what only a person can put right (a certificate, a refused bind or search), as long as nobody
    has been found. Later, and for a server that is down, `search` raises DirectoryError, and `look_up` calls owners
    unknown. `searches` counts the searches sent.
    """

    def __init__(
        self, settings: LdapSettings, attributes: Attributes, *, pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._host, self._port, self._tls = ldap_address(settings)
        self._where = f"the directory at {self._host}:{self._port}"
        self._login = ldap_login(settings, self._tls)
        self._base = settings.base
        self._instead = (
            "name a narrower LDAP_BASE, such as that of the people; of Active Directory ask the global catalog, "
            f"LDAP_PORT={3269 if self._tls == 'ldaps' else 3268}"
        )
        self._filter = checked_filter(settings.filter, "LDAP_FILTER")
        self._attributes = attributes
        self._context = tls_context(settings.ca_file, "LDAP_CA_FILE")
        self._pause, self._clock = pause, clock
        self._resting = (0.0, "")
        self._connection: Any = None
        self._batch = BATCH
        self._somebody_seen = False
        self.searches = 0

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*LDAP_FAULTS):
                connection.unbind()
            if connection.socket is not None:
                connection.socket.close()  # ldap3 leaves it open when the connection never came about

    def _refused(self, text: str, code: str = "") -> ArchiverError:
        """Before anybody was found it is the settings that are wrong; later the run goes on without an answer."""
        return DirectoryError(text, code=code) if self._somebody_seen else ConfigError(text)

    def _connect(self) -> Any:
        tls = CheckedTls(self._context, self._host)
        server = Server(
            self._host, self._port, use_ssl=self._tls == "ldaps", tls=tls, get_info=NONE,
            connect_timeout=CONNECT_SECONDS,
        )  # fmt: skip
        connection = Connection(
            server, **self._login, read_only=True, auto_referrals=False, check_names=False, auto_escape=False,
            auto_encode=False, receive_timeout=ANSWER_SECONDS,
        )  # fmt: skip
        self._connection = connection
        try:
            with ends(lambda: connection.socket, IN_ALL_SECONDS):
                connection.open(read_server_info=False)
                if self._tls == "starttls":
                    connection.start_tls(read_server_info=False)
                    if not connection.tls_started:
                        raise LDAPStartTLSError("not started")
                bound = connection.bind(read_server_info=False)
        except LDAP_FAULTS as error:
            if tls.refusal:
                raise self._refused(
                    f"{self._where} is not trusted: {tls.refusal} (LDAP_CA_FILE names the authority that signed it)"
                ) from error
            if isinstance(error, LDAPStartTLSError) and not isinstance(error.__context__, OSError):
                raise self._refused(f"{self._where} does not do StartTLS: {error}") from error
            raise DirectoryError(f"cannot reach {self._where}: {reason_of(error)}", retryable=True) from error
        result = connection.result
        if not bound and result["result"] in (_BUSY, _UNAVAILABLE):
            raise DirectoryError(f"{self._where} is busy: {result['description']}", retryable=True)
        if not bound:
            who = self._login.get("user", "nobody (anonymous)")
            raise self._refused(
                f"{self._where} refused the bind as {who}: {result_text(result)} "
                "(LDAP_USER, LDAP_PWD, LDAP_BIND_PATTERN)"
            )
        return connection

    def _trying(self, attempt: Callable[[], T]) -> T:
        """Attempt it until it succeeds, with longer and longer pauses; then give up, and not try again for a while."""
        began = self._clock()
        until, why = self._resting
        if began < until:
            raise DirectoryError(why)
        for pause in (*(() if why else PAUSES), None):
            try:
                done = attempt()
            except DirectoryError as error:
                self._close()
                if not error.retryable or pause is None:
                    now = self._clock()
                    self._resting = (now + max(REST_SECONDS, now - began), str(error))
                    raise
                log.debug("%s; trying again in %.0f s", error, pause)
                self._pause(pause)
            except ConfigError:
                self._close()
                raise
            else:
                self._resting = (0.0, "")
                return done
        raise AssertionError("the last attempt returns or raises")

    def open(self) -> None:
        """Sign in now, so that what is wrong with the settings shows before anything is written."""
        self._trying(self._connected)

    def _connected(self) -> Any:
        return self._connection if self._connection is not None else self._connect()

    def _ask(self, question: str, attributes: Sequence[str], **limits: Any) -> _SearchAnswer:
        def attempt() -> _SearchAnswer:
            connection = self._connected()
            try:
                self.searches += 1
                with ends(lambda: connection.socket, IN_ALL_SECONDS):
                    connection.search(self._base, question, SUBTREE, attributes=list(attributes), **limits)
                result, response = connection.result, connection.response or []
                found = [entry_found(item) for item in response if item["type"] == "searchResEntry"]
            except LDAPInvalidFilterError as error:
                raise ConfigError(f"not an LDAP filter: {question[:80]}") from error
            except LDAP_FAULTS as error:
                raise DirectoryError(f"{self._where} broke off: {reason_of(error)}", retryable=True) from error
            if result["result"] in (_BUSY, _UNAVAILABLE):
                raise DirectoryError(f"{self._where} is busy: {result_text(result)}", retryable=True)
            referred = any(item["type"] == "searchResRef" for item in response)
            controls = result.get("controls") or {}
            cookie = controls.get("1.2.840.113556.1.4.319", {}).get("value", {}).get("cookie") or b""
            return _SearchAnswer(result["result"], result_text(result), found, referred, cookie)

        answer = self._trying(attempt)
        if answer.code not in (_SUCCESS, *_LIMITS):
            raise self._refused(
                f"{self._where} refused the search below {self._base}: {answer.reason}", str(answer.code)
            )
        return answer

    def search(self, question: str, attributes: Sequence[str]) -> Iterator[Found]:
        """The entries that match the filter, page by page; DirectoryError if the server does not give them all."""
        question = checked_filter(question, "this")
        cookie: bytes | None = None
        while cookie != b"":
            answer = self._ask(question, attributes, paged_size=PAGE, paged_cookie=cookie)
            yield from answer.found
            self._somebody_seen = self._somebody_seen or bool(answer.found)
            if answer.code != _SUCCESS:
                raise DirectoryError(f"{self._where} gave only part of what matches: {answer.reason}")
            if answer.referred:
                log.warning(
                    "%s refers to other servers for part of the tree: they were not asked; %s",
                    self._where, self._instead,
                )  # fmt: skip
            cookie = answer.cookie

    def look_up(self, uids: Sequence[str]) -> dict[str, Owner]:
        """The owner of each uid. What could not be found out is unknown, never inactive, and logged as an error."""
        owners: dict[str, Owner] = {}
        batches = [list(uids)]
        while batches:
            batch = batches.pop()
            half = min(len(batch) // 2, self._batch)
            try:
                if len(batch) > self._batch:
                    raise _Split
                owners |= self._standing(batch)
            except _Split:
                batches += [batch[half:], batch[:half]]
            except DirectoryError as error:
                log.error("%d owners are unknown: %s", len(batch), error)
                owners |= dict.fromkeys(batch, Owner(UNKNOWN))
        return owners

    def _standing(self, uids: Sequence[str]) -> dict[str, Owner]:
        """The owners of so many uids by one search; _Split when its answer does not tell about each of them."""
        alone = len(uids) == 1
        any_of = "".join(f"({self._attributes.uid}={escape_value(uid)})" for uid in uids)
        answer = self._ask(f"(&(|{any_of}){self._filter})", self._attributes.all())
        if answer.code in _LIMITS and not alone:
            self._batch = max(1, len(uids) // 2)
            raise _Split
        found: dict[str, list[Found]] = {}
        for entry in sorted(answer.found, key=lambda entry: entry.dn):
            keys = {same_uid(value) for value in entry.attributes.get(self._attributes.uid.lower(), ())}
            asked = uids if alone else [uid for uid in uids if same_uid(uid) in keys]
            if not asked:
                # The server takes more for equal than we do, or does not show the uid.
                raise _Split
            for uid in asked:
                found.setdefault(uid, []).append(entry)
        self._somebody_seen = self._somebody_seen or bool(found)
        owners: dict[str, Owner] = {}
        for uid, entries in found.items():
            people = [self._attributes.owner(ACTIVE, entry.attributes) for entry in entries]
            owners[uid] = people[0]
            if len({person.mail for person in people}) > 1:
                log.warning("%r: %d people in the directory, with addresses of their own: unknown", uid, len(entries))
                owners[uid] = DOUBTFUL
            elif len(entries) > 1:
                log.warning("%r: %d people in the directory; the first is shown", uid, len(entries))
        missing = [uid for uid in uids if uid not in owners]
        if missing and answer.code in _LIMITS:
            raise DirectoryError(f"{self._where} did not finish the search: {answer.reason}")
        if missing and answer.referred:
            log.error(
                "%d owners are unknown: %s refers to other servers for part of the tree below %s: %s",
                len(missing), self._where, self._base, self._instead,
            )  # fmt: skip
            return owners | dict.fromkeys(missing, Owner(UNKNOWN))
        if missing and not self._somebody_seen:
            self.make_sure_of_somebody()
        for uid in missing:
            # One entry may answer for two spellings that only the server takes for equal: ask for the odd one alone.
            owners[uid] = Owner(INACTIVE) if alone or uid.isascii() else self._standing([uid])[uid]
        return owners

    def make_sure_of_somebody(self) -> None:
        """A directory that shows nobody at all, for want of rights or by a wrong base, would make everyone inactive."""
        answer = self._ask(f"(&({self._attributes.uid}=*){self._filter})", ["1.1"], size_limit=1)
        if not answer.found:
            text = (
                f"{self._where} shows nobody below {self._base} that matches {self._filter} "
                "(LDAP_BASE, LDAP_FILTER, LDAP_UID_ATTRIBUTE, and what this user may read)"
            )
            raise ConfigError(text) if answer.code == _SUCCESS else DirectoryError(f"{text}: {answer.reason}")
        self._somebody_seen = True

    def check(self) -> None:
        """Raise ConfigError, DirectoryError unless it can tell who is there and who is not."""
        self.open()
        self.make_sure_of_somebody()
        # The whole tree has to be gone through for somebody who is nowhere.
        if self._ask(f"({self._attributes.uid}=nobody-{os.urandom(8).hex()})", ["1.1"]).referred:
            raise ConfigError(
                f"{self._where} refers to other servers for part of the tree below {self._base}: who is not found is "
                f"unknown for ever; {self._instead}"
            )


def check_directory(settings: LdapSettings) -> str:
    """What `config` tells of a directory that can be asked and shows somebody. Raises ConfigError, DirectoryError."""
    with Directory(settings, attributes_of(settings)) as directory:
        directory.check()
    return f"{settings.server}, base {settings.base}, as {settings.user or 'nobody (anonymous)'}"

"""Signing in to Kaltura, and making a call: at the right pace, again where that is safe, and never for ever."""

from __future__ import annotations

import hashlib
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar

import requests
from KalturaClient.Base import KalturaConfiguration
from KalturaClient.exceptions import KalturaClientException, KalturaException
from KalturaClient.Plugins.Core import KalturaSessionType

from kaltura_archiver.config import Settings
from kaltura_archiver.errors import ConfigError, KalturaError, Stopped
from kaltura_archiver.kaltura.answers import field_int, field_text
from kaltura_archiver.kaltura.errors import NOT_ACTED, RATE_LIMIT, translated, unreachable
from kaltura_archiver.kaltura.wire import WireClient, carrier_to
from kaltura_archiver.redact import hide, redact
from kaltura_archiver.transfer.bandwidth import Bandwidth
from kaltura_archiver.transfer.curl import Carriers
from kaltura_archiver.transfer.pacing import MAX_REFUSALS, Pace

log = logging.getLogger(__name__)
T = TypeVar("T")
LookAgain = Callable[[], object]
MAX_TRIES = 5
# A look is so long good enough to act on.
FRESH_SECONDS = 2.0
# After so long no call is tried again, however it failed.
RETRY_SECONDS = 300.0
FIRST_SECONDS = 1.0  # the same for an address at which nobody has ever answered
_TOKEN_ID = re.compile(r"\d+_\w+")
# Of app tokens, the likely ones first: new ones are mostly made with SHA256, SHA1 is what a token has by default.
HASH_TYPES = ("sha256", "sha1", "sha512", "md5")


def _notes_of(session: Any, wanted_user: str) -> tuple[str, ...]:
    """What a session that an app token gave lacks, by Kaltura's own answer; nothing where it does not say."""
    kind, privileges = field_int(session.sessionType), field_text(session.privileges).split(",")
    notes = []
    if wanted_user and (user := field_text(session.userId)) and user != wanted_user:
        notes.append(f"the app token is the user {user}'s: KALTURA_USERID {wanted_user} does not count; leave it out")
    if kind is not None and kind != KalturaSessionType.ADMIN:
        notes.append(
            "the app token gives user sessions: entries of other people cannot be changed and searches may not show "
            "them; make one with sessionType 2 (ADMIN)"
        )
    if "disableentitlement" not in privileges:
        notes.append(
            "the app token lacks the privilege disableentitlement: entries in private categories may not be seen; "
            "make one whose sessionPrivileges hold it"
        )
    return tuple(notes)


class Session:
    """Safe to use from many threads; every method raises KalturaError.

    `read_only` is the second wall of a dry run: methods that change something then raise AssertionError. Reads are
    retried with growing pauses, and so is what does no harm if it is done twice; any other write is repeated only when
    Kaltura said that nothing was done, so after any other failure of it its outcome has to be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        read_only: bool,
        stop: threading.Event | None = None,
        bandwidth: Bandwidth | None = None,
        calls: AbstractContextManager[object] | None = None,
    ) -> None:
        """`calls` is entered for the time of each call."""
        self._settings = settings
        self._read_only = read_only
        self._stop = stop or threading.Event()
        self._idle: list[Any] = []  # clients, the last one used last
        self._bandwidth = bandwidth
        self._calls = calls or nullcontext()
        self._carriers = Carriers(carrier_to)
        self._session_lock = threading.Lock()
        self._ks = ""
        self._params_lock = threading.Lock()
        self._usual_tags: dict[int, frozenset[str]] | None = None
        self._partner = settings.partner_id.strip().lstrip("0")
        self._paths: dict[int, tuple[float, frozenset[int], str]] = {}  # (when read, above, full name) of a category
        self._hash_types: tuple[str, ...] = HASH_TYPES
        self.session_user = settings.user_id  # an app token may have a user of its own
        self._session_notes: tuple[str, ...] = ()  # what is odd about the session that an app token gives
        self._heard = ("", 0.0)  # what time it was there, and here
        self.pace = Pace(self._pause, "Kaltura")

    def sign_in(self) -> None:
        """Open a session; ConfigError tells what is wrong with the credentials or the address."""
        with self._session_lock:
            self._start_session()

    def _start_session(self) -> None:
        s = self._settings
        try:
            partner = int(s.partner_id)
        except ValueError:
            raise ConfigError(
                "KALTURA_PARTNERID must be a number, as in the KMC: Settings, Integration Settings"
            ) from None
        if s.app_token_id and not _TOKEN_ID.fullmatch(s.app_token_id):  # which may be the token itself
            raise ConfigError(
                "KALTURA_APP_TOKEN_ID is not the id of an app token, such as 0_abc12345: check both of them"
            )
        client = self._take_client()
        client.requestConfiguration.pop("ks", None)  # one that is set to anything is looked at: INVALID_KS [R]
        try:
            ks = self._app_session(client, partner) if s.app_token_id else self._secret_session(client, partner)
        except KalturaError as error:
            if error.code == "":
                raise ConfigError(
                    f"cannot reach Kaltura at {redact(s.service_url)}: {error}; check KALTURA_SERVICE_URL"
                ) from error
            raise ConfigError(f"cannot sign in: {self._sign_in_advice(error, partner)}") from error
        if not ks:
            raise ConfigError("Kaltura gave no session; check the credentials and KALTURA_SERVICE_URL")
        hide(ks)
        self._ks = ks
        self._idle.append(client)

    def _secret_session(self, client: Any, partner: int, kind: int = KalturaSessionType.ADMIN) -> str:
        s = self._settings
        start = partial(client.session.start, s.secret, s.user_id, kind, partner, 86400, "disableentitlement")
        return field_text(self._retrying("sign in", start))

    def _app_session(self, client: Any, partner: int) -> str:
        """Exchange an app token for a KS.

        Nobody tells its hash type: the widget's answer has no such field, and appToken.get is not for widget sessions.
        So the likely ones are tried in turn, which locks nothing [R S24-S27], and the right one is remembered.
        """
        s = self._settings
        widget = self._retrying("sign in", lambda: client.session.startWidgetSession(f"_{partner}"))
        widget_ks = field_text(getattr(widget, "ks", ""))
        if not widget_ks:
            raise KalturaError("sign in: Kaltura gave no session of the default widget", retryable=True)
        hide(widget_ks)
        client.setKs(widget_ks)
        for name in self._hash_types:
            token_hash = hashlib.new(name, (widget_ks + s.app_token).encode()).hexdigest()
            user = s.user_id or NotImplemented
            start = partial(
                client.appToken.startSession, s.app_token_id, token_hash, user, KalturaSessionType.ADMIN, 86400
            )
            try:
                answer: Any = self._retrying("sign in", start)
            except KalturaError as error:
                if error.code == "INVALID_APP_TOKEN_HASH" and name != self._hash_types[-1]:
                    continue
                raise
            self._hash_types = (name,)
            self.session_user = field_text(answer.userId)
            if (notes := _notes_of(answer, s.user_id)) != self._session_notes:
                self._session_notes = notes
                for note in notes:  # whatever is done then: it may be done to a part only
                    log.warning("kaltura: %s", note)
            return field_text(answer.ks)
        raise AssertionError("unreachable")

    def _sign_in_advice(self, error: KalturaError, partner: int) -> str:
        """What a refused sign-in means and what to do about it (real-kaltura S02-S09, S13, S24-S34)."""
        s = self._settings
        said = str(error).removeprefix("sign in: ")
        if error.code == "SERVICE_FORBIDDEN_CONTENT_BLOCKED":
            return f"there is no account {partner}, or it is blocked ({said}); check KALTURA_PARTNERID"
        if error.code == "INVALID_WIDGET_ID":
            return (
                f"account {partner} has no default widget _{partner}, without which no app token works ({said}); check "
                "KALTURA_PARTNERID, have the widget made again by Kaltura's support, or use KALTURA_SECRET"
            )
        if error.code == "INVALID_APP_TOKEN_HASH":
            return f"KALTURA_APP_TOKEN is not the token of KALTURA_APP_TOKEN_ID {s.app_token_id} ({said})"
        if s.app_token_id:
            return f"{said}; check KALTURA_PARTNERID, KALTURA_APP_TOKEN_ID and KALTURA_APP_TOKEN"
        if error.code == "START_SESSION_ERROR" and self._is_user_secret(partner):
            return (
                f"KALTURA_SECRET is the user secret of account {partner}, which opens no session that may change "
                "entries; take the administrator secret, or better an app token"
            )
        if error.code == "START_SESSION_ERROR":
            return f"KALTURA_SECRET is not the administrator secret of account {partner} ({said}); check both"
        return f"{said}; check KALTURA_PARTNERID and KALTURA_SECRET"

    def _is_user_secret(self, partner: int) -> bool:
        """Whether the secret that opens no admin session opens a user's (S06, S07)."""
        client = self._take_client()
        client.requestConfiguration.pop("ks", None)
        try:
            ks = self._secret_session(client, partner, KalturaSessionType.USER)
        except KalturaError:
            return False
        hide(ks)
        return bool(ks)

    def user_exists(self, user_id: str) -> bool | None:
        """Whether the account has this user; None if we may not ask."""
        try:
            self._call("look for the user", lambda c: c.user.get(user_id))
        except KalturaError as error:
            if error.code == "INVALID_USER_ID":
                return False
            if error.retryable:
                raise
            return None
        return True

    def _take_client(self) -> Any:
        """A client that is nobody else's: KalturaApiClient is not thread-safe. To be given back when it did well.

        After an error it is of no more use (kaltura-api 1.4). More threads wait than call, so they have none each.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return WireClient(KalturaConfiguration(self._settings.service_url.rstrip("/")), self._carriers)

    def _retrying(
        self,
        what: str,
        call: Callable[[], T],
        *,
        once: bool = False,
        look: LookAgain | None = None,
        looked_at: float = 0.0,
    ) -> T:
        """Make a call; again, with growing pauses, where that is safe (kaltura-api 9): after any failure that may pass,
        or, of what is to be done `once` only, after those that tell that nothing was done.

        `look` is what the caller has looked at, at `looked_at` by the monotonic clock. It is taken again before each
        further attempt, and where the turn was long in coming: nothing is done by what was seen some time ago.
        """
        tries, refusals, looks, again, stale = self.attempts(), 0, 0, False, False
        next(tries)
        until = time.monotonic() + RETRY_SECONDS
        while True:
            if look and (again or stale):
                look()
                looked_at, stale = time.monotonic(), False
            try:
                with self._calls:
                    called_at = self.pace.wait(again=again)
                    if look and called_at - looked_at > FRESH_SECONDS:
                        looks, stale = looks + 1, True
                        if looks > MAX_TRIES:
                            why = f"{what}: its turn never came soon after a look; run the command again"
                            raise KalturaError(why, code="NO_TURN")
                        continue
                    answer = call()
            except (KalturaException, KalturaClientException, requests.RequestException, AttributeError) as error:
                # AttributeError is how the client fails on an answer that is not XML (kaltura-api 1.4).
                failure, nobody = translated(error, what), not self._heard[1] and bool(unreachable(error))
            except KalturaError as error:
                failure, nobody = error, False
            else:
                self.pace.passed()
                return answer
            again = True
            if failure.code == RATE_LIMIT and refusals < MAX_REFUSALS:
                # It is about all our threads together.
                refusals += 1
                self.pace.refused(called_at)
                log.debug("%s; all calls pause", failure)
                continue
            safe = failure.code in NOT_ACTED if once else failure.retryable
            over = failure.code == RATE_LIMIT or time.monotonic() >= until
            # An address at which nobody has ever answered is more likely wrong than resting.
            over = over or (nobody and time.monotonic() >= until - RETRY_SECONDS + FIRST_SECONDS)
            if not safe or over or next(tries, None) is None:
                raise failure
            log.debug("%s; trying again", failure)

    def attempts(self, most: int | None = None, *, first_seconds: float = 0.5) -> Iterator[bool]:
        """MAX_TRIES attempts, or `most`, with a growing pause before each but the first: True for the last of them."""
        most = most or MAX_TRIES
        for number in range(1, most + 1):
            if number > 1:
                pause = min(first_seconds * 2 ** (number - 2), 15)
                self._pause(pause * (0.5 + random.random()))  # noqa: S311 - jitter
            yield number == most

    def _pause(self, seconds: float) -> bool:
        if seconds > 0 and self._stop.wait(seconds):
            raise Stopped("asked to stop")
        return False

    def _call(
        self,
        what: str,
        call: Callable[[Any], T],
        *,
        writes: bool = False,
        harmless: bool = False,
        look: LookAgain | None = None,
    ) -> T:
        """Make a call with a KS, renewed once if Kaltura says that it has run out; then nothing had been done.

        One that `writes` is refused in a dry run, and made once only, unless it is `harmless` if it is made twice.
        `look` is what was looked at just before, and has to be again if time goes by; see `_retrying`.
        """
        if writes and self._read_only:
            raise AssertionError(f"a dry run must not {what}")
        looked_at = time.monotonic()
        for renewed in (False, True):
            with self._session_lock:  # which may take as long as somebody else's signing in
                if not self._ks:
                    self._start_session()
                ks = self._ks

            def attempt(ks: str = ks) -> T:
                client = self._take_client()
                client.setKs(ks)
                answer = call(client)
                self._heard = (client.responseHeaders.get("Date", ""), time.time())
                self._idle.append(client)
                return answer

            try:
                once = writes and not harmless
                return self._retrying(what, attempt, once=once, look=look, looked_at=0.0 if renewed else looked_at)
            except KalturaError as error:
                ended = error.code == "INVALID_KS" and ('"EXPIRED"' in str(error) or '"LOGOUT"' in str(error))
                if renewed or not ended:
                    raise
                with self._session_lock:
                    if self._ks == ks:
                        self._ks = ""
        raise AssertionError("unreachable")

    def now(self) -> float:
        """Unix seconds on Kaltura's clock, as its last answer told it; on ours where none did."""
        date, heard_at = self._heard
        with suppress(TypeError, ValueError):
            return parsedate_to_datetime(date).timestamp() + time.time() - heard_at
        return time.time()

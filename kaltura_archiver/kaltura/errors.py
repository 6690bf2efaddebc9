"""Kaltura's error codes, and what they mean for a call (kaltura-api 9)."""

from __future__ import annotations

import re
import socket
import ssl

import requests
from KalturaClient.exceptions import KalturaClientException, KalturaException

from kaltura_archiver.errors import KalturaError
from kaltura_archiver.redact import redact

# kaltura-api 9. Nothing was done when one of these comes back, so even a write may be made again.
RATE_LIMIT = "ACTION_BLOCKED"
NOT_ACTED = frozenset({RATE_LIMIT, "LOCK_TIMED_OUT"})
RETRYABLE = NOT_ACTED | {
    "INTERNAL_SERVERL_ERROR",
    "INTERNAL_SERVER_ERROR",
    "INTERNAL_DATABASE_ERROR",
    "SEARCH_ENGINE_QUERY_FAILED",
    "FILE_PENDING",
    "UPLOAD_TOKEN_CANNOT_MATCH_EXPECTED_SIZE",
}
ENTRY_GONE, CATEGORY_GONE = "ENTRY_ID_NOT_FOUND", "CATEGORY_NOT_FOUND"
FEATURE_FORBIDDEN = "FEATURE_FORBIDDEN"
ALREADY_REPLACED = "ENTRY_REPLACEMENT_ALREADY_EXISTS"
# What the file host says when it may not serve, and will not in a minute either (KExternalErrors of kaltura/server,
# [read]): it knows no session, so that rules which let an admin pass do not help. Its other errors may pass.
FORBIDDEN = "ACCESS_CONTROL_RESTRICTED"
ACCESS_CONTROL = (
    "the access control of the entry forbids it; in Kaltura, allow this machine's address in the entry's access "
    "control profile, or give the entry another profile for as long as this takes, and run the command again"
)
_NOT_SERVED = {
    2: "the entry is outside of its scheduled time; change its start or end date in Kaltura",
    3: ACCESS_CONTROL,
    13: "the entry waits for moderation, or was rejected; approve it in Kaltura",
    15: "the account is not active; ask Kaltura",
    16: "Kaltura does not serve to the country of this machine; ask Kaltura to, or run this elsewhere",
    18: "the account's delivery settings forbid this way of download; ask Kaltura to allow it for this machine",
    30: "the account's access control forbids it; in Kaltura, allow this machine's address",
    34: "this machine's address is not among those that the account allows; add it in Kaltura",
    40: "the account may not be served by this host; ask Kaltura",
    53: "this host serves only to hosts that authenticate; ask Kaltura for another delivery profile",
}


def never_served(reason: str) -> str:
    """What to do where the file host's error, `exiting on error N - text`, is one that does not pass; else empty."""
    found = re.match(r"exiting on error (\d+)\b", reason)
    return _NOT_SERVED.get(int(found[1]), "") if found else ""


def translated(error: Exception, what: str) -> KalturaError:
    if isinstance(error, KalturaException):
        code = str(error.code)
        # An ordinary error text names ids only; that of a KS may quote the KS itself (kaltura-api 2).
        text = redact(" ".join(str(error.message).split()))[:300]
        return KalturaError(
            f"{what}: Kaltura says {text} ({redact(code)[:60]})", code=code, retryable=code in RETRYABLE
        )
    error_text = error.message if isinstance(error, KalturaClientException) else error
    why = unreachable(error)
    if isinstance(error_text, requests.Timeout | TimeoutError):
        shown = "no answer in time"
    elif why:
        shown = why
    elif isinstance(error_text, requests.ConnectionError | ConnectionError):
        shown = "the connection failed"
    else:
        shown = redact(" ".join(str(error_text).split()))[:200]
    return KalturaError(f"{what}: no proper answer from Kaltura ({shown})", retryable=True)


def unreachable(error: BaseException) -> str:
    """Why there is nobody to talk to: no such host, nobody listens, no TLS that is trusted; empty for other reasons."""
    seen: list[object] = [error]
    for at in seen:  # which grows meanwhile: urllib3 and requests wrap what happened, in their own ways
        if isinstance(at, socket.gaierror):
            return f"no such host: {at.strerror or at}"
        if isinstance(at, ConnectionRefusedError):
            return "connection refused: nothing listens there"
        if isinstance(at, ssl.SSLError):
            return f"no TLS connection: {redact(str(getattr(at, 'verify_message', '') or at.reason or at))[:150]}"
        if isinstance(at, BaseException):
            more = (*at.args, getattr(at, "message", None), getattr(at, "reason", None), at.__cause__, at.__context__)
            seen += [one for one in more if isinstance(one, BaseException) and all(one is not other for other in seen)]
    return ""


def mixed_up(asked: str, told: str) -> KalturaError:
    return KalturaError(
        f"Kaltura was asked for {asked} and answered with {told}: a cache or proxy on the way mixes answers up "
        "(check KALTURA_SERVICE_URL); nothing is done about it",
        retryable=True,
    )

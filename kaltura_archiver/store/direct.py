"""S3's calls that move bytes, past boto3: over that, most of the CPU time of a small object goes to everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from kaltura_archiver.store.errors import RATE_LIMITS
from kaltura_archiver.transfer.chunks import Chunk
from kaltura_archiver.transfer.curl import Answer, Carrier, Signing
from kaltura_archiver.transfer.pacing import Pace
from kaltura_archiver.transfer.streams import Inflow, is_rest

# So many calls in a row that came to nothing, and this way is given up: each may have cost a time-out.
MAX_FAILURES = 3
# Answers that will not be others the next time: redirections, too, which are for who knows how to follow them.
_FOR_GOOD = frozenset({301, 302, 303, 307, 308, 400, 401, 405, 501})
# Of a read these tell of the object, not of the way.
_OF_THE_OBJECT = frozenset({403, 404, 412})


class Direct:
    """Signed GETs and PUTs of a bucket's objects. It knows success only.

    Whatever else comes, boto3 has to make the same call, which tries again and tells what is wrong: so every call must
    be one that may be made twice. Once S3 has refused a call, or some came to nothing, none is made any more.
    """

    def __init__(
        self,
        carrier: Carrier,
        address: str,
        region: str,
        credentials: Callable[[], Any],
        pace: Pace,
        *,
        sign_bodies: bool,
    ) -> None:
        """`address` is what stands before a key; `credentials` gives the ones of now (botocore's frozen credentials).

        `sign_bodies` where no TLS protects them.
        """
        self._carrier, self._region, self._sign_bodies = carrier, region, sign_bodies
        self._address, self._credentials, self._pace = address, credentials, pace
        self._failures = {"GET": 0, "PUT": 0}  # in a row

    def put(self, key: str, body: Chunk, headers: Mapping[str, str], **query: str) -> str:
        """The ETag that S3 gave to what it took; empty if it is not known to have taken it."""
        wanted = "&".join(f"{name}={quote(query[name], safe='~')}" for name in sorted(query))
        headers = {**headers, "x-amz-content-sha256": body.sha256() if self._sign_bodies else "UNSIGNED-PAYLOAD"}

        def send(url: str, signing: Signing) -> Answer:
            url = f"{url}?{wanted}" if wanted else url
            return self._carrier.send("PUT", url, headers, body, len(body), signing=signing)

        answer = self._made("PUT", key, headers, send)
        stored = answer.status == 200 and not answer.body
        return answer.headers.get("etag", "") if stored else ""

    def get(self, key: str, etag: str, inflow: Inflow) -> bool:
        """Have the rest of the object with this ETag come; whether any of it did."""
        offset = inflow.received
        headers = {"range": f"bytes={offset}-", "if-match": etag}

        def wanted(answer: Answer) -> bool:
            same = answer.headers.get("etag", "").strip('"') == etag.strip('"')
            rest = is_rest(answer.headers.get("content-range"), offset, inflow.size_bytes)
            return answer.status == 206 and same and rest

        def fetch(url: str, signing: Signing) -> Answer:
            try:
                return self._carrier.get(url, headers, inflow, wanted, signing=signing)
            except OSError:
                if inflow.received == offset:
                    raise
                return Answer(206)  # cut

        return self._made("GET", key, headers, fetch).status == 206 and inflow.received > offset

    def _made(self, kind: str, key: str, headers: Mapping[str, str], call: Callable[[str, Signing], Answer]) -> Answer:
        if self._failures[kind] >= MAX_FAILURES or not _is_simple(key, headers):
            return Answer()
        called_at = self._pace.wait()
        now = self._credentials()
        try:
            answer = call(
                self._address + quote(key, safe="/~"), Signing(self._region, now.access_key, now.secret_key, now.token)
            )
        except OSError:
            answer = Answer()
        if answer.status in (200, 206):
            self._failures[kind] = 0
            self._pace.passed()
        elif answer.status == 429 or any(f"<Code>{code}</Code>".encode() in answer.body for code in RATE_LIMITS):
            self._pace.refused(called_at)
        elif answer.status in _FOR_GOOD or (kind == "PUT" and answer.status == 403):
            self._failures[kind] = MAX_FAILURES
        elif kind == "PUT" or answer.status not in _OF_THE_OBJECT:
            self._failures[kind] += 1
        return answer


def _is_simple(key: str, headers: Mapping[str, str]) -> bool:
    """Whether libcurl would send and sign all of it as it is: it folds such parts of a path, drops empty headers."""
    plain = all(value and value.isascii() and value.isprintable() for value in headers.values())
    return plain and not {".", ".."} & set(key.split("/"))

"""Does this S3 service keep what a run rests on? Tried once per run, on the object of the lock that is held."""

from __future__ import annotations

from kaltura_archiver.errors import ConfigError, StoreError
from kaltura_archiver.store.changes import Store

# Of other content than anything that is written here.
_WRONG_ETAG = '"00000000000000000000000000000000"'
_WRONG_CHECKSUM = "AAAAAAAAAAA="
NO_CONDITIONS = (
    "this S3 service cannot write on a condition (If-None-Match): two runs could hold the lock, and an object of "
    "somebody else's be overwritten; nothing was changed; use a service, or a version of it, that can "
    "(docs/configuration.md, S3 services)"
)


def probe(store: Store, key: str, text: str, etag: str, *, beside: bool = False) -> tuple[str, tuple[str, ...]]:
    """Try conditions, tags and checksums on an object with this ETag that nobody else writes, and leave `text` in it.

    Returns its ETag then, and what is missing that a run can do without; raises ConfigError, in one line, for what it
    cannot. `store` learns how this service wants an ETag to be written. If nobody is to be excluded (`beside`), a
    service without If-Match will do. Nine requests.
    """
    lacks: list[str] = []
    can_do_without: list[str] = []
    if taken := store.put_lock(key, text, if_match="")[0]:
        etag = taken
        lacks.append("it overwrites what it is told not to (If-None-Match): an object of somebody else's could be lost")
    etag = _rewritten(store, key, text, etag)
    if taken := store.put_lock(key, text, if_match=_WRONG_ETAG)[0]:
        etag = taken
        (can_do_without if beside else lacks).append(
            "it overwrites what has changed meanwhile (If-Match): two runs could hold the lock (with --no-lock it is "
            "for you to see that there is one)"
        )
    checksum = store.checksum_of(text)
    try:
        taken = store.put_lock(key, text, if_match=etag, crc64nvme=checksum)[0]
    except StoreError as error:
        if error.retryable:
            raise
        taken = ""
        can_do_without.append(f"it takes no CRC64NVME ({error.code})")
    if taken:
        etag = taken
        head = store.head(key, with_tags=False)
        if head is None or head.crc64nvme != checksum:
            can_do_without.append("it shows no CRC64NVME of what it has")
        etag = _checked(store, key, text, etag, can_do_without)
    try:
        store.set_tags(key, probed="yes")
    except StoreError as error:
        lacks.append(f"tags of objects do not work, without which no copy is ever proven ({error})")
    if lacks:
        raise ConfigError(
            f"this S3 service does not do what a run rests on: {'; '.join(lacks)}; nothing was changed; give the "
            "permission that is named, or use a service, or a version of it, that does (docs/configuration.md, S3 "
            "services)"
        )
    return etag, tuple(f"this S3 service lacks something: {finding}" for finding in can_do_without)


def _rewritten(store: Store, key: str, text: str, etag: str) -> str:
    """The ETag after a write that has to hold, by If-Match in quotes as HTTP wants it, or else without.

    Ceph's gateway and DigitalOcean's compare what is sent with what they have, which is without quotes; they give it
    with quotes, though. Raises ConfigError where neither holds.
    """
    for bare in (False, True):
        store.bare_etags = bare
        if taken := store.put_lock(key, text, if_match=etag)[0]:
            return taken
    raise ConfigError(
        "this S3 service refuses to overwrite an object by its own ETag (If-Match): a lock could never be renewed; "
        "nothing was changed; use a service, or a version of it, that does (docs/configuration.md, S3 services)"
    )


def _checked(store: Store, key: str, text: str, etag: str, can_do_without: list[str]) -> str:
    """The ETag after a write with a wrong checksum, which is to be refused."""
    try:
        taken = store.put_lock(key, text, if_match=etag, crc64nvme=_WRONG_CHECKSUM)[0]
    except StoreError as error:
        if error.retryable:
            raise
        return etag
    if taken:
        can_do_without.append("it does not compare what comes with its CRC64NVME")
    return taken or etag

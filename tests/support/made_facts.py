"""Facts about one entry, made by hand or by Hypothesis, for the tests of what is pure."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kaltura_archiver.model import (
    ARCHIVED_TAG,
    REPLACED_TAG,
    THIN_TAG,
    Availability,
    Entry,
    Facts,
    FlavorAsset,
    FlavorStatus,
    ReplacementStatus,
    StoredObject,
)

ID = "0_entry001"
FLAVOR = "0_source01"
DERIVED = "0_derived1"
VIDEO_BYTES = 5_000_000
PLACEHOLDER_BYTES = 40_000
SHA256 = "ab" * 32
CRC64NVME = "AAAAAAAAAAE="
ETAG = "e" * 32
PROOF = f"checksum {CRC64NVME} {ETAG}"


def tags_of(*, archived: bool = False, replaced: bool = False, thin: bool = False) -> tuple[str, ...]:
    given = ((ARCHIVED_TAG, archived), (REPLACED_TAG, replaced), (THIN_TAG, thin))
    return ("lecture", *(tag for tag, there in given if there))


def original(
    status: FlavorStatus = FlavorStatus.READY,
    *,
    size_bytes: int | None = VIDEO_BYTES,
    size_kb: int | None = None,
    version: str = "2",
) -> FlavorAsset:
    return FlavorAsset(FLAVOR, ID, version, status, True, size_bytes, size_kb, "mp4")


def stored(
    *,
    size_bytes: int = VIDEO_BYTES,
    flavor: str = f"{FLAVOR}@2",
    sha256: str = SHA256,
    placeholder: str = "",
    proof: str = PROOF,
    etag: str = ETAG,
    crc64nvme: str = "",
    storage_class: str = "STANDARD",
    availability: Availability = Availability.READABLE,
    thin: str = "",
) -> StoredObject:
    given = {"sha256": sha256, "flavor": flavor, "placeholder": placeholder, "proof": proof, "thin": thin}
    tags = {name: value for name, value in given.items() if value}
    metadata = {"archived-at": "2020-01-01T00:00:00Z"}
    return StoredObject(
        ID, size_bytes, etag, storage_class, availability, tags=tags, crc64nvme=crc64nvme, metadata=metadata
    )


def facts(
    flavor: FlavorAsset | None = None,
    copy: StoredObject | None = None,
    *,
    archived: bool = False,
    replaced: bool = False,
    thin: bool = False,
    placeholder_bytes: int | None = PLACEHOLDER_BYTES,
    **fields: Any,
) -> Facts:
    fields.setdefault("created_at", 1_400_000_000)
    fields.setdefault("duration_seconds", 3600)
    entry = Entry(ID, "Lecture", tags=tags_of(archived=archived, replaced=replaced, thin=thin), **fields)
    derived = FlavorAsset(
        DERIVED, ID, "2", FlavorStatus.READY, size_bytes=1000, size_kb=1, tags="mbr,web", updated_at=1_500_000_000
    )
    return Facts(entry, (derived, flavor) if flavor else (derived,), copy, placeholder_bytes)


_sizes = st.sampled_from([1, 1024, PLACEHOLDER_BYTES, VIDEO_BYTES, VIDEO_BYTES + 1, VIDEO_BYTES * 101 // 100, 10**13])
_content_ids = st.sampled_from(["", f"{FLAVOR}@2", f"{FLAVOR}@12", "0_other001@2"])


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Any combination of facts that the services can give, the unlikely ones included; sizes often coincide."""
    flavors = [
        FlavorAsset(
            f"0_flavor{number}" if number else FLAVOR,
            ID,
            draw(st.sampled_from(["2", "12", ""])),
            draw(st.sampled_from(FlavorStatus)),
            draw(st.booleans()) if number else True,
            draw(st.none() | _sizes),
            draw(st.none() | _sizes.map(lambda size: max(1, size // 1024))),
            draw(st.sampled_from(["mp4", "", "noex"])),
            tags=draw(st.sampled_from(["", "mbr", "source,web"])),
            updated_at=draw(st.sampled_from([None, 1_500_000_000, 1_700_000_000])),
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    copy = None
    if draw(st.booleans()):
        copy = StoredObject(
            ID,
            draw(st.just(0) | _sizes),
            draw(st.sampled_from([ETAG, f"{ETAG}-2"])),
            draw(st.sampled_from(["STANDARD", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"])),
            draw(st.sampled_from(Availability)),
            tags={
                "sha256": draw(st.sampled_from(["", SHA256])),
                "flavor": draw(_content_ids),
                "placeholder": draw(_content_ids),
                "proof": draw(st.sampled_from(["", "checksum", PROOF, f"{PROOF}-2", f"read AAAAAAAAAAI= {ETAG}"])),
                "thin": draw(st.sampled_from(["", "", "0_flavor1@2", "0_flavor2@12"])),
                "damaged-at": draw(st.sampled_from(["", "", "", "2026-01-01T00:00:00Z"])),
            },
            metadata={"archived-at": draw(st.sampled_from(["", "2020-01-01T00:00:00Z"]))},
            crc64nvme=draw(st.sampled_from(["", CRC64NVME])),
        )
    running = draw(st.sampled_from(["", "", "0_temporary"]))
    entry = Entry(
        ID,
        tags=tags_of(archived=draw(st.booleans()), replaced=draw(st.booleans()), thin=draw(st.booleans())),
        duration_seconds=draw(st.sampled_from([None, 0, 3600])),
        status=draw(st.sampled_from(["-2", "-1", "0", "1", "2", "4", "5", "6", "7", "virusScan.Infected"])),
        created_at=draw(st.integers(0, 2_000_000_000)),
        display_in_search=draw(st.sampled_from([1, 1, 1, -1, -2, None])),
        replacing_entry_id=running,
        replaced_entry_id=draw(st.sampled_from(["", "", "", "0_main00001"])),
        replacement_status=draw(st.sampled_from(ReplacementStatus)) if running else ReplacementStatus.NONE,
    )
    configured = draw(st.sampled_from([None, PLACEHOLDER_BYTES, VIDEO_BYTES]))
    more = draw(st.sampled_from([frozenset(), frozenset({PLACEHOLDER_BYTES}), frozenset({1024, VIDEO_BYTES + 1})]))
    return Facts(entry, tuple(flavors), copy, configured, more)

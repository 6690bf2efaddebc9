"""All that is known of one entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from kaltura_archiver.model.entry import Entry, FlavorAsset, Placing
from kaltura_archiver.model.stored import StoredObject
from kaltura_archiver.model.tags import lowered, split_tags
from kaltura_archiver.model.words import SAVED_UPLOAD_TAG, FlavorStatus

_GONE = (FlavorStatus.DELETED, FlavorStatus.TEMP, FlavorStatus.NOT_APPLICABLE)


@dataclass(frozen=True)
class Facts:
    """All that is known about one entry, freshly read.

    `placeholder_bytes` is the size of the placeholder configured for it, `more_placeholder_bytes` are those for others,
    `placeholder_sha256s` belong to all of them. `original_sha256` is known where the original was read because it has a
    placeholder's size; `unread` says why it could not be. `unseen` says why S3 does not show the stored copy.
    `usual_tags` are those that flavor assets get by themselves, by flavor parameters; None if not asked. `source` is
    the stored copy of the entry that this one is a clone of; looked for where it says that it is in S3, and is not.
    `placings` are all its categories, as the database has them, `metadata` the values of each field of its custom
    metadata; None if not asked, or not understood. `relatives` are the entries that
    were made of it (clips, clones), `sharing` one of these, or what it is a clone of itself, that has the same file;
    asked for only where the original may go.
    """

    entry: Entry
    flavors: tuple[FlavorAsset, ...] = ()
    stored: StoredObject | None = None
    placeholder_bytes: int | None = None
    more_placeholder_bytes: frozenset[int] = frozenset()
    usual_tags: Mapping[int, frozenset[str]] | None = None
    source: StoredObject | None = None
    placings: tuple[Placing, ...] | None = None
    metadata: Mapping[str, frozenset[str]] | None = None
    placeholder_sha256s: frozenset[str] = frozenset()
    original_sha256: str = ""
    unread: str = ""
    unseen: str = ""
    relatives: tuple[str, ...] = ()
    sharing: str = ""

    @property
    def category_ids(self) -> frozenset[str]:
        """Ids of the categories that the entry is directly in, as far as was asked."""
        return frozenset((*self.entry.category_ids, *(str(p.category_id) for p in self.placings or () if p.active)))

    @property
    def category_names(self) -> tuple[str, ...]:
        """Full names of these categories."""
        named = [name for p in self.placings or () if p.active and (name := p.name)]
        return tuple(dict.fromkeys(filter(None, [*map(str.strip, self.entry.categories.split(",")), *named])))

    @cached_property
    def placeholder_sizes(self) -> frozenset[int]:
        """The exact sizes of all configured placeholders, and of the one that is recorded; none of them is 0."""
        copy = self.stored or self.source
        recorded = copy.placeholder_bytes if copy else None
        return (self.more_placeholder_bytes | {self.placeholder_bytes or 0, recorded or 0}) - {0}

    @cached_property
    def original(self) -> FlavorAsset | None:
        """The original flavor, READY or not; TEMP and DELETED ones do not count (kaltura-api 4.3)."""
        originals = [f for f in self.flavors if f.is_original and f.status not in _GONE]
        return max(originals, key=lambda f: f.status.ready, default=None)

    @property
    def further_sources(self) -> tuple[FlavorAsset, ...]:
        """Source flavors beside `original`: a second one, or an earlier one after flavorAsset.setAsSource, which only
        moves isOriginal (FlavorAssetService.php). Of one in error Kaltura has the file: its conversion failed."""
        return tuple(flavor for flavor in self.other_sources if not flavor.status.in_progress)

    @property
    def sources_to_come(self) -> tuple[FlavorAsset, ...]:
        """Such that Kaltura is still making."""
        return tuple(flavor for flavor in self.other_sources if flavor.status.in_progress)

    @property
    def other_sources(self) -> tuple[FlavorAsset, ...]:
        """Sources beside `original` in whatever status: also in error, or in one that is not understood. One is an
        upload that Kaltura saved."""
        sources = (f for f in self.flavors if f.is_original or f.flavor_params_id == 0 or self.is_saved_upload(f))
        return tuple(flavor for flavor in sources if flavor is not self.original and flavor.status not in _GONE)

    def is_saved_upload(self, flavor: FlavorAsset) -> bool:
        """Whether this is what was uploaded, of which `original` is a re-encode: some uploads Kaltura converts within
        the original's own asset, and saves before as a flavor that is no original (kBusinessPreConvertDL
        saveOriginalSource). Told by its tag, or by that of its flavor parameters."""
        if flavor.is_original:
            return False
        usual = (self.usual_tags or {}).get(flavor.flavor_params_id or -1, frozenset())
        # Whole tags are compared only where that can matter: this is asked of each flavor of each entry.
        its_own = SAVED_UPLOAD_TAG in flavor.tags.lower() and SAVED_UPLOAD_TAG in map(lowered, split_tags(flavor.tags))
        return its_own or SAVED_UPLOAD_TAG in usual

    @property
    def derived(self) -> tuple[FlavorAsset, ...]:
        """The flavors that were made of an original and play, but for `original` itself."""
        return tuple(f for f in self.flavors if not f.is_original and f.status.ready and not f.odd)

    @property
    def kept(self) -> FlavorAsset | None:
        """The derived flavor that is recorded as the one that plays on without the original, if it does."""
        recorded = self.stored.kept if self.stored else ""
        return next((flavor for flavor in self.derived if recorded and flavor.content_id == recorded), None)

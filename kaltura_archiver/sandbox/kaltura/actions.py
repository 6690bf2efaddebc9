"""What an action of the API is, and what the server knows of it before it is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from kaltura_archiver.sandbox.kaltura.sessions import KalturaSession

Handler = Callable[[KalturaSession, dict[str, Any]], Any]


@dataclass(frozen=True)
class Action:
    """`operation` is the name in the request log; `needs` are the mandatory parameters, `subject` is the id among them.

    A `public` action needs no KS, but looks at one that is sent, unless it `ignores_ks`; a `widget` action is open to
    widget sessions, what `anyone` may also without a KS (real-kaltura A07, A24, S60-S64), an `admin` action to admins.
    """

    operation: str
    handler: Handler
    needs: tuple[str, ...] = ()
    subject: str = ""
    public: bool = False
    widget: bool = False
    anyone: bool = False
    admin: bool = False
    ignores_ks: bool = False

    @property
    def full_name(self) -> str:
        """The name in the errors about rights."""
        return self.operation.replace("eSearch.", "elasticsearch_esearch.").replace(".", "->")

    @property
    def writes(self) -> bool:
        service, _, action = self.operation.partition(".")
        return service != "session" and action != "startSession" and not re.match("get|list|search|ping|count", action)


READ_ONLY = frozenset(
    {
        "id",
        "partnerId",
        "mediaType",
        "templateEntryId",
        "version",
        "createdAt",
        "updatedAt",
        "recycledAt",
        "searchText",
        "capabilities",
    }
    | {"status", "moderationStatus", "moderationCount", "rootEntryId", "sourceVersion"}
    | {"rank", "totalRank", "votes", "plays", "views", "lastPlayedAt", "width", "height", "duration", "durationType"}
    | {"downloadUrl", "thumbnailUrl", "dataUrl", "replacingEntryId", "replacedEntryId", "replacementStatus"}
)
# Of a flavor asset may be written (KalturaAsset, KalturaFlavorAsset [read]); the rest is @readonly or @insertonly.
ASSET_FIELDS = {
    "tags": "tags",
    "language": "language",
    "label": "label",
    "isDefault": "is_default",
    "partnerData": "partner_data",
    "partnerDescription": "partner_description",
}
# What belongs to entries and is no concern of content: service, and the name of its plugin's.
RELATED = {
    "captionAsset": "caption_captionasset",
    "attachmentAsset": "attachment_attachmentasset",
    "cuePoint": "cuepoint_cuepoint",
}
PLUGINS = RELATED | {"metadata": "metadata_metadata", "metadataProfile": "metadata_metadataprofile"}
FLAVOR_PARAMS = 10
TEXT_FIELDS = {
    "name": "name",
    "description": "description",
    "userId": "user_id",
    "referenceId": "reference_id",
    "partnerData": "partner_data",
    "parentEntryId": "parent_id",
    "redirectEntryId": "redirect_entry_id",
}
DERIVED_FLAVOR_PARAMS = (
    *range(9), *range(11, 19), *range(22, 33), 36, 37, *range(39, 42), *range(45, 58), *range(120, 130),
    *range(132, 137), *range(1002, 1018),
)  # fmt: skip
RECYCLED = -2


def plain_text(name: str) -> str:
    """A file name for a URL: each byte that might mean something there becomes an underscore (F26)."""
    return re.sub(r"[^A-Za-z0-9._=+;,()-]", lambda found: "_" * len(found.group().encode()), name)


@cache
def languages() -> frozenset[str]:
    """The names that a language has (KalturaLanguage)."""
    from KalturaClient.Plugins.Core import KalturaLanguage

    return frozenset(name for key, name in vars(KalturaLanguage).items() if key.isupper() and isinstance(name, str))

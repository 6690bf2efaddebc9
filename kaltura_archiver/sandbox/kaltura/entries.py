"""The actions on entries."""

from __future__ import annotations

from typing import Any

from kaltura_archiver.sandbox.kaltura.actions import READ_ONLY, RECYCLED, TEXT_FIELDS
from kaltura_archiver.sandbox.kaltura.describe import Describing
from kaltura_archiver.sandbox.kaltura.lists import LIST_LIMIT, entry_filter, list_page
from kaltura_archiver.sandbox.kaltura.records import (
    Category,
    EntryRecord,
    new_id,
    normalise_admin_tags,
    normalise_tags,
    stored_tags,
)
from kaltura_archiver.sandbox.kaltura.sessions import ADMIN, KalturaSession
from kaltura_archiver.sandbox.kaltura.wire import ApiError, as_int, split_csv


class Entries(Describing):
    """media, baseEntry, eSearch, user, category."""

    def search(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        parameters = p["searchParams"]
        total, ids = self._index.search(parameters if isinstance(parameters, dict) else {}, p.get("pager"))
        # Loaded from the records, not from the index: rows may be gone (a short page) or deleted (status 3).
        entries = [self._library.entries[entry_id] for entry_id in ids if entry_id in self._library.entries]
        return {
            "objectType": "KalturaESearchEntryResponse",
            "totalCount": total,
            "objects": [
                {
                    "objectType": "KalturaESearchEntryResult",
                    "highlight": [],
                    "itemsData": [],
                    "object": self.describe_entry(entry),
                }
                for entry in entries
                if self._visible(session, entry)
            ],
            "aggregations": [],
        }

    def get_entry(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        if not session.ks:
            raise ApiError("ENTRY_ID_NOT_FOUND", p["entryId"])  # as if there were none (A07)
        return self.describe_entry(self._entry(session, p["entryId"]))

    def add_entry(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """An entry without content, whose owner is who makes it."""
        sent = p["entry"]
        now = self._library.now()
        entry = EntryRecord(
            new_id(),
            user_id=session.user_id,
            creator_id=session.user_id,
            status="7",
            media_type=as_int(sent.get("mediaType"), 1),
            created_at=now,
            updated_at=now,
            duration_ms=0,
            source_type="6",
        )
        for name, value in sent.items():
            if name not in READ_ONLY:
                self._set(entry, name, value)
        return self.describe_entry(self._library.put_entry(entry))

    def get_user(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """Whoever owns or made an entry, and who signs in here by default, is known; as MySQL compares, in any case."""
        user_id = str(p.get("userId") or session.user_id)
        entries = self._library.entries.values()
        known = {*self.user_ids, *(user for e in entries for user in (e.user_id, e.creator_id))}
        if user_id.lower() not in map(str.lower, known):
            raise ApiError("INVALID_USER_ID", user_id)
        return {"objectType": "KalturaUser", "id": user_id, "partnerId": self._partner_id, "status": 1}

    def list_entries(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        wanted = entry_filter(p, self._library.now())
        found = [e for e in self._library.entries.values() if wanted(e) and self._visible(session, e)]
        return list_page("KalturaMediaListResponse", found, p, self.describe_entry)

    def list_base_entries(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        return self.list_entries(session, p) | {"objectType": "KalturaBaseEntryListResponse"}

    def update_entry(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        sent = p["mediaEntry"] if "mediaEntry" in p else p["baseEntry"]
        fields = {key.removesuffix("__null"): "" if key.endswith("__null") else value for key, value in sent.items()}
        for name in fields:
            if name in READ_ONLY:
                raise ApiError("PROPERTY_VALIDATION_NOT_UPDATABLE", f"KalturaMediaEntry::{name}")
        if "adminTags" in fields and session.type != ADMIN and "editadmintags" not in session.privileges:
            raise ApiError("PROPERTY_VALIDATION_ADMIN_PROPERTY", "adminTags")
        if fields.get("conversionProfileId") and entry.status != "7":
            where = "KalturaMediaEntry::conversionProfileId"
            raise ApiError("PROPERTY_VALIDATION_ENTRY_STATUS", where, entry.status)
        before = dict(vars(entry))
        for name, value in fields.items():
            self._set(entry, name, value)
        if vars(entry) != before:
            entry.updated_at = self._library.now()
        answer = self.describe_entry(entry)
        # The answer shows what was set, the column holds what fits (M07).
        if (kept := stored_tags(entry.tags)) != entry.tags:
            entry.tags = kept
        return answer

    def _set(self, entry: EntryRecord, name: str, value: Any) -> None:
        if name in TEXT_FIELDS:
            setattr(entry, TEXT_FIELDS[name], str(value))
        elif name == "tags":
            if not self._library.settings.drop_tag_updates:
                entry.tags = normalise_tags(str(value))
        elif name == "adminTags":
            entry.admin_tags = normalise_admin_tags(str(value))
        elif name == "displayInSearch":
            entry.display_in_search = as_int(value)
        elif name == "conversionProfileId":
            entry.conversion_profile_id = as_int(value)
        elif name == "startDate":
            entry.start_date = as_int(value) or None
        elif name == "endDate":
            entry.end_date = as_int(value) or None
        elif name == "categoriesIds":
            entry.categories = tuple(as_int(number) for number in split_csv(value))

    def delete_entry(self, session: KalturaSession, p: dict[str, Any]) -> None:
        self._library.delete_entry(self._own_entry(session, p["entryId"]))

    def clone(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        return self.describe_entry(self._library.clone(self._own_entry(session, p["entryId"])))

    def recycle(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        if not self._library.settings.recycle_bin:
            raise ApiError("FEATURE_RECYCLE_BIN_DISABLED")
        if entry.display_in_search == RECYCLED:
            raise ApiError("INVALID_ENTRY_STATUS_FOR_RECYCLE")
        entry.display_in_search, entry.recycled_at = RECYCLED, self._library.now()
        return self.describe_entry(entry)

    def restore_recycled(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        entry = self._own_entry(session, p["entryId"])
        if entry.display_in_search != RECYCLED:
            raise ApiError("INVALID_ENTRY_STATUS_FOR_RESTORE")
        entry.display_in_search, entry.recycled_at = 1, None
        return self.describe_entry(entry)

    def get_category(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        category = self._library.categories.get(as_int(p["id"]))
        if category is None:
            raise ApiError("CATEGORY_NOT_FOUND", p["id"])
        return self._describe_category(category)

    def list_categories(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """By full name, or by how the name begins, as the database compares: in any case [api]."""
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        full, begins = (str(wanted.get(n, "")).casefold() for n in ("fullNameEqual", "nameOrReferenceIdStartsWith"))
        found = [
            category
            for category in self._library.categories.values()
            if full in ("", category.full_name.casefold()) and category.name.casefold().startswith(begins)
        ]
        return list_page("KalturaCategoryListResponse", found, p, self._describe_category)

    def _describe_category(self, category: Category) -> dict[str, Any]:
        inside = [e for e in self._library.entries.values() if category.id in e.categories and not e.deleted]
        return {
            "objectType": "KalturaCategory",
            "id": category.id,
            "parentId": category.parent or 0,
            "depth": category.full_ids.count(">"),
            "partnerId": self._partner_id,
            "name": category.name,
            "fullName": category.full_name,
            "fullIds": category.full_ids,
            "entriesCount": len(inside),
            "privacy": 3 if category.private else 1,
            "privacyContexts": ",".join(category.privacy_contexts),
            "directEntriesCount": len(inside),
            "status": 2,
        }

    def list_category_entries(self, session: KalturaSession, p: dict[str, Any]) -> dict[str, Any]:
        """Rows of the database, whatever the search does; ids are cut at 500 in silence, pages likewise [read].

        Without an order the rows of a page are whatever the database gives.
        """
        wanted = p["filter"] if isinstance(p.get("filter"), dict) else {}
        entry_ids, category_ids = (
            split_csv(wanted.get(f"{name}Equal")) or split_csv(wanted.get(f"{name}In"))[:LIST_LIMIT]
            for name in ("entryId", "categoryId")
        )
        if not entry_ids and not category_ids and (session.type != ADMIN or self._library.settings.entitlement):
            raise ApiError("MUST_FILTER_ON_ENTRY_OR_CATEGORY")
        statuses = split_csv(wanted.get("statusEqual")) or split_csv(wanted.get("statusIn"))
        entries: list[EntryRecord] = list(self._library.entries.values())
        if entry_ids:
            named = (self._library.find_entry(entry_id) for entry_id in entry_ids)
            entries = list({entry.id: entry for entry in named if entry is not None}.values())
        rows = [
            {
                "objectType": "KalturaCategoryEntry",
                "categoryId": number,
                "entryId": entry.id,
                "createdAt": entry.created_at,
                "categoryFullIds": self._library.categories[number].full_ids,
                "status": status,
                "creatorUserId": entry.creator_id,
            }
            for entry in entries
            if not entry.deleted and self._visible(session, entry)
            for status, numbers in ((2, entry.categories), (1, entry.pending_categories))
            for number in numbers
            if number in self._library.categories
            and (not category_ids or str(number) in category_ids)
            and (not statuses or str(status) in statuses)
        ]
        return list_page("KalturaCategoryEntryListResponse", rows, p)

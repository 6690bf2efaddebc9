"""The switch: the temporary entry's content becomes the main one's, and is linked once more."""

from __future__ import annotations

import dataclasses
from functools import partial

from kaltura_archiver.sandbox.kaltura import pictures
from kaltura_archiver.sandbox.kaltura.pictures import Frame
from kaltura_archiver.sandbox.kaltura.records import (
    CONVERTING,
    DELETED,
    NOT_APPLICABLE,
    READY,
    Asset,
    Content,
    EntryRecord,
    new_id,
)
from kaltura_archiver.sandbox.kaltura.records_kept import SOURCE_TAGS, Records
from kaltura_archiver.sandbox.kaltura.wire import ApiError


class Linking(Records):
    """Links files of a temporary entry to the main one: at the switch, and what its jobs bring later."""

    def version_after(self, asset: Asset) -> int:
        """`kDataCenterMgr::incrementVersion` [read]: the last digit tells the data centre."""
        return -(-asset.version // 10) * 10 + 2 - self.settings.data_centre

    def _flavor_of(self, main: EntryRecord, new: Asset) -> Asset:
        """The main entry's flavor of the same parameters, made if there is none."""
        number = new.flavor_params_id
        found = next((a for a in self.live_assets(main.id) if a.flavor_params_id == number), None)
        return found or self.put_asset(
            Asset(new_id(), main.id, number, is_original=new.is_original, version=2, tags=new.tags)
        )

    def _link_late(self, main: EntryRecord, made: Asset, duration_ms: int) -> None:
        """A flavor of an earlier replacement is ready after the switch: it takes its place, whatever is there by now.
        `kReplacementHelper::copyReadyReplacingEntryAssetToReplacedEntry` [read].
        """
        if main.deleted:
            return
        asset = self._flavor_of(main, made)
        if made.contents:
            asset.store(made.contents[made.version], self.version_after(asset))
        asset.link_from(made)
        asset.updated_at = self.now()
        self._end_replacement(main, duration_ms)

    def _end_replacement(self, main: EntryRecord, duration_ms: int) -> None:
        """Whatever replacement has begun meanwhile is lost: its temporary entry stays, and nobody asks for it.
        `kReplacementHelper::updateReplacedEntryFields` [read].
        """
        main.duration_ms = duration_ms
        main.replacing_entry_id, main.replacement_status, main.status = "", "0", "2"
        main.updated_at = self.now()

    def _expect_second_link(self, main: EntryRecord, temporary: EntryRecord) -> None:
        """The job of the temporary entry's original goes on, and links its file once more when it ends (§10.16)."""
        source = self.original(temporary.id)
        live = self.live_assets(temporary.id)
        if source is None or not source.locally_ready or not (self.settings.second_link_always or live == [source]):
            return
        content, ended = source.contents[source.version], dataclasses.replace(source)
        duration_ms = temporary.duration_ms
        done: list[bool] = []

        def link() -> None:
            if done or main.deleted:
                return
            done.append(True)
            asset = self.original(main.id)
            if asset is None:
                return
            asset.store(content, self.version_after(asset))
            asset.link_from(ended)
            asset.updated_at = self.now()
            self._end_replacement(main, duration_ms)

        self._second_links.setdefault(main.id, []).append(link)
        self.schedule(self._now_or_due() + self.settings.second_link_seconds, link)

    def links_again(self, entry_id: str) -> bool:
        """Whether the file of an earlier replacement will still be linked once more."""
        return bool(self._second_links.get(entry_id))

    def link_again(self, entry_id: str, *, but_first: bool = False) -> None:
        """Let the jobs end that link the file of earlier replacements once more, in the order of those.

        With `but_first` that of the first replacement goes on waiting.
        """
        with self.lock:
            waiting = self._second_links.pop(entry_id, [])
            if but_first:
                self._second_links[entry_id], waiting = waiting[:1], waiting[1:]
            for link in waiting:
                link()


class Switching(Linking):
    """Replaces content, step by step."""

    def delete_entry(self, entry: EntryRecord) -> None:
        """A replacement under way does not notice: its temporary entry stays (W29)."""
        entry.status = "3"
        entry.updated_at = self.now()
        for asset in self.live_assets(entry.id):
            self.delete_asset(asset, settle_entry=False)

    def delete_asset(self, asset: Asset, *, settle_entry: bool = True) -> None:
        """Mark it deleted; an entry left without a ready flavor has no content any more."""
        asset.status = DELETED
        asset.deleted_at = asset.updated_at = self.now()
        entry = self.entries.get(asset.entry_id)
        if settle_entry and entry and not any(a.locally_ready for a in self.live_assets(entry.id)):
            entry.status = "7"
            entry.updated_at = self.now()

    def _finish_later(self, asset: Asset, due: float) -> None:
        asset.ready_at = due
        self.schedule(due, lambda: self._flavor_ready(asset))

    def _flavor_ready(self, asset: Asset) -> None:
        if asset.status == CONVERTING:
            asset.status = READY
            asset.updated_at = self.now()

    def _switch(self, main: EntryRecord, step_seconds: float) -> None:
        """Step by step as `switch_order` says, so that half of it can be seen (W40); at once with no time between."""
        temporary = self.entries[main.replacing_entry_id]
        now, order = self._now_or_due(), tuple(self.settings.switch_order)
        for number in range(len(order)):
            step = partial(self._switch_step, main, temporary, order[: number + 1], last=number + 1 == len(order))
            if number and step_seconds:
                self.schedule(now + number * step_seconds, step)
            else:
                step()

    def _switch_step(self, main: EntryRecord, temporary: EntryRecord, steps: tuple[str, ...], *, last: bool) -> None:
        """Do the last of these steps, unless the replacement was cancelled meanwhile."""
        told = "entry" in steps[:-1] and not temporary.deleted
        if main.deleted or not (told or main.replacing_entry_id == temporary.id):
            return
        if steps[-1] == "original":
            self._switch_original(main, temporary)
        elif steps[-1] == "derived":
            self._switch_derived(main, temporary)
        else:
            self._switch_entry(main, temporary)
        if last:
            self._expect_second_link(main, temporary)
            self.delete_entry(temporary)

    def _switch_original(self, main: EntryRecord, temporary: EntryRecord) -> None:
        for new in self.live_assets(temporary.id):
            if new.is_original:
                self._take_over(main, temporary, new)

    def _switch_derived(self, main: EntryRecord, temporary: EntryRecord) -> None:
        found = self.live_assets(temporary.id)
        for new in found:
            if not new.is_original:
                self._take_over(main, temporary, new)
        numbers = {asset.flavor_params_id for asset in found}
        for asset in self.live_assets(main.id):
            if asset.flavor_params_id not in numbers:
                self.delete_asset(asset, settle_entry=False)

    def _take_over(self, main: EntryRecord, temporary: EntryRecord, new: Asset) -> None:
        """Put a new flavor's content in the main entry: its id is kept where the flavor parameters agree (5.3)."""
        asset = self._flavor_of(main, new)
        asset.updated_at = self.now()
        if new.status == NOT_APPLICABLE:
            asset.status = NOT_APPLICABLE  # what was set on it stays [R]
            return
        size_kb = new.size_kb
        if new.status == CONVERTING:
            made = dataclasses.replace(new, contents=dict(new.contents), status=READY)
            self.schedule(new.ready_at, partial(self._link_late, main, made, temporary.duration_ms))
        elif new.contents:
            asset.store(new.contents[new.version], self.version_after(asset))
        asset.size_kb = size_kb
        asset.link_from(new)

    def _switch_entry(self, main: EntryRecord, temporary: EntryRecord) -> None:
        thumbs = self.thumbs_of(main.id)
        kept = pictures.switch(main, temporary, thumbs, self.now())
        for thumb in thumbs:
            if thumb not in kept:
                del self.thumbs[thumb.id]
        self._end_replacement(main, temporary.duration_ms)

    def children(self, entry: EntryRecord) -> list[EntryRecord]:
        """The second streams of a recording: approving and cancelling act on them too (5.3)."""
        return [child for child in self.entries.values() if child.parent_id == entry.id and not child.deleted]

    def approve_replacement(self, entry: EntryRecord) -> None:
        if entry.replacement_status in ("0", "4"):
            raise ApiError("ENTRY_ID_NOT_REPLACED", entry.id)
        if entry.replacement_status == "3":
            entry.replacement_status = "1"
        elif entry.replacement_status == "2":
            self._switch(entry, 0)

    def cancel_replacement(self, entry: EntryRecord) -> None:
        temporary = self.entries.get(entry.replacing_entry_id)
        if temporary is not None and not temporary.deleted:
            self.delete_entry(temporary)
        if entry.replacing_entry_id or entry.replacement_status != "0":
            entry.replacing_entry_id = ""
            entry.replacement_status = "0"
            entry.updated_at = self.now()

    def replace_now(self, entry: EntryRecord, content: Content) -> None:
        """What a finished replacement by someone else leaves: a new version of every flavor."""
        original = self.original(entry.id)
        if original is None:
            original = self.put_asset(Asset(new_id(), entry.id, 0, is_original=True, tags=SOURCE_TAGS))
        self.cancel_replacement(entry)
        for asset in self.live_assets(entry.id):
            size = content.size // (asset.flavor_params_id + 1)
            made = content if asset is original else Content.movie(size, content.duration_ms)
            asset.store(made, self.version_after(asset))
            asset.status = READY
            asset.updated_at = self.now()
        entry.status = "2"
        entry.duration_ms = content.duration_ms
        entry.updated_at = self.now()
        if not any(thumb.default for thumb in self.thumbs_of(entry.id)):
            pictures.show(entry, Frame(content, pictures.USUAL_SECONDS), self.now())

    def clone(self, entry: EntryRecord) -> EntryRecord:
        """A copy of an entry, its tags included, with assets of its own that hold the same files at version 12 [R].

        Plays and the like begin at 0, the time of creation is now (`myEntryUtils::copyEntry`, `Baseentry::preInsert`
        [read]).
        """
        now = self.now()
        fields = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
        fields |= {"id": new_id(), "root_id": entry.id, "plays": 0, "views": 0, "created_at": now, "updated_at": now}
        fields |= {"replacing_entry_id": "", "replacement_status": "0", "changed": None, "more": dict(entry.more)}
        clone = self.put_entry(EntryRecord(**fields))
        for asset in self.live_assets(entry.id) if entry.status in ("2", "7") else []:
            copy = dataclasses.replace(
                asset, id=new_id(), entry_id=clone.id, contents={}, created_at=now, updated_at=now
            )
            if asset.version:
                size_kb, size_in_bytes = asset.size_kb, asset.size_in_bytes
                copy.store(asset.contents[asset.version], 12)
                copy.size_kb, copy.size_in_bytes = size_kb, size_in_bytes
            self.put_asset(copy)
        return clone

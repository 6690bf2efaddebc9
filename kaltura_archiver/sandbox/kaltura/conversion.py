"""What Kaltura makes of content: derived flavors, failures, and a word to the entry when it is done."""

from __future__ import annotations

from kaltura_archiver.sandbox.kaltura import pictures
from kaltura_archiver.sandbox.kaltura.records import (
    CONVERTING,
    DELETED,
    ERROR,
    NOT_APPLICABLE,
    QUEUED,
    READY,
    TEMP,
    Asset,
    Content,
    EntryRecord,
    new_id,
)
from kaltura_archiver.sandbox.kaltura.records_kept import DERIVED_TAGS, SAVED_UPLOAD_PARAMS, SAVED_UPLOAD_TAGS
from kaltura_archiver.sandbox.kaltura.switch import Switching


def derived_content(original_bytes: int, flavor_params_id: int, duration_ms: int) -> Content:
    """What is made of an original: smaller, and as long."""
    return Content.movie(max(1, original_bytes // flavor_params_id), duration_ms)


class Converting(Switching):
    """Converts what was attached."""

    def _begin_conversion(self, entry: EntryRecord, asset: Asset, content: Content) -> None:
        if self.settings.reencode_originals and content.size:
            if self.settings.save_uploads:
                self.save_upload(entry, content)
            content = content.reencoded()
        asset.store(content, self.version_after(asset))
        # For a short time the size is in bytes (4.3).
        asset.size_kb = content.size
        asset.status = QUEUED
        if content.size == 0:
            asset.status = ERROR
            self._conversion_failed(entry)
            self._tell_failure(entry)
            return
        entry.status = "1"
        if self.settings.hold_jobs:
            self._held.append(lambda: self._convert(entry, asset, content))
        else:
            self._convert(entry, asset, content)

    def save_upload(self, entry: EntryRecord, content: Content) -> Asset:
        """What was uploaded, as a flavor of its own: the original is to be a re-encode of it.
        `kBusinessPreConvertDL::saveOriginalSource` [read]: its size is in thousands of bytes.
        """
        saved = Asset(new_id(), entry.id, SAVED_UPLOAD_PARAMS, tags=SAVED_UPLOAD_TAGS, created_at=self.now())
        saved.store(content, 2)
        saved.size_kb = content.size // 1000
        saved.updated_at = self.now()
        return self.put_asset(saved)

    def _convert(self, entry: EntryRecord, asset: Asset, content: Content) -> None:
        """What becomes visible of a conversion, and when (C06, C10, C15): derived flavors have no file at first."""
        fails = self.settings.fail_next_conversions > 0
        if fails:
            self.settings.fail_next_conversions -= 1
        if content.data is not None and content.data[:6].lower() == b"<html>":
            fails = True  # what a proxy says in place of a video converts no more than there
        start, seconds = self.clock.now(), self.settings.conversion_seconds
        end = start + seconds
        self.schedule(start + seconds / 2, lambda: self._original_ready(entry, asset))
        self.schedule(start + seconds / 2 + seconds / 64, lambda: self._derived_begun(entry))
        if fails:
            self.schedule(end, lambda: self._conversion_failed(entry, asset))
            self.schedule(end + seconds / 8, lambda: self._tell_failure(entry))
        else:
            self.schedule(start + seconds * 3 / 4, lambda: self._derived_written(entry))
            self.schedule(end, lambda: self._conversion_done(entry, asset))
            self.schedule(end + seconds / 8, lambda: self._tell_success(entry))

    def _original_ready(self, entry: EntryRecord, asset: Asset) -> None:
        if entry.deleted or asset.status != QUEUED:
            return
        asset.status = READY if self.settings.keep_source else TEMP
        asset.updated_at = self.now()
        asset.store(asset.contents[asset.version], asset.version)
        entry.duration_ms = asset.contents[asset.version].duration_ms
        pictures.convert(entry, asset, self.now())
        count = entry.derived if self.settings.derived_flavors is None else self.settings.derived_flavors
        for number in range(1, count + 1):
            fits = asset.size_in_bytes >= number * self.settings.flavor_min_bytes
            self.add_derived(entry, number, 0, status=QUEUED if fits else NOT_APPLICABLE, file_ext=asset.file_ext)

    def _derived_begun(self, entry: EntryRecord) -> None:
        for asset in self._derived(entry, QUEUED):
            asset.status = CONVERTING

    def _derived_written(self, entry: EntryRecord) -> None:
        original = self.original(entry.id)
        bytes_of_it = original.size_in_bytes if original else 0
        for asset in self._derived(entry, CONVERTING):
            asset.store(derived_content(bytes_of_it, asset.flavor_params_id, entry.duration_ms), 2)

    def convert_in_place(self, original: Asset, content: Content) -> None:
        """Make the derived flavors anew of an original that was put back: they do not play until they are ready."""
        entry = self.entries[original.entry_id]
        for asset in self.live_assets(entry.id):
            if asset is not original and asset.locally_ready:
                asset.status = CONVERTING
                made = derived_content(content.size, asset.flavor_params_id, content.duration_ms)
                asset.store(made, self.version_after(asset))
                self._finish_later(asset, self._now_or_due() + self.settings.conversion_seconds)

    def _derived(self, entry: EntryRecord, status: int) -> list[Asset]:
        return [a for a in self.live_assets(entry.id) if not a.is_original and a.status == status]

    def add_derived(
        self, entry: EntryRecord, number: int, original_bytes: int, *, status: int, file_ext: str = "mp4"
    ) -> Asset:
        """The derived flavor that a profile's `number`-th flavor parameters make of an original.

        While it has no file (`original_bytes` 0) its version is 0.
        """
        asset = Asset(
            new_id(),
            entry.id,
            number + 1 + (number + 1 >= SAVED_UPLOAD_PARAMS),  # no conversion makes that one
            version=0,
            status=status,
            file_ext="mp4" if file_ext == "noex" else file_ext,
            tags=DERIVED_TAGS,
            height=180 * number,
            width=320 * number,
            created_at=entry.created_at if status == READY else 0,
        )
        if original_bytes:
            asset.store(derived_content(original_bytes, number + 1, entry.duration_ms), 2)
        return self.put_asset(asset)

    def _conversion_failed(self, entry: EntryRecord, asset: Asset | None = None) -> None:
        if entry.deleted or (asset is not None and asset.status == DELETED):
            return
        for derived in self._derived(entry, CONVERTING):
            derived.status = ERROR
        entry.status = "-1"

    def _tell_failure(self, entry: EntryRecord) -> None:
        """The main entry of a replacement learns of a failure a moment after the temporary one (W21)."""
        main = self._replaced_by(entry)
        if main is not None and entry.status == "-1":
            main.replacement_status = "4"

    def _replaced_by(self, temporary: EntryRecord) -> EntryRecord | None:
        """The entry whose content this temporary one is to replace, if it still is to."""
        main = self.entries.get(temporary.replaced_entry_id)
        if main is None or main.deleted or temporary.deleted or main.replacing_entry_id != temporary.id:
            return None
        return main

    def _conversion_done(self, entry: EntryRecord, asset: Asset) -> None:
        if entry.deleted or asset.status == DELETED:
            return
        converting, late_seconds = self._derived(entry, CONVERTING), self.settings.late_flavor_seconds
        late_seconds = self.settings.conversion_seconds / 2 if late_seconds is None else late_seconds
        late = converting[-1:] if self.settings.late_flavor and len(converting) > 1 else []
        for derived in converting:
            if derived in late:
                self._finish_later(derived, self._now_or_due() + late_seconds)
            else:
                derived.status = READY
                derived.updated_at = self.now()
        entry.status = "4" if entry.conversion_profile_id == -1 else "2"
        entry.updated_at = self.now()

    def _tell_success(self, entry: EntryRecord) -> None:
        """A replacement goes on a moment after its temporary entry is ready (L02, P02)."""
        main = self._replaced_by(entry)
        if main is None or entry.status not in ("2", "4"):
            return
        if main.replacement_status == "3":
            main.replacement_status = "2"
        elif main.replacement_status == "1":
            seconds = self.settings.switch_seconds
            self._switch(main, self.settings.conversion_seconds / 256 if seconds is None else seconds)

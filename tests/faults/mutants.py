"""Do the proofs see what they are for? The tool is broken on purpose, one way at a time, and they have to notice."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent.parent / "kaltura_archiver"


@dataclass(frozen=True)
class Mutant:
    """Edits of the tool's source, each (file, text that is there once, text instead), and the proof that is to fail."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    proof: tuple[str, ...]


def _walk(scenario: str, *kinds: str) -> tuple[str, ...]:
    return (str(HERE / "walker.py"), "--scenario", scenario, *(word for kind in kinds for word in ("--kind", kind)))


def _test(file: str, name: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-n0", "-q", "--tb=no", str(HERE.parent / file), "-k", name)


def _unguarded() -> Iterator[Mutant]:
    """One for each method that changes something: without what keeps it from doing so in a dry run."""
    guarded, writing = (re.compile(r"self\._guard\(.*\)"), "pass"), (re.compile(r"writes=True"), "writes=False")
    for file, (guard, instead) in (
        ("store/uploads.py", guarded),
        ("store/changes.py", guarded),
        ("kaltura/changes.py", writing),
    ):
        methods = re.split(r"(?=^    def )", (PACKAGE / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
        for method in methods:
            if found := guard.search(method):
                old = method[: found.end()]
                name = old.split("(")[0].removeprefix("    def ")
                yield Mutant(
                    f"let a dry run {name} ({file})",
                    ((file, old, old[: found.start()] + instead),),
                    _test("journeys/test_dry_run.py", "read_only_clients_refuse"),
                )


MUTANTS = (
    Mutant(
        "tag before copying and verifying",
        (
            (
                "plans.py",
                "            return go(judgement, Step.COPY, Step.ADD_ARCHIVED, ",
                "            return go(judgement, Step.ADD_ARCHIVED, Step.COPY, ",
            ),
        ),
        _walk("s3copy", "drop-before"),
    ),
    Mutant(
        "do not look at the original again before the swap",
        (
            (
                "apply/guards.py",
                "        require_current(tools, was, flavors)\n",
                "        pass\n",
            ),
        ),
        _walk("replace", "author-replaces"),
    ),
    Mutant(
        "take a cut download for a whole one",
        (("transfer/streams.py", "            if self.received != self.size_bytes:", "            if False:"),),
        _test("transfer/test_transfers.py", "more_or_fewer_bytes"),
    ),
    Mutant(
        "drop flavors_deleted before the original is back",
        (
            (
                "plans.py",
                "    if facts.entry.replaced:\n        steps.append(Step.REMOVE_REPLACED)",
                "    if facts.entry.replaced:\n        steps.insert(0, Step.REMOVE_REPLACED)",
            ),
        ),
        _walk("restore", "kill-after"),
    ),
    Mutant(
        "set flavors_deleted after the swap",
        (
            (
                "plans.py",
                "*keep, Step.ADD_REPLACED, Step.PUT_PLACEHOLDER)",
                "*keep, Step.PUT_PLACEHOLDER, Step.ADD_REPLACED)",
            ),
        ),
        _test("rules/test_plans.py", "each_command_has_its_answer"),
    ),
    Mutant(
        "leave multipart uploads behind",
        (
            ("store/uploads.py", "            if not completed:\n", "            if False:\n"),
            ("apply/runner.py", "if self.command in (Command.S3COPY, Command.RESTORE, Command.RESOLVE):", "if False:"),
        ),
        _walk("s3copy-parts", "kill-after"),
    ),
    Mutant(
        "leave upload tokens behind",
        (
            (
                "apply/runner.py",
                "if self.command in (Command.REPLACE, Command.RESTORE, Command.REPAIR, Command.RESOLVE):",
                "if False:",
            ),
        ),
        _walk("replace", "kill-after"),
    ),
    Mutant(
        "do not check what comes back from S3 and what Kaltura then has",
        (
            (
                "apply/upload.py",
                "    if verdict not in (Identity.SAME, Identity.LIKELY):",
                "    if False:",
            ),
        ),
        _walk("restore", "flip"),
    ),
    Mutant(
        "do not read the restored original",
        (("apply/restore.py", "    if in_kaltura.sha256 != found.sha256:", "    if False:"),),
        _walk("restore", "flip"),
    ),
    Mutant(
        "write our tags over those of others",
        (
            (
                "kaltura/changes.py",
                "entry.id, lambda: sent",
                "entry.id, lambda: add or sent",
            ),
        ),
        _walk("s3copy", "drop-before"),
    ),
    Mutant(
        "roll the tag back although another run has put the placeholder in place",
        (
            (
                "apply/runner.py",
                "if not placeholder_comes(self._tools, work.id):",
                "if True:",
            ),
        ),
        _walk("replace", "author-runs-same"),
    ),
    Mutant(
        "refuse to go on with a replacement in place that was cut",
        (
            (
                "plans.py",
                "        case State.NO_ORIGINAL if entry.replaced:",
                "        case State.NO_ORIGINAL if False:",
            ),
        ),
        _walk("replace-in-place", "kill-after"),
    ),
    Mutant(
        "make a write again whose answer was lost",
        (
            (
                "kaltura/session.py",
                "            safe = failure.code in NOT_ACTED if once else failure.retryable",
                "            safe = failure.retryable",
            ),
        ),
        _walk("replace", "drop-after"),
    ),
    Mutant(
        "skip the HEAD before the swap",
        (
            (
                "apply/replace.py",
                "    new = swap(tools, work, work.token, lambda: check_copy(tools, work))",
                "    new = swap(tools, work, work.token, lambda: None)",
            ),
        ),
        _test("journeys/test_races.py", "disappears_before_the_swap"),
    ),
    Mutant(
        "skip the HEAD after the upload, and the checks of the tags after it",
        (
            (
                "apply/archive.py",
                "    proof, untagged = proof_of_copy(tools, work, work.id, found)\n"
                "    record_copy(tools, work, work.original, found, proof, untagged=untagged)\n",
                "",
            ),
        ),
        _test("journeys/test_races.py", "only_says_it_has"),
    ),
    Mutant(
        "drop If-None-Match",
        (
            ("store/uploads.py", 'Body=cast(Any, body), IfNoneMatch="*",', "Body=cast(Any, body),"),
            ("store/uploads.py", ', "if-none-match": "*"}', "}"),
        ),
        _test("journeys/test_races.py", "archived_meanwhile"),
    ),
    Mutant(
        "delete before the upload",
        (
            (
                "apply/restore.py",
                "        taken = tools.store.fingerprinter(stored, own=True)\n",
                "        taken = tools.store.fingerprinter(stored, own=True)\n"
                "        for flavor in work.facts.flavors:\n"
                "            tools.kaltura.delete_flavor(flavor.id)\n",
            ),
        ),
        _walk("restore", "kill-after"),
    ),
    Mutant(
        "go on while a renewal of the lock hangs",
        (("run/lock.py", "if _now() >= self._good_until - LOCK_SECONDS / 3:", "if False:"),),
        _test("run/test_lock.py", "renewal_that_hangs"),
    ),
    Mutant(
        "renew the lock past its time",
        (
            (
                "run/lock.py",
                "while not self._ended.wait(pause) and not self.lost:",
                "while not self._ended.wait(pause):",
            ),
        ),
        _test("run/test_lock.py", "not_renewed_past_its_time"),
    ),
    Mutant(
        "take a renewal whose answer was lost for one made now",
        (
            (
                "run/lock.py",
                "            self._etag = found.etag\n        return False",
                "            self._etag, self._good_until = found.etag, since + LOCK_SECONDS\n        return False",
            ),
        ),
        _test("run/test_lock.py", "whose_answer_is_lost_is_not_known"),
    ),
    Mutant(
        "free a lock by unlock although the condition failed",
        (("run/lock.py", "        if store.put_lock(key, freed, if_match=found.etag)[0]:", "        if True:"),),
        _test("run/test_lock.py", "renewed_in_this_moment"),
    ),
    Mutant(
        "unlock a living run",
        (("run/lock.py", "    if found.age_seconds < LOCK_SECONDS / 2 and not force:", "    if False:"),),
        _test("run/test_lock.py", "says_whose_it_was"),
    ),
    Mutant(
        "let shares of different sizes run beside each other",
        (("run/lock.py", "% math.gcd(count, count2) == 0", "% max(count, count2) == 0"),),
        _test("run/test_lock.py", "overlap_where_their_shares_do"),
    ),
    Mutant(
        "abort uploads of living runs",
        (("run/lock.py", "        return Runs(began - SKEW_SECONDS,", "        return Runs(began + 3600,"),),
        _test("apply/test_leftovers.py", "own_second_stays"),
    ),
    Mutant(
        "abort uploads of the very second",
        (("store/uploads.py", 'if upload["Initiated"] >= before:', 'if upload["Initiated"] > before:'),),
        _test("apply/test_leftovers.py", "very_second"),
    ),
    Mutant(
        "delete tokens of living runs",
        (("apply/runner.py", '            if made["run"] in runs.over:', "            if True:"),),
        _test("apply/test_leftovers.py", "token_of_a_living_run"),
    ),
    Mutant(
        "delete in place without another look at the token",
        (
            (
                "apply/guards.py",
                "    if work.token and not tools.kaltura.is_full(",
                "    if False and not tools.kaltura.is_full(",
            ),
        ),
        _test("apply/test_leftovers.py", "in_place_for_a_token_that_is_gone"),
    ),
    Mutant(
        "do not try what S3 keeps",
        (("store/probe.py", "    if lacks:\n", "    if False:\n"),),
        _test("store/test_probe.py", "ends_before_anything_is_changed"),
    ),
    Mutant(
        "look for no marks",
        (("store/copies.py", "            told = look(key, etag) if", "            told = Marks() if"),),
        _test("store/test_marks.py", "survives_and_is_heeded"),
    ),
    Mutant(
        "swap by marks of a minute ago",
        (
            (
                "apply/guards.py",
                "    stored = tools.store.head(work.id)\n",
                "    stored = tools.store.head(work.id, recent_marks=True)\n",
            ),
        ),
        _test("store/test_marks.py", "just_before_the_swap"),
    ),
    Mutant(
        "take every new object for one without tags",
        (("store/copies.py", 'untagged=self._is_amazon and not head.get("TagCount")', "untagged=True"),),
        _test("store/test_marks.py", "scanner_sets"),
    ),
    Mutant(
        "take whatever JSON lacks for null",
        (
            (
                "kaltura/plain.py",
                "            if filled is None or None in map(raw.get, filled):",
                "            if False:",
            ),
        ),
        _test("kaltura/test_json.py", "not_believed"),
    ),
    Mutant(
        "do not read tags back",
        (
            (
                "store/changes.py",
                "                tags = self._tags(key)\n        except",
                "                tags = new\n        except",
            ),
        ),
        _test("store/test_marks.py", "somebody_wrote_over"),
    ),
    Mutant(
        "swap although there is no room for our tags",
        (
            (
                "model/stored.py",
                "        return len(TAGS_NEEDED.union(self.tags) - TAGS_GIVING_WAY) > MAX_OBJECT_TAGS",
                "        return False",
            ),
        ),
        _test("store/test_marks.py", "ten_tags"),
    ),
    Mutant(
        "take an archive tier for readable",
        (("store/answers.py", ' or head.get("ArchiveStatus"):', ":"),),
        _test("store/test_storage_classes.py", "thawed_without_days"),
    ),
    Mutant(
        "do not see in a listing that a thaw is running",
        (("store/answers.py", '    if status.get("IsRestoreInProgress"):', "    if False:"),),
        _test("store/test_storage_classes.py", "thaw_that_is_running"),
    ),
    Mutant(
        "begin no new session when Kaltura has ended it",
        (("kaltura/session.py", """ or '"LOGOUT"' in str(error))""", ")"),),
        _test("rules/test_boundaries.py", "session_that_was_ended"),
    ),
    Mutant(
        "divide a library in another way than earlier versions",
        (("filters.py", "hashlib.sha256(same_id(entry_id)", "hashlib.sha512(same_id(entry_id)"),),
        _test("rules/test_boundaries.py", "share_of_the_library"),
    ),
    Mutant(
        "count an entry as old enough a second too late",
        (("planning.py", "if entry.created_at > options.now -", "if entry.created_at >= options.now -"),),
        _test("rules/test_boundaries.py", "old_enough"),
    ),
    Mutant(
        "count an entry whose import failed as healthy",
        (
            (
                "states.py",
                "state in HEALTHY and entry.status in (EntryStatus.ERROR_CONVERTING, EntryStatus.ERROR_IMPORTING):",
                "state in HEALTHY and entry.status == EntryStatus.ERROR_CONVERTING:",
            ),
        ),
        _test("rules/test_boundaries.py", "in_error_is_not_healthy"),
    ),
    Mutant(
        "apply a plan to an object with another ETag",
        (("review/drift.py", " or now.etag != line.etag", ""),),
        _test("rules/test_boundaries.py", "each_fact_of_a_plan"),
    ),
    Mutant(
        "apply a plan to an object of another size",
        (("review/drift.py", "    elif now.size_bytes != line.stored_bytes or", "    elif"),),
        _test("rules/test_boundaries.py", "each_fact_of_a_plan"),
    ),
    Mutant(
        "apply a plan to an original of another size",
        (("review/drift.py", "line.original and len(sizes) < 2:", "line.original:"),),
        _test("rules/test_boundaries.py", "each_fact_of_a_plan"),
    ),
    Mutant(
        "do more than the plan foresaw",
        (("review/drift.py", "    elif not changes and not _foreseen(", "    elif False and not _foreseen("),),
        _test("rules/test_boundaries.py", "each_fact_of_a_plan"),
    ),
    Mutant(
        "take an incomplete answer of S3 for one",
        (
            (
                "store/errors.py",
                "    if status < 300 and model.name in _NEEDED",
                "    if False and model.name in _NEEDED",
            ),
        ),
        _walk("replace", "garbage"),
    ),
    Mutant(
        "call a copy the same although no evidence is recorded",
        (("model/stored.py", "        return _in_a_tag(self.etag) == proof.etag\n", "        return True\n"),),
        _test("store/test_odd_s3.py", "overwrote_under_the_same_tags"),
    ),
    Mutant(
        "believe the tags of an overwritten object",
        (
            (
                "model/stored.py",
                "        if proof and self.crc64nvme and self.crc64nvme != proof.crc64nvme:",
                "        if False:",
            ),
        ),
        _test("store/test_odd_s3.py", "whose_copy_was_overwritten"),
    ),
    Mutant(
        "tag a copy of which S3 shows nothing without reading it back",
        (
            (
                "apply/prove.py",
                "    if own_sha256(tools, work, stored, sent.sha256) == sent.sha256:\n",
                "    if True:\n",
            ),
        ),
        _test("store/test_odd_s3.py", "flipped_bit and nothing"),
    ),
    Mutant(
        "trust a checksum that the service only repeats",
        (("store/copies.py", "        if any(checksums_shown.values()) and not self._checks:", "        if False:"),),
        _test("store/test_odd_s3.py", "flipped_bit and repeated"),
    ),
    Mutant(
        "take an ETag of guessed parts for a difference",
        (("apply/proof.py", " and stored.md5_etag and not found.etag_guessed:", ":"),),
        _test("store/test_odd_s3.py", "guessed_part_size"),
    ),
    Mutant(
        "replace what was played while it waited for its place",
        (("apply/guards.py", "    if why := in_use(now, tools.options) or unnoticed(", "    if why := unnoticed("),),
        _test("apply/test_last_looks.py", "waits_for_its_place"),
    ),
    Mutant(
        "let a placeholder come to what is kept meanwhile",
        (
            (
                "apply/swap.py",
                "    kept = tools.options.keep.why(now, tools.options.now) or promise_pending(",
                '    kept = (lambda *_: "")(',
            ),
        ),
        _test("apply/test_last_looks.py", "while_kaltura_converts_its_placeholder"),
    ),
    Mutant(
        "put the copy over what was uploaded over one in error",
        (("apply/guards.py", "_said_of(original) != _said_of(was)", "False"),),
        _test("apply/test_last_looks.py", "over_one_in_error_stands"),
    ),
    Mutant(
        "delete in place an original that came where there was none",
        (
            (
                "apply/in_place.py",
                "                require_unchanged(tools, work, gone=gone)\n",
                "                _ = main and require_unchanged(tools, work, gone=gone)\n",
            ),
        ),
        _test("apply/test_last_looks.py", "came_where_there_was_none"),
    ),
    Mutant(
        "forget a stream that did not come back",
        (("apply/group.py", "        return still_found(plan) if away else plan", "        return plan"),),
        _test("journeys/test_groups.py", "did_not_come_back"),
    ),
    Mutant(
        "go on with the streams of what is kept meanwhile",
        (("apply/group.py", "        return together(self._runner.command, members)[0]", "        return own"),),
        _test("journeys/test_groups.py", "while_its_first_stream_goes"),
    ),
    Mutant(
        "let a further source flavor go",
        (("planning.py", "    if further := not_in_s3(facts):", '    if further := "":'),),
        _test("apply/test_flavors.py", "no_conversion_makes"),
    ),
    Mutant(
        "take an upload that Kaltura saved for a flavor that it can make again",
        (("model/facts.py", "or self.is_saved_upload(f))", "or not self.flavors)"),),
        _test("apply/test_saved_upload.py", "does_not_go"),
    ),
    Mutant(
        "put the placeholder back beside a source that S3 does not have",
        (("plans.py", "if plan := unsure or further_source(facts, judgement):", "if plan := unsure:"),),
        _test("apply/test_saved_upload.py", "repair"),
    ),
    Mutant(
        "delete an upload that Kaltura saved beside the flavor that plays on",
        (("thinning.py", "stay = {kept.id, *(flavor.id for flavor in facts.other_sources)}", "stay = {kept.id}"),),
        _test("apply/test_saved_upload.py", "thin_entry"),
    ),
    Mutant(
        "go on with a replacement whose copy went",
        (("apply/swap.py", "copy_went(tools, work, deciding=_decides(tools, status)):", "not copy_went:"),),
        _test("store/test_odd_s3.py", "goes_while_kaltura_converts"),
    ),
    Mutant(
        "go on with a replacement whose copy was found damaged",
        (("apply/guards.py", "    if stored.marked_damaged_at and not before.damaged_at:", "    if not before:"),),
        _test("apply/test_while_it_converts.py", "found_damaged"),
    ),
    Mutant(
        "overwrite what somebody sets while Kaltura converts",
        (("apply/swap.py", "elif other := _set_by_somebody(tools, work, entry, seen.flavors):", 'elif other := "":'),),
        _test("apply/test_while_it_converts.py", "source_that_somebody_sets"),
    ),
    Mutant(
        "begin a replacement while the last one still makes flavors",
        (("settling.py", "        return ()\n    making = ", "        return ()\n    return ()\n    making = "),),
        _test("apply/test_late_flavors.py", "still_makes"),
    ),
    Mutant(
        "count the steps of a version in one data centre only",
        (
            (
                "model/entry.py",
                "int(self.version) // VERSION_STEP - int(version) // VERSION_STEP",
                "(int(self.version) - int(version)) // VERSION_STEP",
            ),
        ),
        _test("apply/test_late_flavors.py", "either_data_centre"),
    ),
    Mutant(
        "take what Kaltura made of our own for somebody's",
        (("apply/swap.py", "source.size_bytes or 0}) if source", "0}) if source"),),
        _test("apply/test_while_it_converts.py", "what_ours_became"),
    ),
    Mutant(
        "archive what Kaltura's rounded size contradicts",
        (("kaltura/files.py", "        agrees = not kb or", "        agrees = True or"),),
        _test("journeys/test_damage.py", "rounded_size_contradicts"),
    ),
    Mutant(
        "believe half an answer when the original is read back",
        (("kaltura/files.py", "size_bytes == original.size_bytes\n", "True\n"),),
        _test("apply/test_repair.py", "half_an_answer"),
    ),
    Mutant(
        "replace before the day that a notice named",
        (("reasons.py", "now < _end_of(until)", "now < _end_of(until) - DAY_SECONDS"),),
        _test("rules/test_plans.py", "a_day_that_a_notice_named"),
    ),
    Mutant(
        "take a notice about flavors for one about the video",
        (("model/tags.py", "self.of is None or what is None or self.of is what", "True"),),
        _test("run/test_policy_notices.py", "lost_its_flavors"),
    ),
    Mutant(
        "presign for the address that all regions once had",
        (("store/bucket.py", '    context.pop("use_global_endpoint", None)\n', "    pass\n"),),
        _test("store/test_addresses.py", "everything_goes_where"),
    ),
    Mutant(
        "let libcurl send again what may have been done",
        (("transfer/curl.py", 'bool(size_bytes) or method in ("GET", "HEAD")', "True"),),
        _test("transfer/test_curl.py", "nothing_is_sent_twice"),
    ),
    Mutant(
        "believe an answer that was cut",
        (("kaltura/wire.py", "if answer.cut or len(", "if len("),),
        _test("journeys/test_hostile.py", "answer_without_end"),
    ),
    Mutant(
        "believe an answer whose head was cut",
        (("transfer/curl.py", "if whole and self._answer.status < 200:", "if False:"),),
        _test("store/test_wire.py", "without_a_whole_head"),
    ),
    Mutant(
        "take what comes unasked for an answer",
        (("transfer/curl.py", "._idle.pop()).is_spoilt():", "._idle.pop()) is None:"),),
        _test("transfer/test_curl.py", "brings_unasked"),
    ),
    Mutant(
        "put anything behind what was read of a video",
        (("kaltura/files.py", "if offset and not is_rest(", "if False and not is_rest("),),
        _test("kaltura/test_downloads.py", "not_the_rest"),
    ),
    Mutant(
        "wait for leave to send what botocore has made",
        (("store/wire.py", '("content-length", "expect")', '("content-length",)'),),
        _test("store/test_wire.py", "nobody_is_asked_for_leave"),
    ),
    Mutant(
        "never give the quick way up",
        (("store/direct.py", "            self._failures[kind] += 1\n", "            pass\n"),),
        _test("store/test_addresses.py", "cannot_be_reached"),
    ),
    Mutant(
        "read without If-Match",
        (
            ("store/copies.py", "Key=stored.key, IfMatch=etag, Range", "Key=stored.key, Range"),
            ("store/direct.py", ', "if-match": etag}', "}"),
        ),
        _test("store/test_odd_s3.py", "exchanged_between_two_reads"),
    ),
    Mutant(
        "take a checksum of checksums for one of the object",
        (
            (
                "store/answers.py",
                '    return shown if kind == "FULL_OBJECT" or (not kind and not in_parts) else ""',
                "    return shown",
            ),
        ),
        _test("store/test_odd_s3.py", "checksum_of_checksums"),
    ),
    Mutant(
        "send more parts than S3 takes",
        (("transfer/chunks.py", "max(CHUNK_BYTES, -(-size_bytes // MAX_CHUNKS))", "CHUNK_BYTES"),),
        _test("store/test_odd_s3.py", "nine_thousand_parts"),
    ),
    Mutant(
        "complete an upload without telling the size of all",
        (
            (
                "store/uploads.py",
                'ChecksumType="FULL_OBJECT", MpuObjectSize=found.size_bytes)',
                'ChecksumType="FULL_OBJECT")',
            ),
        ),
        _test("store/test_odd_s3.py", "whole_size_goes"),
    ),
    Mutant(
        "guess the size of an only part",
        (("store/copies.py", "        if count == 1:\n", "        if False:\n"),),
        _test("store/test_odd_s3.py", "one_part_is_known"),
    ),
    Mutant(
        "do not keep what is displaced where no tag tells what it is",
        (
            (
                "apply/displaced.py",
                "        if not holds_placeholder(facts):",
                "        if holds_placeholder(facts) is False:",
            ),
        ),
        _test("journeys/test_cycle.py", "may_not_be_the_placeholder"),
    ),
    Mutant(
        "believe what was displaced without reading it again",
        (("apply/displaced.py", "is not Identity.DIFFERENT:", "is not None:"),),
        _test("apply/test_displaced.py", "seen_before_the_swap"),
    ),
    Mutant(
        "put something over a video whose source is gone",
        (("states.py", "    if newer_flavors(facts):\n        undated", "    if False:\n        undated"),),
        _test("apply/test_displaced.py", "a_persons_to_decide"),
    ),
    Mutant(
        "take what arrived damaged and was linked again for the video",
        (("identity.py", " or _recorded_placeholder(original, stored):", ":"),),
        _test("apply/test_displaced.py", "arrived_damaged"),
    ),
    Mutant(
        "go on with a replacement whatever became of the copy",
        (("apply/swap.py", "        if why := _must_not_come(work.facts):", '        if why := "":'),),
        _test("apply/test_armed.py", "must_not_come"),
    ),
    Mutant(
        "approve what somebody else has begun",
        (("apply/swap.py", '    if entry.replacing_entry_id not in ("", ours):', "    if False:"),),
        _test("apply/test_armed.py", "is_not_approved"),
    ),
    Mutant(
        "call a body sent of which the host has taken a part",
        (("transfer/curl.py", "self.handle.getinfo(pycurl.SIZE_UPLOAD_T) < size", "False"),),
        _test("transfer/test_curl.py", "before_all_was_sent"),
    ),
    Mutant(
        "leave rounded sizes to the listing",
        (("states.py", "        needed = exact or (about and not original.size_bytes)", "        needed = exact"),),
        _test("rules/test_states.py", "listing_is_not_enough"),
    ),
    Mutant(
        "hand a copy known to be damaged to Kaltura by its URL",
        (("plans.py", '    if stored.spoiled and options.via == "url":', "    if False:"),),
        _test("apply/test_verify.py", "known_to_be_damaged"),
    ),
    Mutant(
        "hand a copy that was just found damaged to Kaltura by its URL",
        (("apply/guards.py", "        raise Refused(spoiled)\n", "        pass\n"),),
        _test("apply/test_verify.py", "found_damaged_in_the_last_moment"),
    ),
    Mutant(
        "do not record that another video came in the placeholder's place",
        (
            (
                "apply/replace.py",
                'set_tags(work.key, placeholder=next_version(before, placeholder) or "superseded")',
                "set_tags(work.key)",
            ),
        ),
        _test("apply/test_second_link.py", "in_the_placeholders_stead"),
    ),
    Mutant(
        "judge a lock by our own clock where S3 tells no time",
        (
            (
                "store/changes.py",
                "at = answered_at(answer) or written ",
                "at = answered_at(answer) or __import__('time').time() ",
            ),
        ),
        _test("run/test_lock.py", "does_not_tell_the_time"),
    ),
    Mutant(
        "do not count a restore that was cut",
        (("apply/restore.py", "    if came_back and work.stored.restored_at is None:", "    if False:"),),
        _test("journeys/test_restore_stays.py", "cut_before_it_was_recorded"),
    ),
    Mutant(
        "take another entry's copy for this one's",
        (
            (
                "store/copies.py",
                "        if named and same_id(named) != same_id(entry_of_key(key)):",
                "        if False:",
            ),
        ),
        _test("kaltura/test_silence.py", "copy_of_another_entry"),
    ),
    Mutant(
        "keep a flavor that is shorter than the entry",
        (("apply/thin.py", "        if not same_length(seconds, wanted):", "        if False:"),),
        _test("journeys/test_thin.py", "stays_where and shorter"),
    ),
    Mutant(
        "do not look whether the kept flavor is all there",
        (("movie.py", "        if length < used or at + length > size_bytes:", "        if False:"),),
        _test("journeys/test_thin.py", "stays_where and truncated"),
    ),
    Mutant(
        "keep a flavor that is not READY",
        (
            (
                "model/facts.py",
                "if not f.is_original and f.status.ready and",
                "if not f.is_original and",
            ),
        ),
        _test("journeys/test_thin.py", "not_ready_is_never_kept"),
    ),
    Mutant(
        "do not look at the kept flavor again before the original goes",
        (
            (
                "apply/thin.py",
                "    if now is None or now.content_id != kept.content_id or now.status is not FlavorStatus.READY:",
                "    if False:",
            ),
        ),
        _test("journeys/test_thin.py", "looked_at_once_more"),
    ),
    Mutant(
        "delete the original before it is compared with its copy",
        (
            (
                "plans_of_thin.py",
                "    steps = (Step.CHECK_COPY, Step.CHECK_KEPT, *keep",
                "    steps = (Step.CHECK_KEPT, *keep",
            ),
        ),
        _test("journeys/test_thin.py", "stays_where and other_bytes"),
    ),
    Mutant(
        "delete the original without a last look at its copy",
        (("apply/thin.py", "        check_copy(tools, work)\n        require_unchanged", "        require_unchanged"),),
        _test("journeys/test_thin.py", "copy_that_goes_in_the_last_moment"),
    ),
    Mutant(
        "delete derived flavors before it is known what became of the original",
        (
            (
                "apply/deleting.py",
                "        if failure and (last or not failure.retryable):\n            raise failure",
                "        return",
            ),
            (
                "apply/thin.py",
                "    if Facts(entry, flavors).original is not None:\n        raise Changed",
                "    if False:\n        raise Changed",
            ),
            (
                "apply/thin.py",
                "    if original is None and Facts(entry, flavors).original is not None:",
                "    if False:",
            ),
        ),
        _walk("thin", "drop-before"),
    ),
    Mutant(
        "delete a flavor again without a look",
        (
            (
                "apply/deleting.py",
                "    for last in kaltura.attempts():\n        look()\n",
                "    look()\n    for last in kaltura.attempts():\n",
            ),
            (
                "apply/deleting.py",
                '        if now.content_id != flavor.content_id:\n            raise Changed(f"somebody replaced',
                '        if False:\n            raise Changed(f"somebody replaced',
            ),
        ),
        _test("journeys/test_thin.py", "moment_of_a_lost_deletion"),
    ),
    Mutant(
        "tag original_in_s3 after the original is deleted",
        (
            (
                "plans_of_thin.py",
                "*keep_settings(facts), *tags, Step.DELETE_ORIGINAL)",
                "*keep_settings(facts), Step.DELETE_ORIGINAL, *tags)",
            ),
        ),
        _walk("thin", "drop-before"),
    ),
    Mutant(
        "drop original_in_s3 before the original is back",
        (
            ("plans.py", "    steps += remove_thin(facts)\n    return go(", "    return go("),
            (
                "plans.py",
                "    steps = [*keep_settings(facts), Step.PUT_ORIGINAL]",
                "    steps = [*keep_settings(facts), *remove_thin(facts), Step.PUT_ORIGINAL]",
            ),
        ),
        _walk("thin-restore", "kill-after"),
    ),
    Mutant(
        "replace a recording though a further stream of it failed",
        (
            (
                "groups.py",
                "    if command in (Command.REPLACE, Command.THIN) or other in _LEFT_ALONE:",
                "    if other in _LEFT_ALONE:",
            ),
        ),
        _test("journeys/test_groups.py", "fails_on_the_way"),
    ),
    Mutant(
        "ask the keep list about each stream when its turn comes",
        (
            ("apply/group.py", "together(self._runner.command, list(zip(members, plans, strict=True)))", "plans"),
            ("apply/group.py", "together(self._runner.command, list(zip(members, each, strict=True)))", "each"),
        ),
        _test("journeys/test_groups.py", "keeps_the_recording"),
    ),
    Mutant(
        "act on a further stream alone",
        (
            (
                "plans.py",
                "    if (parent := entry.parent_of_stream) and not in_group:",
                "    if False and (parent := ''):",
            ),
        ),
        _test("journeys/test_groups.py", "alone_is_refused"),
    ),
    Mutant(
        "let a copy beside be the entry's before it is proven",
        (
            (
                "apply/versions.py",
                "    key, found = _stored_beside(tools, work)\n",
                "    key, found = _stored_beside(tools, work)\n"
                "    tools.store.mark_newer(work.stored, replace(work.stored, key=key))\n",
            ),
            ("apply/versions.py", "    require_stored(tools, work)\n", ""),
        ),
        _walk("edited", "kill-before"),
    ),
    Mutant(
        "restore from the earlier copy where a newer one is the entry's",
        (
            (
                "apply/restore.py",
                "    stored = work.stored\n    require_way(tools)\n",
                "    stored = tools.store.head(work.id, with_tags=False) or work.stored\n    require_way(tools)\n",
            ),
        ),
        _walk("edited", "silence"),
    ),
    Mutant(
        "do not follow the mark that names a newer copy",
        (("store/copies.py", "        if with_tags and stored is not None and", "        if False and"),),
        _walk("edited", "silence"),
    ),
    Mutant(
        "write what was edited over the copy that there is",
        (
            ("apply/versions.py", "        kept = tools.store.head(key)\n", "        key, kept = work.id, None\n"),
            ("apply/versions.py", "    require_stored(tools, work)\n", ""),
            ("store/uploads.py", ', "if-none-match": "*"}\n', "}\n"),
        ),
        _walk("edited", "silence"),
    ),
    Mutant(
        "take what the index has of custom metadata for what the entry has",
        (
            (
                "criteria/metadata.py",
                "            if value not in (values := seen.metadata.get(field, frozenset())):\n",
                "            if not (values := seen.metadata.get(field, frozenset())):\n",
            ),
        ),
        _test("kaltura/test_metadata.py", "exactly_that_value"),
    ),
    Mutant(
        "make a call that was refused again by the same look",
        (("kaltura/session.py", "            if look and (again or stale):", "            if look and stale:"),),
        _test("apply/test_between_look_and_call.py", "ACTION_BLOCKED"),
    ),
    Mutant(
        "act by what was seen before a long wait",
        (("kaltura/session.py", "called_at - looked_at > FRESH_SECONDS", "called_at < looked_at"),),
        _test("apply/test_between_look_and_call.py", "who_had_to_wait"),
    ),
    Mutant(
        "act in a new session by what was seen in the last one",
        (("kaltura/session.py", "looked_at=0.0 if renewed else looked_at", "looked_at=time.monotonic()"),),
        _test("apply/test_between_look_and_call.py", "INVALID_KS"),
    ),
    Mutant(
        "write tags again that were read before the refusal",
        (("kaltura/changes.py", "lambda: sent, look=look)", "lambda: sent)"),),
        _test("apply/test_between_look_and_call.py", "a_tag_that_is_set"),
    ),
    Mutant(
        "replace what came where there was no original",
        (("apply/guards.py", "    if plays != {", "    if not plays and plays != {"),),
        _test("apply/test_between_look_and_call.py", "what_plays"),
    ),
    Mutant(
        "try only once to cancel a placeholder",
        (("apply/cancel.py", "        if time.monotonic() >= until:", "        if until:"),),
        _test("apply/test_cancelling.py", "until_it_is_over"),
    ),
    Mutant(
        "say that a placeholder was cancelled, without a look",
        (("apply/cancel.py", "    if not _stayed(before, now):", "    if not tools:"),),
        _test("apply/test_cancelling.py", "in_that_moment"),
    ),
    Mutant(
        "end somebody's upload to a stream together with ours",
        (("apply/cancel.py", "        if not pressing and (streams :=", "        if not tools and (streams :="),),
        _test("apply/test_cancelling.py", "only_ended_for"),
    ),
    Mutant(
        "take somebody's video for what Kaltura made of the placeholder",
        (("apply/reencoded.py", " or new.size_bytes != work.coming.size_bytes:", ":"),),
        _test("apply/test_reencoded.py", "in_its_stead_is_theirs"),
    ),
    Mutant(
        "take a video of unknown size for the placeholder",
        (
            (
                "apply/replace.py",
                "    return fingerprint(tools.kaltura.content(new)).sha256 ==",
                "    return placeholder.sha256 ==",
            ),
        ),
        _test("apply/test_cancelling.py", "no_bytes_is_read_before"),
    ),
    Mutant(
        "take somebody's replacement without a size for ours",
        (("apply/swap.py", "    return bool(work.token) and tools.kaltura.is_full(", "    return not work and bool("),),
        _test("apply/test_cancelling.py", "no_size_yet"),
    ),
    Mutant(
        "vouch for a video of which S3 has one source of two",
        (
            (
                "run/due_list.py",
                "    if facts.further_sources or facts.sources_to_come:",
                "    if facts.sources_to_come:",
            ),
        ),
        _test("run/test_policy_late.py", "second_source"),
    ),
    Mutant(
        "take the rest of a title for an entry of a list",
        (("asking/lists.py", 'list(io.StringIO(text, newline=""))', "text.splitlines(keepends=True)"),),
        _test("journeys/test_what_others_write.py", "adds_no_entry"),
    ),
    Mutant(
        "take plays without a date for none",
        (("criteria/when.py", "if entry.plays or entry.last_played_at else", "if entry.last_played_at else"),),
        _test("journeys/test_what_others_write.py", "plays_without_a_date"),
    ),
    Mutant(
        "take somebody's replacement for ours where there is no token",
        (("apply/swap.py", "or (work.token and not (told or", "or (work and not (told or"),),
        _test("apply/test_cancelling.py", "told_by_its_size"),
    ),
    Mutant(
        "say that what went through without a source was cancelled",
        (("apply/cancel.py", " and bool(played or came)", " and bool(played)"),),
        _test("apply/test_cancelling.py", "without_a_source"),
    ),
    Mutant(
        "approve once more without a look",
        (("apply/cancel.py", "approve_replace(work.id, look=look_at_all)", "approve_replace(work.id, look=print)"),),
        _test("apply/test_cancelling.py", "before_each_attempt"),
    ),
    Mutant(
        "cancel once more without a look whose replacement runs",
        (
            (
                "apply/cancel.py",
                "                look()\n                tools.kaltura.cancel_replace(",
                "                tools.kaltura.cancel_replace(",
            ),
        ),
        _test("apply/test_cancelling.py", "looked_at_before_each"),
    ),
    Mutant(
        "cancel nothing where the further streams are not told",
        (
            (
                "apply/cancel.py",
                "    with suppress(KalturaError, Stopped):\n        if streams :=",
                "    if True:\n        if streams :=",
            ),
        ),
        _test("apply/test_cancelling.py", "streams_are_not_told"),
    ),
    Mutant(
        "stop in place between the deletion and the new content",
        (
            (
                "apply/in_place.py",
                "                delete_at_once(tools.kaltura, flavor, look)",
                "                delete_for_certain(tools.kaltura, flavor, look)",
            ),
        ),
        _test("apply/test_between_look_and_call.py", "nothing_is_asked_between"),
    ),
    Mutant(
        "ask what became of a call that Kaltura has refused",
        (("apply/swap.py", "    if failure.code in NOT_ACTED or (", "    if ("),),
        _test("apply/test_cancelling.py", "is_not_taken_for_begun"),
    ),
    Mutant(
        "forget the time that somebody else took to sign in",
        (
            (
                "kaltura/session.py",
                "        looked_at = time.monotonic()\n        for renewed in",
                "        looked_at = 1e12\n        for renewed in",
            ),
        ),
        _test("apply/test_between_look_and_call.py", "somebody_to_sign_in"),
    ),
    Mutant(
        "leave custom metadata out of the last look before a swap",
        (
            (
                "apply/guards.py",
                "    return with_metadata(tools.kaltura, facts) if tools.by_metadata else facts\n",
                "    return replace(facts, metadata={})\n",
            ),
        ),
        _test("rules/test_keep.py", "metadata_that_comes_while_we_upload"),
    ),
    Mutant(
        "forget a tag that keeps until a day where it names none",
        (("model/tags.py", "    return date.max\n", "    return None\n"),),
        _test("rules/test_keep.py", "names_no_day_keeps_for_ever"),
    ),
    Mutant(
        "take a copy of which nothing is recorded for one that is old enough",
        (
            (
                "criteria/copies.py",
                '            return f"it is not known since when it is {self.word}"\n',
                '            return ""\n',
            ),
        ),
        _test("journeys/test_by_copy.py", "replaced_long_ago_is_nothing_else"),
    ),
    Mutant(
        "remove the tag by which a video was asked for while it thaws",
        (
            (
                "plans.py",
                "{Step.THAW, Step.SETTLE, Step.COPY_SOURCE}.isdisjoint(plan.steps)",
                "{Step.SETTLE, Step.COPY_SOURCE}.isdisjoint(plan.steps)",
            ),
        ),
        _test("journeys/test_asked_for.py", "until_it_is_back"),
    ),
    Mutant(
        "take a newer video for what thin has left",
        (
            (
                "states.py",
                "        if newer_flavors(facts):\n            return None  # of",
                "        if False:\n            return None  # of",
            ),
        ),
        _test("apply/test_all_that_is_left.py", "not_taken_for_the_flavor"),
    ),
    Mutant(
        "let the placeholder take the place of the last flavors",
        (
            (
                "plans.py",
                "unsure = _unproven_alone(facts, judgement) if facts.derived or facts.original else None",
                "unsure = None",
            ),
            (
                "apply/guards.py",
                "        if work.facts.derived or original is not None:  # which",
                "        if False:  # which",
            ),
        ),
        _test("apply/test_all_that_is_left.py", "no_placeholder_takes"),
    ),
    Mutant(
        "ask for no proof where the original is in error",
        (
            (
                "plans.py",
                "unsure = _unproven_alone(facts, judgement) if facts.derived or facts.original else None",
                "unsure = _unproven_alone(facts, judgement) if facts.derived else None",
            ),
            ("apply/guards.py", "if work.facts.derived or original is not None:", "if work.facts.derived:"),
        ),
        _test("apply/test_what_is_coming.py", "unless_its_copy_is_proven"),
    ),
    Mutant(
        "take the time of a moved copy for its age",
        (("identity.py", "    return undated and facts.entry.replaced", "    return False and facts.entry.replaced"),),
        _test("apply/test_moved_copies.py", "what_nothing_explains"),
    ),
    Mutant(
        "take what Kaltura is making of an upload for nothing",
        (("states.py", "if coming := coming_content(facts):", "if coming := '':"),),
        _test("apply/test_what_is_coming.py", "is_waited_for"),
    ),
    Mutant(
        "take an upload that could not be converted for nothing",
        (("states.py", "if lost_source(facts):", "if False:"),),
        _test("apply/test_what_is_coming.py", "could_not_convert"),
    ),
    Mutant(
        "restore over a source that is on its way",
        (
            ("plans.py", "if plan := not_to_be_kept(facts, judgement):", "if plan := None:"),
            ("apply/guards.py", "_other_sources(Facts(entry, flavors)) - _other_sources(work.facts):", "set[str]():"),
        ),
        _test("apply/test_what_is_coming.py", "on_its_way or set_anew"),
    ),
    Mutant(
        "take what somebody put into an emptied entry for ours",
        (("apply/in_place.py", 'if error.code == "ENTRY_ALREADY_WITH_CONTENT":', "if False:"),),
        _test("apply/test_what_is_coming.py", "not_taken_for_ours"),
    ),
    Mutant(
        "leave an entry without content to an import",
        (("apply/in_place.py", "    if not work.token:", "    if False:"),),
        _test("apply/test_what_is_coming.py", "not_left_to_an_import"),
    ),
    Mutant(
        "keep nothing of what an unproven copy displaces",
        (("apply/displaced.py", "(() if _has_it_all(work.stored) else facts.derived)", "()"),),
        _test("apply/test_all_that_is_left.py", "what_plays_is_kept"),
    ),
    Mutant(
        "keep no further source that a restore displaces",
        (("apply/displaced.py", "for flavor in facts.further_sources}", "for flavor in ()}"),),
        _test("apply/test_all_that_is_left.py", "restore_displaces_is_kept"),
    ),
    Mutant(
        "take the original away by --derived-only where thin was cut",
        (("plans_of_thin.py", "if options.derived_only and original is not None:", "if False:"),),
        _test("apply/test_all_that_is_left.py", "derived_only"),
    ),
    Mutant(
        "let a source go that is in error",
        (
            (
                "model/facts.py",
                "for flavor in self.other_sources if not flavor.status.in_progress)",
                "for flavor in self.other_sources if flavor.status.ready)",
            ),
        ),
        _test("apply/test_all_that_is_left.py", "in_error"),
    ),
    Mutant(
        "replace a source that Kaltura is still making",
        (("planning.py", "if coming := [f.id for f in facts.sources_to_come]:", "if coming := []:"),),
        _test("apply/test_all_that_is_left.py", "still_being_made"),
    ),
    Mutant(
        "let an original go for a copy that a lifecycle rule will delete",
        (("apply/guards.py", "    require_lasting(stored)\n    if identify(", "    if identify("),),
        _test("store/test_expiring_copies.py", "comes_while_it_is_at_work"),
    ),
    Mutant(
        "let a rule delete what a restore displaces",
        (("apply/displaced.py", "        if kept.ending:", "        if False:"),),
        _test("store/test_expiring_copies.py", "displaces_is_not_left"),
    ),
    *_unguarded(),
)


def edited(mutant: Mutant) -> Iterator[tuple[str, str]]:
    """(file name, its text after one more edit); ValueError where the text to be edited is not there once."""
    texts: dict[str, str] = {}
    for name, old, new in mutant.edits:
        text = texts.get(name) or (PACKAGE / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{mutant.name}: {name} has {text.count(old)} times {old!r}")
        texts[name] = text.replace(old, new)
        yield name, texts[name]


def caught(mutant: Mutant) -> tuple[bool, str]:
    """Whether the proof fails on the broken tool, and what it said first."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        broken = Path(folder) / "kaltura_archiver"
        shutil.copytree(PACKAGE, broken, ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in edited(mutant):
            (broken / name).write_text(text, encoding="utf-8")
        result = subprocess.run(
            [sys.executable, *mutant.proof],
            env={**os.environ, "PYTHONPATH": folder},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    seen = next((line for line in said if line.split()[0] in _VERDICTS), said[-1] if said else "")
    return result.returncode == 1 and seen.split(" ")[0] in _VERDICTS, seen


_VERDICTS = {
    "LOST", "CORRUPT", "EMPTY", "TAGLOST", "STUCK", "LEFT", "SECRET", "CRASH", "REPEAT", "AssertionError:", "FAILED",
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description="Break the tool on purpose: is it noticed?")
    parser.add_argument("words", nargs="*", help="only mutants with all these words in their names")
    words, missed = parser.parse_args().words, 0
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.name for word in words)]
    if not chosen:
        parser.error("no mutant has such a name")
    for mutant in chosen:
        seen, evidence = caught(mutant)
        missed += not seen
        sys.stdout.write(f"{'caught' if seen else 'MISSED'}  {mutant.name}: {evidence[:160]}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - missed} of {len(chosen)} caught\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""The servers that are asked: the sandbox in this process, or an account anywhere. What was made is removed again."""

from __future__ import annotations

import hashlib
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from asking import Api, err, flavor_rows, item, search, wanted
from masking import Json, Names
from requests import RequestException

from kaltura_archiver.sandbox.control import Clock, Control
from kaltura_archiver.sandbox.kaltura.server import AppToken, KalturaServer

# The videos with which the answers were recorded had so many bytes, and so many seconds.
VIDEO_BYTES, VIDEO_SECONDS = 47_213, 2
OTHER_BYTES, OTHER_SECONDS = 61_234, 3
RECORDED_FINAL_CHUNK_SECONDS = 45
APPROVAL, NO_FEATURE = "approval", "nofeature"


class NotAllowed(Exception):
    """Something that a section needs cannot be made by this session."""


class Site:
    """A server, an account of it, the entries that were made for the probes, and the answers so far.

    `can` names what this site can be brought to: "write", "fail" (conversions), "play" (an entry), "settings" (of the
    account), "serve" (it fetches from this machine), "break" (a token's state).
    """

    api: Api
    can: frozenset[str] = frozenset()
    user = "archiver"  # whose the session is, and what is made
    user_secret = ""
    # Between two looks, and how many times as long as the recorded server this one may take.
    look_seconds = 0.1
    patience = 1
    video = b""
    other_video = b""

    def __init__(self) -> None:
        self.names = Names()
        self.answers: dict[str, dict[str, Any]] = {}
        self.broken: dict[str, str] = {}
        self.not_allowed: dict[str, str] = {}
        self.main = self.main_original = self.tagged = self.empty_one = ""
        self.set = ""
        self._made: list[tuple[str, str, Mapping[str, Any]]] = []

    # Answers

    def record(self, number: str, what: str, answer: Json) -> None:
        self.answers[number] = {"what": what, "answer": self.names.masked(answer)}

    # Time

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, condition: Callable[[], bool], seconds: float = 60, pause: float = 0.2) -> bool:
        end = self.now() + seconds * self.patience
        while self.now() < end:
            if condition():
                return True
            self.sleep(pause)
        return False

    def watch(
        self, askers: Mapping[str, Callable[[Api], Json]], begin: Callable[[], object], over: Callable[[], bool]
    ) -> dict[str, list[Json]]:
        """The answers that askers without pause see from before `begin` until `over`, each change once."""
        stop = threading.Event()
        seen: dict[str, list[Json]] = {name: [] for name in askers}

        def look(name: str, ask: Callable[[Api], Json]) -> None:
            mine = self.api.again(self.api.ks)
            while not stop.is_set():
                _note(seen[name], ask(mine))

        threads = [threading.Thread(target=look, args=one, daemon=True) for one in askers.items()]
        for thread in threads:
            thread.start()
        begin()
        self.wait(over)
        self.sleep(1)
        stop.set()
        for thread in threads:
            thread.join()
        return seen

    # Entries and what belongs to them

    def prepare(self) -> None:
        """Make the entries that most probes ask about."""
        self.set = f"contractset{int(self.now()):x}"  # a tag that earlier runs did not use
        self.names[self.set] = "contractset"
        self.empty_one = self.empty("empty one", tags=self.set)
        self.main = self.make("main", tags=f"{self.set}, physics", ready=False)
        self.tagged = self.make("tagged", ready=False)
        self.names.name(self.main.upper(), "id in upper case")
        for tags in TAG_SETS:
            self.empty(f"set {tags}", tags=f"{self.set}, {tags}")
        self.ready(self.main)
        self.ready(self.tagged)
        self.main_original = (self.api.original(self.main) or {}).get("id", "")
        self.play(self.make("played", tags=f"{self.set}, played1"))
        total = str(len(TAG_SETS) + 3)
        self.wait(lambda: search(self.api, wanted(item("tags", 1, self.set)))["totalCount"] == total, 8)

    def empty(self, label: str, **fields: Any) -> str:
        """An entry without content."""
        made = {"objectType": "KalturaMediaEntry", "mediaType": 1, "name": label, **fields}
        entry = str(self._allowed("media", "add", {"entry": made})["id"])
        self._made.append(("media", "delete", {"entryId": entry}))
        return self.names.name(entry, label)

    def make(self, label: str, tags: str | None = None, *, ready: bool = True, **fields: Any) -> str:
        """An entry with a video."""
        if tags is not None:
            fields["tags"] = tags
        entry = self.empty(label, **fields)
        self.make_from(entry, self.api.token(self.video), ready=ready)
        return entry

    def make_from(self, entry: str, token: str, *, ready: bool = True) -> str:
        answer = self.api.add_content(entry, token)
        if "error" in answer:
            raise RuntimeError(f"no content for an entry: {err(answer)}")
        return self.ready(entry) if ready else entry

    def ready(self, entry: str) -> str:
        def done() -> bool:
            rows = flavor_rows(self.api, entry)
            return self.api.get(entry).get("status") == "2" and all(" st2" in row or " st4" in row for row in rows)

        self.wait(done)
        if original := self.api.original(entry):
            self.names.name(original["id"], f"{self.names[entry].strip('<>')} original")
        return entry

    def settled(self, entry: str) -> None:
        """Wait until no replacement of the entry is under way."""

        def done() -> bool:
            now = self.api.get(entry)
            rows = flavor_rows(self.api, entry)
            at_rest = (now.get("replacementStatus"), now.get("status")) == ("0", "2")
            return at_rest and all(" st2" in row or " st4" in row for row in rows)

        self.wait(done)

    def categories(self, entry: str) -> tuple[str, str]:
        """A category with the entry in its sub-category: the ids of both."""
        made: list[str] = []
        for number in (1, 2):
            parent = {"parentId": made[0]} if made else {}
            wanted_one = {"objectType": "KalturaCategory", "name": f"contract {number} {self.set}", **parent}
            answer = self._allowed("category", "add", {"category": wanted_one})
            self._made.append(("category", "delete", {"id": answer["id"]}))
            self.names[answer["name"]] = f"<category {number}>"
            made.append(self.names.name(answer["id"], f"category id {number}"))
        link = {"objectType": "KalturaCategoryEntry", "entryId": entry, "categoryId": made[1]}
        self._allowed("categoryentry", "add", {"categoryEntry": link})
        return made[0], made[1]

    def _allowed(self, service: str, action: str, params: Mapping[str, Any]) -> Any:
        answer = self.api.call(service, action, params)
        if "error" in answer:
            raise NotAllowed(f"{service}.{action}: {err(answer)['error']}")
        return answer

    def app_token(self, **fields: Any) -> tuple[str, str]:
        token = {
            "objectType": "KalturaAppToken",
            "hashType": "SHA256",
            "sessionType": 2,
            "sessionUserId": self.user,
            "sessionPrivileges": "disableentitlement",
            **fields,
        }
        answer = self._allowed("apptoken", "add", {"appToken": token})
        self._made.append(("apptoken", "delete", {"id": answer["id"]}))
        return answer["id"], answer["token"]

    def break_app_token(self, token_id: str, how: str) -> None:
        """Make an app token "disabled", "deleted" or "expired"."""
        self.api.call("apptoken", "delete", {"id": token_id})

    # What only some sites can be brought to

    def account(self, which: str) -> bool:
        """Whether the account now is one that wants approval, or lacks the feature."""
        return False

    def leave_account(self) -> None:
        """The account as it was."""

    def fail(self, on: bool) -> None:
        """Whether the coming conversions and imports fail."""

    def play(self, entry: str) -> None:
        """Three plays, the last one 400 days ago."""

    def quick_final_chunk(self) -> None:
        """A final chunk waits a moment for the others, no longer."""

    def final_chunk_seconds(self, waited: float) -> float:
        """How long a final chunk waited, rounded to tens, as a server with the usual setting would have."""
        return round(waited, -1)

    def tidy(self) -> None:
        """Remove what was made, the last first. What cannot be removed is left."""
        for service, action, params in reversed(self._made):
            with suppress(RequestException):
                self.api.call(service, action, params)
        self._made.clear()


TAG_SETS = (
    "archived_to_s3",
    "archived_to_s3_old",
    "archive",
    "archived by hand",
    "old archived_to_s3",
    "flavors_deleted, archived_to_s3",
    "Archived-To-S3",
    "two words",
    "ümlaut",
    "a&b, <b>bold</b>",
    "dotted.tag, under_score",
    "semi;colon, slash/tag",
    "apostrophe's, 100%, c++, c#",
    "archived to s3",
)


def in_turn(
    site: Site, askers: Mapping[str, Callable[[Api], Json]], begin: Callable[[], object], over: Callable[[], bool]
) -> dict[str, list[Json]]:
    """As `watch`, but one after the other with little time between: where time is ours to move."""
    seen: dict[str, list[Json]] = {name: [] for name in askers}

    def look() -> None:
        for name, ask in askers.items():
            _note(seen[name], ask(site.api))

    look()
    begin()
    while not over():
        look()
        site.sleep(0.03)
    look()
    return seen


def _note(seen: list[Json], state: Json) -> None:
    if not seen or seen[-1] != state:
        seen.append(state)


class Account(Site):
    """An account of any server. Without `write` nothing is sent that may change something."""

    look_seconds = 0.5
    patience = 15

    def __init__(self, api: Api, *, write: bool = False, videos: tuple[bytes, bytes] = (b"", b"")) -> None:
        """`api` has a session. The videos are uploaded: two of different sizes."""
        super().__init__()
        api.read_only = not write
        self.api, self.names = api, api.names
        self.user = api.call("session", "get").get("userId", "")
        self.video, self.other_video = videos
        self.can = frozenset({"write"}) if write else frozenset()

    def choose(self) -> bool:
        """Look for a video that is there already, to be read; whether there is one."""
        wanted_ones = {"objectType": "KalturaMediaEntryFilter", "mediaTypeEqual": 1, "statusEqual": 2}
        for entry in self.api.call("media", "list", {"filter": wanted_ones}).get("objects") or []:
            original = self.api.original(entry["id"])
            if original and original["status"] == "2":
                self.main = self.names.name(entry["id"], "main")
                self.names.name(self.main.upper(), "id in upper case")
                self.main_original = self.names.name(original["id"], "main original")
                return True
        return False


class StoppedClock(Clock):
    """Time that passes only when it is told to, so that what is seen does not depend on the machine."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.time()

    def now(self) -> float:
        return self._began + self._offset_seconds


class Sandbox(Site):
    """The project's sandbox in this process, on a clock that the probes move."""

    can = frozenset({"write", "fail", "play", "settings", "serve", "break"})

    def __init__(self) -> None:
        super().__init__()
        self.server = KalturaServer(Control(clock=StoppedClock()))
        # So that what is short in a conversion falls between two looks, 0.1 s apart.
        self.server.settings.conversion_seconds = 2.01
        self.server.start()
        self.api = Api(self.server.url, self.server.partner_id, self.server.secret, self.names).login()
        self.user_secret = self.server.user_secret
        self.video = look_alike(VIDEO_BYTES, VIDEO_SECONDS)
        self.other_video = look_alike(OTHER_BYTES, OTHER_SECONDS)

    def now(self) -> float:
        return self.server.control.clock.now()

    def sleep(self, seconds: float) -> None:
        self.server.library.await_imports()
        self.server.control.clock.advance(seconds)

    def watch(
        self, askers: Mapping[str, Callable[[Api], Json]], begin: Callable[[], object], over: Callable[[], bool]
    ) -> dict[str, list[Json]]:
        """With time between the steps of a switch, so that each is seen by all."""
        self.server.settings.switch_seconds = 0.05
        seen = in_turn(self, askers, begin, over)
        self.server.settings.switch_seconds = None
        return seen

    def empty(self, label: str, **fields: Any) -> str:
        known = {"tags": "tags", "adminTags": "admin_tags", "parentEntryId": "parent_id"}
        more = {known[name]: value for name, value in fields.items()}
        entry = self.server.add_entry(
            status="7", name=label, derived=1, creator_id="archiver", created_at=self.now(), **more
        )
        return self.names.name(entry.id, label)

    def categories(self, entry: str) -> tuple[str, str]:
        self.server.add_category(7001, "cat one")
        self.server.add_category(7002, "cat two", 7001)
        self.server.edit(entry, categories=[7002])
        for number, name in (("7001", "cat one"), ("7002", "cat two")):
            self.names[name] = f"<category {number[-1]}>"
            self.names.name(number, f"category id {number[-1]}")
        return "7001", "7002"

    def account(self, which: str) -> bool:
        settings = self.server.settings
        settings.replacement_approval = which == APPROVAL
        settings.entry_replacement = settings.recycle_bin = which != NO_FEATURE
        return True

    def leave_account(self) -> None:
        self.account("")

    def fail(self, on: bool) -> None:
        self.server.settings.fail_next_conversions = self.server.settings.fail_imports = int(on)

    def play(self, entry: str) -> None:
        self.server.edit(entry, last_played_at=int(self.now()) - 400 * 86400, plays=3)

    def app_token(self, **fields: Any) -> tuple[str, str]:
        made = AppToken(
            f"0_h9{len(self.server.app_tokens):06d}",
            hashlib.sha256(str(len(self.server.app_tokens)).encode()).hexdigest(),
            hash_type=fields.get("hashType", "SHA256").lower(),
            user_id="archiver",
            privileges="disableentitlement",
            session_type=int(fields.get("sessionType", 2)),
            session_seconds=int(fields.get("sessionDuration", 86400)),
        )
        self.server.app_tokens[made.id] = made
        return made.id, made.token

    def break_app_token(self, token_id: str, how: str) -> None:
        token = self.server.app_tokens[token_id]
        if how == "expired":
            token.expiry = self.now() - 10
        else:
            token.status = {"disabled": 1, "deleted": 3}[how]

    def quick_final_chunk(self) -> None:
        self.server.settings.final_chunk_wait_seconds = 0.05

    def final_chunk_seconds(self, waited: float) -> float:
        share = waited / self.server.settings.final_chunk_wait_seconds
        return 40.0 if share >= 1 else round(share * RECORDED_FINAL_CHUNK_SECONDS, -1)

    def tidy(self) -> None:
        self.server.stop()


def look_alike(size: int, seconds: int) -> bytes:
    """What the sandbox takes for a video of this size and length: a movie header among bytes."""
    header = struct.pack(">I4sIIIII", 108, b"mvhd", 0, 0, 0, 1000, seconds * 1000) + bytes(80)
    start = struct.pack(">I8sI", 16, b"ftypisom", 512) + struct.pack(">I4s", 8 + len(header), b"moov") + header
    rest = size - len(start) - 8
    return start + struct.pack(">I4s", rest + 8, b"mdat") + bytes((7 * at + seconds) % 251 for at in range(rest))

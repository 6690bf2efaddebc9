"""U: upload tokens, whole and in chunks."""

from __future__ import annotations

import time
from typing import Any

from asking import err, pick
from sites import Site

NOWHERE = "0_nothere0"
NAMES = (
    *(("a.mp4", "a.mp4"), (None, "b.mov"), ("noext", "noext"), ("a.mp4", "b.mkv"), ("a.mp4", "noext")),
    *(("ü b.mp4", "ü b.mp4"), ("a.longext", "a.longext"), ("a.MP4", "a.MP4"), ("a.mp4", "x.tmp")),
    *(("evil.php", "evil.php"), ("a.html", "a.html"), ("a.exe", "a.exe"), ("../../up.mp4", "../../up.mp4")),
    ("archiver-0_ab.mp4", "archiver-0_ab.mp4"),
)


def _state(answer: Any) -> Any:
    return pick(answer, "status", "uploadedFileSize", "fileSize", "fileName")


class _Chunks:
    """A token that is filled in quarters of the video; `told` are its states after each step."""

    def __init__(self, s: Site, size: int | None = None, **fields: Any) -> None:
        self.api, self.data, self.quarter = s.api, s.video, len(s.video) // 4
        added = s.api.add_token(fileName="a.mp4", fileSize=size or len(s.video), **fields)
        self.added, self.id = added, added.get("id", "")
        self.told: list[Any] = []

    def send(self, first: int, last: int, *, final: bool = False, at: int | None = None, resume: bool = True) -> Any:
        """Send the quarters from `first` to before `last`, and say that they belong at byte `at`."""
        part = self.data[first * self.quarter : len(self.data) if last == 4 else last * self.quarter]
        return self.put(part, final=final, resume=resume, at=first * self.quarter if at is None else at)

    def put(self, part: bytes, *, final: bool = False, resume: bool = True, at: int | None = None) -> Any:
        place = {} if at is None else {"resumeAt": at}
        return self.api.up(self.id, part, "a.mp4", resume=resume, finalChunk=final, **place)

    def step(self, answer: Any = None) -> None:
        self.told.append(_state(self.api.get_token(self.id) if answer is None else answer))

    def begin(self) -> Any:
        return self.put(self.data[: self.quarter], resume=False)

    def short(self) -> list[Any]:
        """The states, sizes in quarters."""
        size, quarter = len(self.data), self.quarter
        names = {str(size): "N", str(quarter): "k", str(2 * quarter): "2k", str(3 * quarter): "3k"}
        return [{field: names.get(value, value) for field, value in state.items()} for state in self.told]


def uploads(s: Site) -> None:
    _whole(s)
    _chunks(s)
    _odd_chunks(s)
    _final_chunk_too_early(s)
    _without_bytes(s)
    _names(s)
    _auto_finalize(s)
    _lists(s)


def _whole(s: Site) -> None:
    api, data = s.api, s.video
    token = api.add_token(fileName="archiver-x.mp4", fileSize=len(data))
    s.record("U01", "uploadToken.add: the whole answer", token)
    one = token["id"]
    s.record("U02", "get before any byte", api.get_token(one))
    s.record("U03", "upload in one: the whole answer", api.up(one, data, "archiver-x.mp4"))
    s.record("U04", "upload again to a full token", err(api.up(one, data)))
    s.record("U05", "get after", _state(api.get_token(one)))
    answers = [
        err(api.call("uploadtoken", "delete", {"uploadTokenId": one})),
        err(api.get_token(one)),
        err(api.call("uploadtoken", "delete", {"uploadTokenId": one})),
        err(api.up(one, data)),
    ]
    s.record("U06", "delete of a full token; get; delete again; upload", answers)
    answers = [err(api.get_token(NOWHERE)), err(api.up(NOWHERE, data))]
    s.record("U07", "get, upload of an unknown token", answers)
    s.record("U08", "add without anything", api.add_token())
    s.record("U09", "add with autoFinalize without size", err(api.add_token(autoFinalize=True)))
    sizes: tuple[Any, ...] = ("1048576.0", 0, -1, "1000000000000.0")
    states = [_state(api.add_token(fileName="a.mp4", fileSize=size)) for size in sizes]
    s.record("U10", "add with fileSize as float text, 0, -1, 1e12", states)


def _chunks(s: Site) -> None:
    token = _Chunks(s)
    token.step(token.put(token.data[: token.quarter], resume=False, at=-1))
    token.step()
    token.step(token.send(1, 2))
    token.step(token.send(1, 2))
    token.step()
    token.step(token.send(2, 3))
    token.step(token.send(3, 4, final=True))
    s.record("U11", "four chunks, the second sent twice", token.short())
    s.record("U12", "final chunk sent twice", err(token.send(3, 4, final=True)))
    entry = s.make_from(s.empty("from chunks"), token.id)
    equal = (s.api.original(entry) or {}).get("sizeInBytes") == str(len(s.video))
    s.record("U13", "content made of the chunks is the file's", {"sizeInBytes equal": equal})


def _odd_chunks(s: Site) -> None:
    token = _Chunks(s)
    s.record("U14", "resume before any chunk", err(token.send(1, 4)))
    s.record("U15", "… state", _state(s.api.get_token(token.id)))
    token = _Chunks(s)
    token.step(token.begin())
    token.step(token.send(2, 3))
    token.step()
    token.step(token.send(1, 2))
    token.step()
    s.record("U16", "chunk ahead of its turn, then the missing one", token.short())
    token.told.clear()
    token.step(token.begin())
    token.step()
    s.record("U17", "first chunk (resume false) again on a token under way", token.short())
    token = _Chunks(s)
    token.begin()
    token.step(token.send(1, 2, final=True))
    token.step()
    s.record("U18", "final chunk with fewer bytes than declared", token.short())
    token = _Chunks(s, len(s.video) // 4)
    token.step(s.api.up(token.id, s.video[: 2 * token.quarter], "a.mp4"))
    token.step()
    s.record("U19", "more bytes than declared in one", token.short())
    token = _Chunks(s, len(s.video) // 4)
    token.begin()
    token.step(token.send(1, 2, final=True))
    token.step()
    s.record("U20", "more bytes than declared in chunks", token.short())
    token = _Chunks(s)
    token.put(token.data[: 2 * token.quarter], resume=False)
    token.step(token.put(b"Z" * 10, at=5))
    token.step()
    s.record("U21", "resumeAt inside what is there", token.short())
    token.step(token.put(token.data[2 * token.quarter : 3 * token.quarter]))
    token.step()
    s.record("U22", "resume without resumeAt", token.short()[2:])


def _final_chunk_too_early(s: Site) -> None:
    s.quick_final_chunk()
    token = _Chunks(s)
    token.begin()
    began = time.monotonic()
    refused = err(token.send(3, 4, final=True))
    waited = s.final_chunk_seconds(time.monotonic() - began)
    state = _state(s.api.get_token(token.id))
    s.record("U23", "final chunk while one is missing", [refused, f"seconds {waited}", state])
    token.step(token.send(1, 3))
    token.step(token.put(b"", final=True, at=len(s.video)))
    s.record("U24", "… the missing ones after that, then final", token.short())


def _without_bytes(s: Site) -> None:
    token = _Chunks(s)
    answer = s.api.call("uploadtoken", "upload", {"uploadTokenId": token.id})
    s.record("U25", "no file part in the upload", err(answer))
    s.record("U26", "… state", _state(s.api.get_token(token.id)))
    token = _Chunks(s)
    answers = [err(s.api.up(token.id, b"")), _state(s.api.get_token(token.id))]
    s.record("U27", "empty file in one", answers)


def _names(s: Site) -> None:
    api, told = s.api, {}
    for name, posted in NAMES:
        token = api.add_token(**({"fileName": name} if name else {}))["id"]
        answer = api.up(token, s.video, posted)
        if "error" in answer:
            told[f"{name} / {posted}"] = [err(answer), err(api.get_token(token))]
            continue
        entry = s.empty("names")
        added = err(api.add_content(entry, token)).get("error", "ok")
        original = api.original(entry)
        told[f"{name} / {posted}"] = [answer["fileName"], added, original["fileExt"] if original else None]
    s.record("U28", "fileName / posted name -> token's name, addContent, the flavor's extension", told)


def _auto_finalize(s: Site) -> None:
    token = _Chunks(s, 2 * (len(s.video) // 4), autoFinalize=True)
    s.record("U29", "autoFinalize: add", err(token.added) if "error" in token.added else "ok")
    if token.id:
        token.step(token.begin())
        token.step(token.send(1, 2))
        token.step()
        s.record("U30", "autoFinalize in two chunks without finalChunk", token.short())


def _lists(s: Site) -> None:
    def page(size: int, **wanted: Any) -> Any:
        sent = {
            "filter": {"objectType": "KalturaUploadTokenFilter", **wanted},
            "pager": {"objectType": "KalturaFilterPager", "pageSize": size, "pageIndex": 1},
        }
        return s.api.call("uploadtoken", "list", sent)

    unused = page(500, statusIn="0,1,2")
    tokens = unused.get("objects") or []
    told = {
        "fields": list(unused),
        "statuses": sorted({token["status"] for token in tokens}),
        "object": list(tokens[0]) if tokens else err(unused),
    }
    s.record("U31", "uploadToken.list statusIn 0,1,2: fields, statuses", told)
    every = page(500).get("objects") or []
    s.record("U32", "uploadToken.list: statuses without filter", sorted({token["status"] for token in every}))
    two = page(2, statusIn="0,1,2")
    s.record("U33", "uploadToken.list page of 2", [len(two.get("objects") or []), "totalCount" in two])
    times = [int(token["createdAt"]) for token in tokens]
    order = "rising" if times == sorted(times) else "falling" if times == sorted(times, reverse=True) else "neither"
    s.record("U34", "order of uploadToken.list by createdAt", order)

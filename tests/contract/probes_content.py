"""C, D, L: content that is added, deleted, imported by URL."""

from __future__ import annotations

import http.server
import threading
from typing import Any

from asking import STATE, err, flavor_rows, pick, resource, served
from sites import Site
from timelines import never, timeline

NOWHERE = "0_nothere0"
KEEP_THUMBNAILS = {"objectType": "KalturaEntryReplacementOptions", "keepManualThumbnails": 1}


def content(s: Site) -> None:
    api = s.api
    entry = s.empty("addContent")
    answers = [err(api.add_content(entry, NOWHERE)), pick(api.get(entry), *STATE)]
    s.record("C01", "addContent: unknown token", answers)
    kinds: tuple[dict[str, str], ...] = (
        {"objectType": "KalturaUploadedFileTokenResource"},
        {"objectType": "KalturaNonsense"},
        {},
    )
    sent = [{"entryId": entry, "resource": kind} if kind else {"entryId": entry} for kind in kinds]
    answers = [err(api.call("media", "addContent", one)) for one in sent]
    s.record("C02", "addContent: resource without token; of another kind; none", answers)
    s.record("C03", "… state after that", pick(api.get(entry), *STATE))
    used = api.token(s.video)
    s.record("C04", "addContent: the answer's state", pick(api.add_content(entry, used), *STATE, "duration"))
    token = pick(api.get_token(used), "status", "uploadedFileSize", "attachedObjectType", "attachedObjectId")
    s.record("C05", "… the token afterwards", token)
    s.record("C06", "… time line", timeline(s, entry))
    s.record("C07", "addContent to an entry with content", err(api.add_content(entry, api.token(s.video))))
    s.record("C08", "… with an unknown token", err(api.add_content(entry, NOWHERE)))
    nobody = {"entryId": NOWHERE, "resource": resource(used)}
    answers = [err(api.call("media", action, nobody)) for action in ("addContent", "updateContent")]
    s.record("C09", "addContent, updateContent of an unknown entry", answers)
    entry = s.empty("updateContent on empty")
    answers = [pick(api.swap(entry, api.token(s.video)), *STATE), timeline(s, entry)]
    s.record("C10", "updateContent of an entry without content acts as addContent", answers)
    _unfinished_tokens(s, used)
    if "fail" in s.can:
        _failures(s)


def _unfinished_tokens(s: Site, used: str) -> None:
    api, entry = s.api, s.empty("used token")
    answers = [err(api.add_content(entry, used)), pick(api.get(entry), *STATE), flavor_rows(api, entry)]
    s.record("C11", "addContent with a used token", answers)
    entry = s.empty("pending token")
    pending = api.add_token(fileName="a.mp4", fileSize=len(s.video))["id"]
    answers = [err(api.add_content(entry, pending)), pick(api.get(entry), *STATE), flavor_rows(api, entry)]
    answers.append(pick(api.get_token(pending), "status", "attachedObjectType"))
    s.record("C12", "addContent with a token without bytes", answers)
    answers = [pick(api.up(pending, s.video), "status"), timeline(s, entry)]
    s.record("C13", "… then the upload", answers)
    entry = s.empty("empty file")
    empty = api.add_token(fileName="a.mp4")["id"]
    api.up(empty, b"")
    answers = [err(api.add_content(entry, empty)), timeline(s, entry, 6)]
    s.record("C14", "addContent of a file of 0 bytes", answers)


def _failures(s: Site) -> None:
    api, entry = s.api, s.empty("failing")
    s.fail(True)
    answers = [err(api.add_content(entry, api.token(s.video))), timeline(s, entry, 20)]
    s.fail(False)
    s.record("C15", "addContent whose conversion fails", answers)
    s.record("C16", "… a second addContent after the failure", err(api.add_content(entry, api.token(s.video))))


def imports(s: Site) -> None:
    """Import by URL, from a file host on loopback of our own."""
    api = s.api
    with _Host(s.other_video) as host:
        s.names[f":{host.port}"] = ""
        entry = s.make("url swap")
        sent = {
            "entryId": entry,
            "resource": host.resource("/some/lecture.mp4?sig=a//b%2Fc&x=1"),
            "advancedOptions": KEEP_THUMBNAILS,
        }
        s.record(
            "L01",
            "updateContent with a URL: the answer's state",
            pick(api.call("media", "updateContent", sent), *STATE),
        )
        s.record("L02", "… time line", timeline(s, entry, 30, temp=True))
        what = "… what was asked of the host (our worker plays the importer of the real server)"
        s.record("L03", what, sorted(set(host.asked)))
        original = api.original(entry)
        right = original["sizeInBytes"] == str(len(s.other_video))
        told = {"ext": original["fileExt"], "size right": right, "version": original["version"]}
        s.record("L04", "… the original", told)
        missing = {"entryId": entry, "resource": host.resource("/missing.mp4")}
        answer = pick(api.call("media", "updateContent", missing), *STATE)
        seen = timeline(s, entry, 12, never, temp=True)
        s.record("L05", "import that fails: time line of 12 s", [answer, seen])
        s.record("L06", "… cancelReplace", pick(api.cancel(entry), *STATE))
        addresses = ("", "ftp-nonsense", "file:///etc/passwd", "http://[bad")
        answers = {}
        for address in addresses:
            odd = {"entryId": entry, "resource": {"objectType": "KalturaUrlResource", "url": address}}
            answers[address] = err(api.call("media", "updateContent", odd))
        s.record("L07", "updateContent with URLs of other kinds", answers)
        states = [pick(api.get(entry), *STATE), pick(api.cancel(entry), *STATE)]
        s.record("L08", "… state after, then cancelReplace", states)
        entry = s.empty("url addContent")
        answer = api.call("media", "addContent", {"entryId": entry, "resource": host.resource("/x.mov")})
        seen = timeline(s, entry, 30)
        extension = (api.original(entry) or {}).get("fileExt")
        s.record("L09", "addContent with a URL: time line", [pick(answer, *STATE), seen, extension])


class _Host:
    """A file host that has one video under every name but those with ``missing``."""

    def __init__(self, video: bytes) -> None:
        self.asked: list[str] = []
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on stderr."""

            def do_GET(self) -> None:
                host.asked.append(f"{self.command} {self.path}")
                there = "missing" not in self.path
                self.send_response(200 if there else 404)
                self.send_header("Content-Length", str(len(video) if there else 0))
                self.send_header("Content-Type", "video/mp4")
                self.end_headers()
                if there and self.command == "GET":
                    self.wfile.write(video)

            do_HEAD = do_GET

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def resource(self, path: str) -> dict[str, str]:
        return {"objectType": "KalturaUrlResource", "url": f"http://127.0.0.1:{self.port}{path}"}

    def __enter__(self) -> _Host:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def deletions(s: Site) -> None:
    """Flavors that are deleted, and what can follow."""
    api, entry = s.api, s.make("delete flavors")
    flavors = api.flavors(entry)["objects"]
    original = next(flavor for flavor in flavors if flavor["isOriginal"] == "1")
    gone = {"id": original["id"]}
    old = api.url_of(original["id"])
    answers = [err(api.call("flavorasset", "delete", gone)), pick(api.get(entry), *STATE, "flavorParamsIds")]
    s.record("D01", "delete the original first", [*answers, flavor_rows(api, entry)])
    answers = [err(api.add_content(entry, api.token(s.video)))]
    s.record("D02", "… addContent, updateContent then", answers)
    answers = [err(api.call("flavorasset", action, gone)) for action in ("delete", "get", "getUrl")]
    s.record("D03", "… delete again, get, getUrl", answers)
    s.record("D04", "… its URL from before", served(old))
    listed = api.flavors(entry, statusIn="3").get("objects") or []
    s.record("D05", "… statusIn 3 lists it?", [flavor["flavorParamsId"] for flavor in listed])
    for flavor in flavors:
        if flavor is not original:
            api.call("flavorasset", "delete", {"id": flavor["id"]})
    states = [pick(api.get(entry), *STATE, "flavorParamsIds", "duration"), api.flavors(entry)]
    s.record("D06", "… after the last one: the entry", states)
    answer = api.call("flavorasset", "getFlavorAssetsWithParams", {"entryId": entry})
    s.record("D07", "… getFlavorAssetsWithParams", err(answer))
    answer = pick(api.add_content(entry, api.token(s.other_video)), *STATE)
    seen = timeline(s, entry, 30)
    s.record("D08", "… addContent: a new original id? time line", [answer, seen, _identity(s, entry, original["id"])])
    entry = s.make("original only gone, swap")
    original = api.original(entry)
    api.call("flavorasset", "delete", {"id": original["id"]})
    answer = pick(api.swap(entry, api.token(s.other_video)), *STATE)
    seen = timeline(s, entry, 30, temp=True)
    s.record("D09", "swap of an entry whose original is gone", [answer, seen, _identity(s, entry, original["id"])])
    _while_converting(s)


def _identity(s: Site, entry: str, before: str) -> dict[str, Any]:
    original = s.api.original(entry) or {}
    return {"same id": original.get("id") == before, "version": original.get("version")}


def _while_converting(s: Site) -> None:
    api, entry = s.api, s.empty("delete while converting")
    api.add_content(entry, api.token(s.video))
    original = api.original(entry)
    answers = [err(api.call("flavorasset", "delete", {"id": original["id"]})), pick(api.get(entry), *STATE)]
    s.record("D10", "delete the original while it is converted", answers)
    s.sleep(6)
    s.record("D11", "… six seconds later", [pick(api.get(entry), *STATE), flavor_rows(api, entry)])
    entry = s.empty("getUrl while converting")
    api.add_content(entry, api.token(s.video))
    s.record("D12", "getUrl right after addContent", err(api.url_of(api.original(entry)["id"])))
    entry = s.make("setContent")
    sent = {"id": api.original(entry)["id"], "contentResource": resource(api.token(s.other_video))}
    answer = api.call("flavorasset", "setContent", sent)
    told = err(answer)
    if "error" not in answer:
        right = answer["sizeInBytes"] == str(len(s.other_video))
        told = {"status": answer["status"], "version": answer["version"], "sizeInBytes right": right}
    s.record("D13", "flavorAsset.setContent of the original", [told, pick(api.get(entry), *STATE)])

"""A Kaltura of fixed answers, for where the sandbox would be the limit: `fixed_kaltura.py ENTRIES [STATE]`.

It has that many entries (archived, if not told otherwise), one created each second, with three flavors each and no
further streams, in the very XML and JSON of the sandbox, of which a response profile leaves the fields that it names.
It knows the calls of `list`, `count`, `health`, `plan` and `run --check`, and of a search only the cursor. Prints its
address; ends with stdin. A GET tells how many requests there were.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from kaltura_archiver.sandbox.world import Sandbox

BEGAN = 1_400_000_000
ORIGINAL_BYTES = 4096


def entry_id(number: int) -> str:
    """Ids that are spread as Kaltura's are, and tell their number."""
    return f"0_{number * 2654435761 % 2**32:08x}"


def number_of(name: str) -> int:
    return int(name[2:], 16) * pow(2654435761, -1, 2**32) % 2**32


def _templates(state: str) -> tuple[str, dict[str, Any], str, str]:
    """An entry and its flavors in XML and JSON, as the sandbox answers them: %-formats of id and created (`at`)."""

    def post(url: str, **fields: Any) -> str:
        body = json.dumps({"format": 2, **fields}).encode()
        request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own server
        with urlopen(request) as answer:  # noqa: S310
            return str(answer.read().decode())

    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder), real_videos=False) as sandbox:
        made = sandbox.add(state, name="Lecture 12: an introduction", creator_id="lecturer", plays=3)
        kaltura = sandbox.kaltura
        service = f"{kaltura.url}/api_v3/service/"
        session = {"secret": kaltura.secret, "userId": "u", "type": 2, "partnerId": kaltura.partner_id}
        ks = re.findall("<result>(.*)</result>", post(service + "session/action/start", **session))[0]
        entry = post(service + "media/action/get", ks=ks, entryId=made)
        in_json = post(service + "media/action/get", ks=ks, entryId=made, format=1)
        flavors = post(service + "flavorasset/action/list", ks=ks, filter={"entryIdIn": made})
        listed = post(service + "flavorasset/action/list", ks=ks, filter={"entryIdIn": made}, format=1)
    (result,) = re.findall("<result>(.*)</result>", entry)
    result = re.sub("<createdAt>.*?<", "<createdAt>%(at)d<", result.replace("%", "%%").replace(made, "%(id)s"))
    (items,) = re.findall("<objects>(.*)</objects>", flavors)
    items = items.replace(made, "%(id)s")
    for number, flavor in enumerate(re.findall("<item>.*?<id>(.*?)</id>", items)):
        items = items.replace(flavor, f"%(id)s{number}")
    items = re.sub("<sizeInBytes>.*?<", f"<sizeInBytes>{ORIGINAL_BYTES}<", items)
    plain = json.loads(in_json.replace("%", "%%").replace(made, "%(id)s")) | {"createdAt": "%(at)d"}
    found = json.loads(listed.replace("%", "%%").replace(made, "%(id)s"))["objects"]
    flavors_json = json.dumps(
        [flavor | {"id": f"%(id)s{number}", "sizeInBytes": ORIGINAL_BYTES} for number, flavor in enumerate(found)]
    )[1:-1]
    item = f"<item><objectType>KalturaESearchEntryResult</objectType><object>{result}</object></item>"
    return item, plain, items, flavors_json


def _xml(result: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?><xml><result>{result}</result></xml>'.encode()


def make_handler(entries: int, state: str) -> type[BaseHTTPRequestHandler]:
    entry, plain, flavors, flavors_json = _templates(state)
    requests = count()

    def none(kind: str) -> str:
        return f"<objectType>Kaltura{kind}</objectType><objects></objects><totalCount>0</totalCount>"

    @cache
    def in_json(fields: str) -> str:
        wanted = {"objectType", *fields.split(",")} if fields else plain.keys()
        shown = json.dumps({name: value for name, value in plain.items() if name in wanted})
        return f'{{"object":{shown},"objectType":"KalturaESearchEntryResult"}}'.replace('"%(at)d"', "%(at)d")

    def search(asked: Any) -> str:
        items = asked["searchParams"]["searchOperator"]["searchItems"]
        bounds = [i["range"] for i in items if i.get("fieldName") == "created_at"]
        since = [int(bound["greaterThanOrEqual"]) for bound in bounds if "greaterThanOrEqual" in bound]
        first = since[0] - BEGAN + 1 if since else 0
        there = 0 if any(i.get("fieldName") == "parent_id" for i in items) else entries
        numbers = range(first, min(first + int(asked["pager"]["pageSize"]), there))
        if str(asked.get("format")) == "1":
            one = in_json(asked.get("responseProfile", {}).get("fields", ""))
            found = ",".join([one % {"id": entry_id(n), "at": BEGAN + n} for n in numbers])
            head = f'"totalCount":{there - first},"objectType":"KalturaESearchEntryResponse"'
            return f'{{"objects":[{found}],{head}}}'
        found = "".join([entry % {"id": entry_id(n), "at": BEGAN + n} for n in numbers])
        return (
            f"<objectType>KalturaESearchEntryResponse</objectType><totalCount>{there - first}</totalCount>"
            f"<objects>{found}</objects>"
        )

    def listed(asked: Any) -> str:
        ids = asked["filter"]["entryIdIn"].split(",")
        if str(asked.get("format")) == "1":
            found = ",".join([flavors_json % {"id": name} for name in ids])
            head = f'"totalCount":{3 * len(ids)},"objectType":"KalturaFlavorAssetListResponse"'
            return f'{{"objects":[{found}],{head}}}'
        found = "".join([flavors % {"id": name} for name in ids])
        return (
            f"<objectType>KalturaFlavorAssetListResponse</objectType><objects>{found}</objects>"
            f"<totalCount>{3 * len(ids)}</totalCount>"
        )

    def result(path: str, asked: Any) -> str:
        if "multirequest" in path:
            calls = [call for name, call in asked.items() if name.isdigit()]
            return "".join(f"<item>{result(call['action'].lower(), call)}</item>" for call in calls)
        if "searchentry" in path:
            return search(asked)
        if "flavorasset" in path:
            return listed(asked)
        if "flavorparams" in path:
            return none("FlavorParamsListResponse")
        return none("BaseEntryListResponse") if path == "list" else "a-session-that-nobody-checks"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._send(str(next(requests)).encode())

        def do_POST(self) -> None:
            next(requests)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = result(self.path.lower(), json.loads(body))
            self._send(told.encode() if told.startswith("{") else _xml(told))

        def _send(self, answer: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if answer.startswith(b"{") else "text/xml")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(int(sys.argv[1]), *sys.argv[2:] or ["archived"]))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

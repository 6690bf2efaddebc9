"""One account of a Kaltura server asked over plain HTTP: what is posted is what the Python client posts.

The answers are plain data: an object is a mapping of texts, a list a list, an error ``{"error": {…}}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import requests
from lxml import etree
from masking import Json, Names

TIMEOUT_SECONDS = 180
# What reads or signs in, by service and action in lower case; everything else is taken to write.
READS = re.compile(r"(?:get|list|search|ping|count|serve|startwidgetsession|start$|startsession$|end$|nosuch)")
STATE = ("status", "replacementStatus", "replacingEntryId", "replacedEntryId")


class WouldWrite(Exception):
    """A call that may change something, in a run that only reads."""


class Api:
    """One account of one server. `read_only` refuses to send what might write."""

    def __init__(
        self, url: str, partner: int | str, secret: str, names: Names, *, ks: str = "", read_only: bool = False
    ) -> None:
        self.url, self.partner, self.secret, self.ks = url.rstrip("/"), str(partner), secret, ks
        self.names, self.read_only = names, read_only
        self.http = requests.Session()
        # Nobody's password out of ~/.netrc.
        self.http.auth = lambda request: request
        names[self.partner] = "<partner>"
        if secret:
            names[secret] = "<secret>"

    def again(self, ks: str = "") -> Api:
        """The same account asked by another, without a session or with this one."""
        return Api(self.url, self.partner, self.secret, self.names, ks=ks, read_only=self.read_only)

    def raw(
        self,
        service: str,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        ks: str | None = None,
        fmt: str | None = "2",
        file: tuple[str, bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        path: str = "",
        body: str | None = None,
    ) -> requests.Response:
        sent: dict[str, Any] = {"clientTag": "python", "apiVersion": "23.10.0"}
        if fmt is not None:
            sent["format"] = fmt
        if session := self.ks if ks is None else ks:
            sent["ks"] = session
        sent |= texts(params or {})
        self._check(service, action, sent)
        url = self.url + (path or f"/api_v3/service/{service}" + (f"/action/{action}" if action else ""))
        told = {"Accept": "text/xml", "Accept-Encoding": "identity", **(headers or {})}
        if file is not None:
            parts: Any = {"json": (None, json.dumps(sent)), "fileData": (*file, "application/octet-stream")}
            return self.http.post(url, files=parts, headers=told, timeout=TIMEOUT_SECONDS)
        told.setdefault("Content-Type", "application/json")
        data = json.dumps(sent) if body is None else body
        return self.http.post(url, data=data, headers=told, timeout=TIMEOUT_SECONDS)

    def _check(self, service: str, action: str, sent: Mapping[str, Any]) -> None:
        calls = [(service, action)]
        if service == "multirequest":
            calls = [(str(c.get("service")), str(c.get("action"))) for c in sent.values() if isinstance(c, dict)]
        if self.read_only and any(a and not READS.match(a.lower()) for _, a in calls):
            raise WouldWrite(f"{service}.{action}")

    def call(self, service: str, action: str, params: Mapping[str, Any] | None = None, **more: Any) -> Json:
        return parse(self.raw(service, action, params, **more))

    def multi(self, calls: list[tuple[str, str, Mapping[str, Any]]], **common: Any) -> Json:
        numbered = {
            str(number): {"service": service, "action": action, "ks": self.ks, **texts(params)}
            for number, (service, action, params) in enumerate(calls)
        }
        return self.call("multirequest", "", {**numbered, **common})

    # Sessions

    def start(
        self,
        kind: int = 2,
        user: str = "archiver",
        expiry: int = 86400,
        secret: str | None = None,
        partner: str | None = None,
        privileges: str = "disableentitlement",
    ) -> Json:
        params = {
            "secret": secret or self.secret,
            "userId": user,
            "type": kind,
            "partnerId": partner or self.partner,
            "expiry": expiry,
            "privileges": privileges,
        }
        return self.call("session", "start", params, ks="")

    def login(self, user: str = "archiver") -> Api:
        """Sign in with the admin secret; RuntimeError if that fails."""
        answer = self.start(user=user)
        if not isinstance(answer, str) or len(answer) <= 20:
            raise RuntimeError(f"no session: {err(answer)}")
        self.ks = self.names.name(answer, "ks")
        return self

    # What is asked often

    def get(self, entry: str) -> Json:
        return self.call("media", "get", {"entryId": entry})

    def update(self, entry: str, ks: str | None = None, **fields: Any) -> Json:
        changed = {"objectType": "KalturaMediaEntry", **fields}
        return self.call("media", "update", {"entryId": entry, "mediaEntry": changed}, ks=ks)

    def flavors(self, entry: str, **more: Any) -> Json:
        wanted = {"objectType": "KalturaFlavorAssetFilter", "entryIdEqual": entry, "orderBy": "+createdAt", **more}
        pager = {"objectType": "KalturaFilterPager", "pageSize": 500}
        return self.call("flavorasset", "list", {"filter": wanted, "pager": pager})

    def original(self, entry: str) -> Any:
        """The original flavor asset of an entry, or None."""
        found = self.flavors(entry).get("objects") or []
        return next((flavor for flavor in found if flavor["isOriginal"] == "1"), None)

    def url_of(self, flavor_id: str, **more: Any) -> Json:
        return self.call("flavorasset", "getUrl", {"id": flavor_id, **more})

    # Content

    def add_token(self, **fields: Any) -> Json:
        return self.call("uploadtoken", "add", {"uploadToken": {"objectType": "KalturaUploadToken", **fields}})

    def get_token(self, token: str, ks: str | None = None) -> Json:
        return self.call("uploadtoken", "get", {"uploadTokenId": token}, ks=ks)

    def up(self, token: str, data: bytes, file_name: str = "lecture.mp4", **more: Any) -> Json:
        return self.call("uploadtoken", "upload", {"uploadTokenId": token, **more}, file=(file_name, data))

    def token(self, data: bytes, file_name: str = "lecture.mp4") -> str:
        """A token that has these bytes."""
        token = str(self.add_token(fileName=file_name, fileSize=len(data))["id"])
        answer = self.up(token, data, file_name)
        if answer.get("status") != "2":
            raise RuntimeError(f"an upload failed: {err(answer)}")
        return token

    def add_content(self, entry: str, token: str) -> Json:
        return self.call("media", "addContent", {"entryId": entry, "resource": resource(token)})

    def swap(self, entry: str, token: str, **more: Any) -> Json:
        return self.call("media", "updateContent", {"entryId": entry, "resource": resource(token), **more})

    def cancel(self, entry: str) -> Json:
        return self.call("media", "cancelReplace", {"entryId": entry})


def resource(token: str) -> dict[str, str]:
    return {"objectType": "KalturaUploadedFileTokenResource", "token": token}


def texts(value: Any) -> Any:
    """Parameters as the Python client posts them: every scalar is a text."""
    if isinstance(value, Mapping):
        return {key: texts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [texts(item) for item in value] or {"-": ""}
    return str(value)


def parse(response: requests.Response) -> Json:
    try:
        root = etree.fromstring(response.content)
    except etree.ParseError:
        told = response.headers.get("X-Kaltura-App")
        return {"http": response.status_code, "not xml": response.text[:200], "app": told}
    result = root.find("result")
    return _tree(result) if result is not None else {"no result": response.text[:200]}


def _tree(element: Any) -> Json:
    if len(element) == 0:
        return element.text or ""
    if all(child.tag == "item" for child in element):
        return [_tree(child) for child in element]
    return {child.tag: _tree(child) for child in element}


def parse_json(response: requests.Response) -> Json:
    try:
        return json.loads(response.text)
    except ValueError:
        return {"not JSON": response.text[:60]}


def err(answer: Json) -> Any:
    """An error as code, message and arguments; anything else as a short word."""
    if isinstance(answer, dict) and "error" in answer:
        error = answer["error"]
        args = error.get("args")
        if isinstance(args, list):
            args = {arg["name"]: arg["value"] for arg in args}
        return {"error": error.get("code"), "message": error.get("message"), "args": args}
    if isinstance(answer, dict):
        return {"ok": answer.get("objectType", sorted(answer)[:4])}
    if isinstance(answer, list):
        return [err(item) for item in answer]
    return {"ok": answer if len(answer) < 60 else f"<{len(answer)} characters>"}


def pick(answer: Json, *fields: str) -> Any:
    """Some fields of an object, or the error."""
    if not isinstance(answer, dict) or "error" in answer:
        return err(answer)
    return {field: answer.get(field, "<absent>") for field in fields}


def flavor_rows(api: Api, entry: str) -> Any:
    """The flavors of an entry in short: original or derived, flavor parameters, version, status."""
    answer = api.flavors(entry)
    return err(answer) if "error" in answer else sorted(map(_row, answer.get("objects") or []))


def _row(flavor: Mapping[str, str]) -> str:
    kind = "orig" if flavor["isOriginal"] == "1" else "der"
    return f"{kind} p{flavor['flavorParamsId']} v{flavor['version']} st{flavor['status']}"


def served(address: Json, method: str = "GET", **headers: str) -> dict[str, Any]:
    """What a file host answers for an address, in short."""
    if not isinstance(address, str) or not address.startswith("http"):
        return {"no url": err(address)}
    told = {"Accept-Encoding": "identity", **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        answer = requests.request(method, address, headers=told, timeout=60, allow_redirects=False)
    except requests.RequestException as error:
        return {"failed": type(error).__name__}
    kept = ("Content-Type", "Content-Range", "Accept-Ranges", "X-Kaltura-App", "X-Kaltura", "Location")
    kept += ("Content-Disposition", "Cache-Control", "ETag", "Last-Modified")
    return {
        "status": answer.status_code,
        "bytes": len(answer.content),
        "length": answer.headers.get("Content-Length"),
        **{name: answer.headers[name] for name in kept if name in answer.headers},
    }


def content_of(address: str) -> bytes:
    return requests.get(address, headers={"Accept-Encoding": "identity"}, timeout=60).content


# Searches


def item(field: str, kind: int, term: str | None = None, **more: Any) -> dict[str, Any]:
    made = {"objectType": "KalturaESearchEntryItem", "fieldName": field, "itemType": kind, **more}
    return made if term is None else {**made, "searchTerm": term}


def bounds(field: str, **limits: Any) -> dict[str, Any]:
    return item(field, 5, range={"objectType": "KalturaESearchRange", **limits})


def category(field: str, kind: int, term: str | None = None) -> dict[str, Any]:
    made = {"objectType": "KalturaESearchCategoryEntryItem", "fieldName": field, "itemType": kind}
    return made if term is None else {**made, "searchTerm": term}


def group(operator: int, *items: Any) -> dict[str, Any]:
    return {"objectType": "KalturaESearchEntryOperator", "operator": operator, "searchItems": list(items)}


def wanted(*items: Any, statuses: str = "-1,-2,0,1,2,7,4", order: str = "created_at", **more: Any) -> dict[str, Any]:
    """The parameters of a search: all of these items, by default in order of creation."""
    made = {
        "objectType": "KalturaESearchEntryParams",
        "objectStatuses": statuses,
        "searchOperator": group(1, *items),
        **more,
    }
    if order:
        made["orderBy"] = ordered(order)
    return made


def ordered(field: str, direction: str = "asc") -> dict[str, Any]:
    by = {"objectType": "KalturaESearchEntryOrderByItem", "sortField": field, "sortOrder": direction}
    return {"objectType": "KalturaESearchOrderBy", "orderItems": [by]}


def search(api: Api, params: Mapping[str, Any], size: Any = 500, page: Any = 1, **more: Any) -> Json:
    """A search; without a pager where `size` is None."""
    asked: dict[str, Any] = {"searchParams": params, **more}
    if size is not None:
        asked["pager"] = {"objectType": "KalturaPager", "pageSize": size, "pageIndex": page}
    return api.call("elasticsearch_esearch", "searchEntry", asked)

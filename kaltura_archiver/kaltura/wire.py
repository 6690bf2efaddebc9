"""KalturaApiClient over one kept-alive connection, with our time-outs, bounded answers and a strict parser."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from KalturaClient.Client import KalturaClient
from KalturaClient.exceptions import KalturaClientException, KalturaException
from lxml import etree
from requests.utils import select_proxy
from urllib3.filepost import encode_multipart_formdata

from kaltura_archiver.transfer.chunks import Chunk
from kaltura_archiver.transfer.curl import Answer, Carrier, Carriers
from kaltura_archiver.transfer.streams import Piece

READ_SECONDS = 120.0
# A page of 500 entries has a few MiB. Parsed, an answer can take thirty times its size.
MAX_ANSWER_BYTES = 16 * 2**20
# One that needs no quoting.
_PLAIN_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9._~/+=,;:!*$()&?-]*")
_NOT_XML = bytes(c for c in range(32) if c not in b"\t\n\r")


# Control characters but tab and line ends, halves of characters, and what is none, as JSON writes them.
_ODD_ESCAPE = re.compile(
    r"\\u(?:00(?:0[0-8bcef]|1.)|fff[ef]|d[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..\\u)d[c-f]..)", re.IGNORECASE
)
JSON_FORMAT, XML_FORMAT = 1, 2


class NotJson(Exception):
    """What came is to be asked for as XML."""


def proper_address(url: str) -> str:
    """The address as requests would ask for it: quoted, its host in letters that DNS knows, and no password in it.

    Raises requests' InvalidURL (an OSError).
    """
    if _PLAIN_ADDRESS.fullmatch(url):
        return url
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    address = urlsplit(str(request.url))
    if address.scheme not in ("http", "https") or not address.hostname:
        raise requests.exceptions.InvalidURL(f"{address.scheme}: is no web address")
    return address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()


def carrier_to(url: str) -> Carrier:
    """Which proxy and certificates, the environment says as it does to requests."""
    told = requests.Session().merge_environment_settings(url, {}, None, None, None)
    trust = told["verify"] if isinstance(told["verify"], str) else certifi.where()
    return Carrier(trust=trust, proxy=select_proxy(url, told["proxies"]) or "", seconds=READ_SECONDS)


@dataclass(frozen=True)
class NamedChunk:
    """A chunk with a file name: the extension of a new flavor comes from the posted name (kaltura-api 10.1)."""

    name: str
    chunk: Chunk


class _Form:
    """The body of a call with a file."""

    def __init__(self, json: str, file: NamedChunk) -> None:
        empty, self.content_type = encode_multipart_formdata(
            {"json": json, "fileData": (file.name, b"", "application/octet-stream")}
        )
        end = empty.rindex(b"\r\n--")
        self._start, self._end, self._chunk = empty[:end], empty[end:], file.chunk

    def __len__(self) -> int:
        return len(self._start) + len(self._chunk) + len(self._end)

    def __iter__(self) -> Iterator[Piece]:
        yield self._start
        yield from self._chunk
        yield self._end


def _unpacked(answer: Answer) -> bytes:
    """The content, and no more than a byte more of it than is allowed."""
    packing = answer.headers.get("content-encoding", "identity").lower()
    if packing == "identity":
        return bytes(answer.body)
    if packing != "gzip":
        raise KalturaClientException("the answer is packed in a way that was not asked for", -5)
    gzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        found = gzip.decompress(answer.body, MAX_ANSWER_BYTES + 1)
    except zlib.error as error:
        raise KalturaClientException(f"the answer cannot be unpacked: {error}", -5) from error
    if not gzip.eof and len(found) <= MAX_ANSWER_BYTES:
        raise KalturaClientException("the answer cannot be unpacked: it is cut", -5)
    return found


class WireClient(KalturaClient):  # type: ignore[misc]
    """KalturaApiClient over one kept-alive connection, with our timeouts, a bounded answer and a strict parser.

    The original opens a connection per call, gives uploads 10 s, and accepts XML that was cut (kaltura-api 1.4).
    """

    def __init__(self, configuration: Any, carriers: Carriers | None = None) -> None:
        """`carriers` are those that clients share."""
        self._carriers = carriers or Carriers(carrier_to)
        super().__init__(configuration)
        self.parser = etree.XMLParser(encoding="UTF-8", resolve_entities=False, no_network=True, huge_tree=False)

    def loadPlugins(self) -> None:
        # Only what is used: all of them are some 200 modules. Searches are asked and read by us.
        self.loadPlugin("Core")

    def doHttpRequest(self, url: str, params: Any = None, files: Any = None) -> bytes:
        told: str = params.toJson()
        if files:
            form = _Form(told, files["fileData"])
            return self._post(url, form.content_type, form, len(form))
        body = told.encode()
        return self._post(url, "application/json", [body], len(body))

    def _post(self, url: str, content_type: str, body: Iterable[Piece], size_bytes: int) -> bytes:
        url = proper_address(url)
        headers = {"Accept": "text/xml", "Accept-Encoding": "gzip", "Content-Type": content_type}
        try:
            carrier = self._carriers.to(url)
            answer = carrier.send("POST", url, headers, body, size_bytes, most_bytes=MAX_ANSWER_BYTES)
        except TimeoutError as error:
            raise requests.Timeout(error) from error
        except OSError as error:
            raise requests.ConnectionError(error) from error
        self.responseHeaders = requests.structures.CaseInsensitiveDict(answer.headers)
        if answer.status != 200:
            raise KalturaClientException(f"HTTP status {answer.status}", -5)
        if answer.cut or len(unpacked := _unpacked(answer)) > MAX_ANSWER_BYTES:
            raise KalturaClientException("the answer is unreasonably large; try a smaller --page-size", -5)
        return unpacked

    def doQueueAsJson(self) -> Any:
        """The answer to the call that is queued, in JSON: plain data, or the error that it holds as a KalturaException.

        Raises NotJson for what is none, or has a text that XML could not carry.
        """
        self.config.format = JSON_FORMAT
        try:
            url, params, _ = self.getRequestParams()
        finally:
            self.config.format = XML_FORMAT
            self.callsQueue: list[Any] = []
        try:
            text = self.doHttpRequest(url, params).decode()
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NotJson(f"Failed to parse JSON: {error}") from error
        if _ODD_ESCAPE.search(text):
            raise NotJson("a character that XML cannot carry")
        if isinstance(answer, dict) and answer.get("objectType") == "KalturaAPIException":
            raise KalturaException(str(answer.get("message")), str(answer.get("code")))
        return answer

    def parsePostResult(self, postResult: bytes) -> Any:
        """The result's element, or the error it holds as a KalturaException.

        The original writes every answer into a log line first, whether or not there is a log: for a page of entries
        that takes as long as parsing it.
        """
        try:
            result = self._parse(postResult).find("result")
        except etree.ParseError as error:
            code = KalturaClientException.ERROR_INVALID_XML
            raise KalturaClientException(f"Failed to parse XML: {error}", code) from error
        if result is None:
            code = KalturaClientException.ERROR_RESULT_NOT_FOUND
            raise KalturaClientException("Could not find result node in response xml", code)
        self.throwExceptionIfError(result)
        return result

    def _parse(self, answer: bytes) -> Any:
        try:
            return etree.fromstring(answer, self.parser)
        except etree.ParseError:
            # A character that XML cannot carry, in a name from long ago, must not hide a whole page of entries.
            clean = answer.translate(None, _NOT_XML)
            if clean == answer:
                raise
            return etree.fromstring(clean, self.parser)

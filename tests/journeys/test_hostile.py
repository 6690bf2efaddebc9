"""Answers of a malicious or misconfigured service, and texts that are meant to do harm: refused, or made harmless."""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import pytest
from conftest import Run
from looking import big, do_not_wait, tags_of

from kaltura_archiver.apply import Runner
from kaltura_archiver.config import read_settings
from kaltura_archiver.redact import hide, redact
from kaltura_archiver.sandbox.world import Sandbox
from kaltura_archiver.store import Store

MiB = 2**20
KS = "djJ8MTAxfHNlY3JldCBieXRlcyBvZiBhIHNlc3Npb24ga2V5IHdpdGggL3MgYW5kICs="
PRESIGNED = (
    "https://bucket.example/0_abc?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20260101"
    "&X-Amz-Security-Token=FwoGZXIvYXdzEXAMPLE&X-Amz-Signature=0123456789abcdef0123456789abcdef"
)
TOKENISED = (
    "https://cdn.example/p/101/serveFlavor/flavorId/0_x/ks/djJ8MTAxfEFBQUFBQUFBQUFBQUFBQUE=/name/a.mp4"
    "?__gda__=1700000000_abcdef0123456789&hdnea=st=1~exp=2~hmac=feedfacefeedface"
)
OF_URLS = (
    "AKIAEXAMPLE",
    "FwoGZXIvYXdzEXAMPLE",
    "0123456789abcdef",
    "djJ8MTAxfEFB",
    "1700000000_abcdef",
    "feedfacefeedface",
)
# Controls that XML can carry. U+009B is ESC [ in one character, U+202E turns the reading direction.
NASTY = "Tab\tline\nCSI \x9b31mred\x9b2J bidi \u202etxt.exe\u2066 \u2028 back\\slash <b>&amp; \"two\" 'one' %0a $(id)"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    do_not_wait(monkeypatch)


# A server that answers as it is told


@dataclass
class Seen:
    """A request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Evil:
    """A server on loopback. `answer` writes the whole answer of each request to its handler."""

    answer: Callable[[BaseHTTPRequestHandler, Seen], None]
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Evil:
        evil = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen = Seen(self.path, dict(self.headers), self.rfile.read(int(self.headers.get("Content-Length", 0))))
                evil.seen.append(seen)
                try:
                    evil.answer(self, seen)
                except OSError:
                    return  # hung up on, which is what is hoped for

            do_POST = do_HEAD = do_PUT = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def xml(result: str, doctype: str = "") -> bytes:
    text = f'<?xml version="1.0" encoding="utf-8"?>{doctype}<xml><result>{result}</result></xml>'
    return text.encode()


def error(code: str, message: str) -> bytes:
    return xml(
        f"<error><code>{escape(code)}</code><message>{escape(message)}</message>"
        "<objectType>KalturaAPIException</objectType><args></args></error>"
    )


def kaltura_that(answer: Callable[[BaseHTTPRequestHandler, Seen], None]) -> Evil:
    """A Kaltura that gives a session, and anything else as it likes."""

    def choose(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if seen.path.endswith("/service/session/action/start"):
            send(handler, xml(KS))
        else:
            answer(handler, seen)

    return Evil(choose)


def kaltura_saying(body: bytes, **headers: str) -> Evil:
    return kaltura_that(lambda handler, _: send(handler, body, **headers))


@pytest.fixture
def use(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[Evil], Run]:
    """Make the tool talk to another Kaltura."""

    def turn(evil: Evil) -> Run:
        monkeypatch.setenv("KALTURA_SERVICE_URL", evil.url)
        monkeypatch.setenv("KALTURA_SECRET", "the admin secret")
        monkeypatch.delenv("KALTURA_APP_TOKEN_ID", raising=False)
        monkeypatch.delenv("KALTURA_APP_TOKEN", raising=False)
        return run

    return turn


Use = Callable[[Evil], Run]


def one_complaint(text: str) -> str:
    """The line that says what was wrong, in either form."""
    (line,) = [line for line in text.splitlines() if line.startswith("error: ") or '"level": "ERROR"' in line]
    return line


# XML that explodes or reaches out

LAUGHS = "<!DOCTYPE x [<!ENTITY a0 'ha ha ha ha '>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)
)
PASSWD = "<!DOCTYPE x [<!ENTITY p SYSTEM 'file:///etc/passwd'>"
BOMBS = {
    "in the result": xml("&a9;", LAUGHS + "]>"),
    "in a count": xml("<totalCount>&a9;</totalCount><objects></objects>", LAUGHS + "]>"),
    "in an attribute": xml('<totalCount x="&a9;">1</totalCount>', LAUGHS + "]>"),
    "in an error": xml("<error><code>&a9;</code><message>&a9;</message></error>", LAUGHS + "]>"),
    "a file in the result": xml("<totalCount>&p;</totalCount>", PASSWD + "]>"),
    "a file in an error": xml("<error><code>X</code><message>&p;</message></error>", PASSWD + "]>"),
    "a file by a parameter entity": xml(
        "<totalCount>&p;</totalCount>", "<!DOCTYPE x [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]>"
    ),
    "deep": xml("<a>" * 100_000 + "</a>" * 100_000),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_xml_that_explodes_or_reaches_for_files_is_refused(use: Use, bomb: str) -> None:
    """Refused, and no file's contents shown; the memory is bounded by the test of a process below."""
    with kaltura_saying(BOMBS[bomb]) as evil:
        ran = use(evil)("--log-level", "DEBUG", "count")
    assert ran.code == 1
    assert ran.out == ""
    assert len(one_complaint(ran.err)) < 500
    told = ran.out + ran.err
    assert "root:" not in told
    assert told.count("ha ha") < 100


def test_an_external_dtd_is_not_fetched(use: Use) -> None:
    with Evil(lambda handler, _: send(handler, b"<!ENTITY p 'fetched'>")) as other:
        body = xml("<totalCount>&p;</totalCount>", f"<!DOCTYPE x SYSTEM '{other.url}/x.dtd'>")
        with kaltura_saying(body) as evil:
            assert use(evil)("count").code == 1
        assert other.seen == []


def test_an_exploding_answer_of_s3_is_refused(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_id = sandbox.add("initial")

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if "tagging" in seen.path:
            send(handler, (LAUGHS + "]><Tagging><TagSet><Tag><Key>&a9;</Key></Tag></TagSet></Tagging>").encode())
        elif seen.path.count("/") > 1 and seen.path.rstrip("/") != "/sandbox-archive":
            handler.send_response(200)
            handler.send_header("Content-Length", "5")
            handler.send_header("ETag", '"0"')
            handler.end_headers()
        else:
            send(handler, b"")

    with Evil(answer) as evil:
        monkeypatch.setenv("AWS_ENDPOINT_URL", evil.url)
        ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert "ha ha" not in ran.out + ran.err


# Answers without end


@dataclass
class Ended:
    """A process that ended: what it said, and its largest memory."""

    code: int
    out: str
    err: str
    peak_mebibytes: int


# What it has in memory at most; the kernel's figure for a child counts what its parent had when it began.
IN_A_PROCESS = """
import pathlib, sys
import kaltura_archiver.kaltura
from kaltura_archiver.cli import main

kaltura_archiver.kaltura.session.MAX_TRIES = 1
try:
    main()
finally:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    sys.stderr.write(next(line for line in lines if line.startswith("VmHWM")) + "\\n")
"""


def in_a_process(*arguments: str) -> Ended:
    """Run the tool in a process of its own, each call tried only once, and measure it."""
    ran = subprocess.run([sys.executable, "-c", IN_A_PROCESS, *arguments], capture_output=True, text=True)
    peak = re.search(r"VmHWM:\s+(\d+) kB", ran.stderr)
    assert peak, ran.stderr
    return Ended(ran.returncode, ran.stdout, ran.stderr, int(peak.group(1)) // 1024)


def endless(handler: BaseHTTPRequestHandler, _: Seen) -> None:
    """Up to 1 GB of a well-formed beginning; an OSError when it is hung up on."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/xml")
    handler.end_headers()
    handler.wfile.write(b"<xml><result>")
    for _unused in range(1024):
        handler.wfile.write(b"<a>x</a>" * (MiB // 8))


def packed_zeros(handler: BaseHTTPRequestHandler, _: Seen) -> None:
    """4 GiB in some 4 MB of gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(MiB)) + packer.flush(zlib.Z_FULL_FLUSH)
    send(handler, start + block * 4096, Content_Encoding="gzip")


def twice_packed(handler: BaseHTTPRequestHandler, _: Seen) -> None:
    send(handler, gzip.compress(gzip.compress(bytes(64 * MiB))), Content_Encoding="gzip, gzip")


def laughing(handler: BaseHTTPRequestHandler, _: Seen) -> None:
    send(handler, BOMBS["in an attribute"])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured as Linux does")
@pytest.mark.parametrize("answer", [endless, packed_zeros, twice_packed, laughing])
def test_an_answer_without_end_is_refused_within_bounds(use: Use, answer: Callable[..., None]) -> None:
    with kaltura_that(answer) as evil:
        use(evil)
        ended = in_a_process("count")
    assert ended.code == 1, ended.err
    assert "Traceback" not in ended.err
    one_complaint(ended.err)
    # The program itself takes some 90 MiB.
    assert ended.peak_mebibytes < 220


@pytest.mark.parametrize(("encoding", "accepted"), [("gzip", True), ("gzip, gzip", False), ("br", False)])
def test_only_the_packing_that_was_asked_for_is_unpacked(use: Use, encoding: str, accepted: bool) -> None:
    """kaltura-api 1.1: the client accepts gzip. What is packed many times over can hold anything."""
    body = xml("<objectType>KalturaESearchEntryResponse</objectType><objects></objects><totalCount>7</totalCount>")
    for _ in encoding.split(","):
        body = gzip.compress(body)
    with kaltura_saying(body, Content_Encoding=encoding) as evil:
        ran = use(evil)("count", "--format", "jsonl")
    if accepted:
        assert ran.json["count"] == 7
    else:
        assert ran.code == 1
        assert "packed in a way" in one_complaint(ran.err)


def test_a_large_but_proper_answer_is_read(sandbox: Sandbox, run: Run) -> None:
    """500 entries to a page, each with texts as long as people write them: the bound is far above that."""
    for _ in range(500):
        sandbox.kaltura.add_entry(content_bytes=10, derived=0, description="x" * 5000)
    assert len(run("list").rows) == 500


# Redirects


@pytest.mark.parametrize("status", [302, 307, 308])
@pytest.mark.parametrize("at", ["sign-in", "search"])
def test_a_call_that_is_redirected_is_not_followed(use: Use, status: int, at: str) -> None:
    """Secret and KS would go to whoever is named there."""
    with Evil(lambda handler, _: send(handler, xml("<totalCount>7</totalCount>"))) as other:

        def redirect(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
            send(handler, b"", status, Location=other.url.replace("127.0.0.1", "localhost") + seen.path)

        with Evil(redirect) if at == "sign-in" else kaltura_that(redirect) as evil:
            ran = use(evil)("count")
            asked = len(evil.seen)
        assert ran.code == (2 if at == "sign-in" else 1)
        assert f"HTTP status {status}" in one_complaint(ran.err)
        assert asked > 0
        assert other.seen == []


HARMLESS_HEADERS = {"host", "user-agent", "accept", "accept-encoding", "connection", "range"}


def serving(content: bytes, cut_at: list[int]) -> Callable[[BaseHTTPRequestHandler, Seen], None]:
    """Content by Range; each number in `cut_at` cuts one answer after so many bytes."""

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        start = int(seen.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.end_headers()
        end = start + cut_at.pop() if cut_at else len(content)
        handler.wfile.write(content[start:end])

    return answer


@pytest.fixture
def download_from(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sandbox, str], None]:
    """Make the sandbox's Kaltura name another address for every download."""

    def point(sandbox: Sandbox, url: str) -> None:
        actions = sandbox.kaltura.services._actions["flavorasset"]
        monkeypatch.setitem(actions, "geturl", replace(actions["geturl"], handler=lambda session, parameters: url))

    return point


def test_a_download_is_redirected_to_another_host_and_takes_nothing_of_ours_along(
    sandbox: Sandbox,
    run: Run,
    download_from: Callable[[Sandbox, str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """kaltura-api 4.5: the file host may redirect to a CDN. A cut there is resumed by Range, by a new redirect."""
    # A password for every host, as people have it in their home.
    (tmp_path / "netrc").write_text("default login somebody password netrc-password\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    video = big(sandbox, 2)
    entry_id = sandbox.add("initial", content=video)
    with Evil(serving(video, [MiB])) as cdn:
        target = cdn.url.replace("127.0.0.1", "localhost")
        with Evil(lambda handler, _: send(handler, b"", 302, Location=f"{target}/video")) as host:
            download_from(sandbox, f"{host.url}/p/101/ks/{KS}/name/a.mp4")
            ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert sandbox.s3.body(entry_id) == video
    assert len(cdn.seen) == 2
    assert "Range" in cdn.seen[1].headers
    for seen in [*host.seen, *cdn.seen]:
        assert {name.lower() for name in seen.headers} <= HARMLESS_HEADERS
        assert seen.body == b""
    assert not any(KS in str(seen) for seen in cdn.seen)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://127.0.0.1:1/x", "//", ""])
def test_a_redirect_to_what_is_no_web_address_fails_the_entry(
    sandbox: Sandbox, run: Run, download_from: Callable[[Sandbox, str], None], target: str
) -> None:
    entry_id = sandbox.add("initial")
    with Evil(lambda handler, _: send(handler, b"", 302, Location=target)) as host:
        download_from(sandbox, f"{host.url}/x")
        ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert sandbox.s3.keys() == []
    assert "root:" not in ran.out + ran.err


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x/", "javascript:alert(1)", "not an address"])
def test_an_address_that_is_none_is_not_downloaded(
    sandbox: Sandbox, run: Run, download_from: Callable[[Sandbox, str], None], url: str
) -> None:
    entry_id = sandbox.add("initial")
    download_from(sandbox, url)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert (ran.code, ran.outcomes) == (1, {entry_id: "failed"})
    assert sandbox.s3.keys() == []


# Texts that steer terminals, break rows or hide what is there


@pytest.fixture
def nasty(sandbox: Sandbox) -> str:
    """An entry all of whose texts are bad; test_output has the five formats of `list`."""
    return sandbox.kaltura.add_entry(
        b"nasty" * 500, name=NASTY, creator_id=NASTY, tags=NASTY.replace(",", " "), created_at=1_300_000_000
    ).id


def assert_harmless(text: str) -> None:
    assert not CONTROLS.search(text)
    assert all(line.replace("\t", "").isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_of_a_nasty_entry_comes_through_any_command(
    sandbox: Sandbox, run: Run, nasty: str, log_format: str
) -> None:
    sandbox.s3.put("0_other", b"x", metadata={"file-ext": "\x1b[31m", "note": "a\x9bb"})
    other = sandbox.kaltura.add_entry(b"x", id="0_other", tags="archived_to_s3", name=NASTY).id
    for command in (
        "list --columns entry_id,name,tags,creator_id,categories --format table",
        "list --columns entry_id,name,tags,creator_id,categories",
        "health --columns entry_id,name,message,why,evidence",
        f"list --id {nasty} --tag something",
        f"explain {nasty}",
        f"explain {other}",
        f"verify --id {other}",
        f"s3copy --id {nasty} --no-dry-run",
        f"replace_video --id {nasty}",
    ):
        ran = run("--log-level", "DEBUG", "--log-format", log_format, *command.split())
        assert_harmless(ran.out)
        assert_harmless(ran.err)
        if log_format == "json":
            for line in ran.err.splitlines():
                json.loads(line)
    # The others were told of, so something was there to be made harmless.
    assert "its tags are" in run("list", "--id", nasty, "--tag", "something").err
    assert tags_of(sandbox, nasty).endswith("archived_to_s3")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_error_message_of_a_service_is_one_harmless_line(use: Use, log_format: str) -> None:
    with kaltura_saying(error(f"CODE{NASTY}" * 50, NASTY * 50)) as evil:
        ran = use(evil)("--log-level", "DEBUG", "--log-format", log_format, "count")
        assert ran.code == 1
        assert_harmless(ran.err)
        assert len(one_complaint(ran.err)) < 1500
    assert "31mred" in one_complaint(ran.err)


@pytest.mark.parametrize(
    "bad_id", ["0_a\x9b2J", "0_a\nb", "../../etc/passwd", "0_a/b", "displaced/0_a", "0_" + "a" * 100, "0_ü"]
)
def test_an_id_that_is_none_is_refused(use: Use, bad_id: str) -> None:
    """It would become an object's key, a part of file names and of log lines."""
    entry = (
        f"<objectType>KalturaMediaEntry</objectType><id>{escape(bad_id)}</id><name>x</name><status>2</status>"
        "<tags></tags><type>1</type><mediaType>1</mediaType><createdAt>1</createdAt><displayInSearch>1</displayInSearch>"
        "<creatorId></creatorId><categoriesIds></categoriesIds><categories></categories><replacingEntryId/>"
        "<replacedEntryId/><replacementStatus>0</replacementStatus><parentEntryId/><partnerId>101</partnerId>"
        "<userId/><plays>0</plays><lastPlayedAt/>"
    )
    answer = xml(
        "<objectType>KalturaESearchEntryResponse</objectType><objects><item><objectType>KalturaESearchEntryResult"
        f"</objectType><object>{entry}</object></item></objects><totalCount>1</totalCount>"
    )
    good = answer.replace(escape(bad_id).encode(), b"0_good")
    with kaltura_saying(good) as evil:
        assert [row["entry_id"] for row in use(evil)("list", "--max-entries", "1").rows] == ["0_good"]
    with kaltura_saying(answer) as evil:
        ran = use(evil)("list", "--max-entries", "1")
    assert ran.code == 1
    assert ran.rows == []
    (line,) = [line for line in ran.err.splitlines() if " ERROR " in line]
    assert "left out: Kaltura answered with" in line
    assert "for an id" in line
    assert_harmless(ran.err)


@pytest.mark.parametrize("ext", ["../../x", "mp4\x9b2J", "mp4\nx: y", "x" * 3000])
def test_a_file_extension_that_is_none_is_left_out(sandbox: Sandbox, run: Run, ext: str) -> None:
    """It would become a part of file names and a header of S3's."""
    entry_id = sandbox.add("initial", file_ext=ext)
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    assert "file-ext" not in sandbox.s3.metadata(entry_id)
    run("download", "--id", entry_id)
    assert Path(f"{entry_id}.mp4").is_file()


@pytest.mark.parametrize(
    "name", [NASTY, "😀" * 3000, "ü" * 500, "", " ", "  two  blanks  ", "a" * 20_000, "x\x9b\u202e" * 1000]
)
def test_a_name_fits_into_the_metadata_and_can_be_read_back(sandbox: Sandbox, run: Run, name: str) -> None:
    """S3 takes 2 KB of metadata, in ASCII; a lost answer is settled by comparing them."""
    entry_id = sandbox.add("initial", name=name)
    sandbox.control.add_fault("s3.PutObject", "drop_after")
    ran = run("s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.outcomes == {entry_id: "done"}, ran.err
    metadata = sandbox.s3.metadata(entry_id)
    assert sum(len(name) + len(value) for name, value in metadata.items()) < 2048
    assert all(value.isascii() and value.isprintable() for value in metadata.values())
    kept = name[:100].strip(" ")
    assert unquote(metadata.get("source-name", "")) == kept


# Secrets


@pytest.mark.parametrize(
    "message",
    [
        'Invalid KS "{ks}"',
        'Invalid KS "{ks}", Error "-1,INVALID_STR"',
        "ks {ks} has no privileges",
        "https://x.example/ks/{ks}/name",
        "?ks={quoted}&x=1",
        "{quoted}",
    ],
)
@pytest.mark.parametrize("where", ["search", "entry"])
def test_an_error_that_quotes_the_ks_does_not_show_it(use: Use, sandbox: Sandbox, message: str, where: str) -> None:
    """kaltura-api 2: Kaltura puts a KS that it does not take into the text of the error."""
    text = message.format(ks=KS, quoted=quote(KS, safe=""))
    with kaltura_saying(error("SOMETHING", text)) as evil:
        command = ["count"] if where == "search" else ["verify", "--id", "0_abc"]
        ran = use(evil)("--log-level", "DEBUG", *command)
    told = ran.out + ran.err
    assert ran.code == 1
    assert "SOMETHING" in told
    assert KS not in told
    assert quote(KS, safe="") not in told
    assert "[redacted]" in told


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("place", ["entry", "part", "start"])
def test_a_crash_with_a_url_in_its_text_shows_no_token(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, log_format: str, place: str
) -> None:
    """In a worker, in a thread that sends parts, and before the run; at DEBUG with the traceback."""

    def crash(*_: object, **__: object) -> None:
        try:
            raise OSError(f"cause: {TOKENISED}")
        except OSError as error:
            raise RuntimeError(f"GET {PRESIGNED} failed, not {TOKENISED} \x1b[31m") from error

    where = {"entry": (Runner, "plan"), "part": (Store, "_send_part"), "start": (Store, "check_bucket")}[place]
    monkeypatch.setattr(*where, crash)
    monkeypatch.setattr("kaltura_archiver.transfer.chunks.MAX_WHOLE_BYTES", 8 * 2**20)
    entry_id = sandbox.add("initial", content=big(sandbox, 17) if place == "part" else None)
    ran = run("--log-level", "DEBUG", "--log-format", log_format, "s3copy", "--id", entry_id, "--no-dry-run")
    assert ran.code == 1
    told = ran.out + ran.err
    assert "RuntimeError" in told
    assert "[redacted]" in told
    assert [secret for secret in OF_URLS if secret in told] == []
    assert "\x1b" not in told
    assert "Traceback" in ran.err
    if place != "start":
        assert ran.outcomes == {entry_id: "failed"}


@pytest.mark.parametrize(
    "place",
    [
        "services.read_settings = crash",
        "program.hide = crash",
        "def elsewhere(*_):\n"
        "    thread = threading.Thread(target=crash)\n"
        "    thread.start(); thread.join(); raise click.exceptions.Exit(1)\n"
        "services.read_settings = elsewhere",
    ],
    ids=["in a command", "before it", "in a thread"],
)
def test_a_crash_of_the_module_is_one_redacted_line(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """`python -m kaltura_archiver`, whatever happens in it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, click\n"
        "from kaltura_archiver.cli import program\n"
        "from kaltura_archiver.run import services\n"
        "def crash(*_):\n"
        f"    raise RuntimeError('GET {PRESIGNED} and {TOKENISED}')\n"
        f"{place}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = subprocess.run([sys.executable, "-m", "kaltura_archiver", "list"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: unexpected RuntimeError: GET https://")
    assert ended.stderr.count("\n") == 1
    assert [secret for secret in OF_URLS if secret in ended.stderr] == []


def test_no_way_of_showing_the_settings_shows_a_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALTURA_SECRET", "a-very-secret-word")
    settings = read_settings()
    assert settings.secret == "a-very-secret-word"
    for text in (repr(settings), str(settings), f"{settings}", repr([settings]), repr({"settings": settings})):
        assert "a-very-secret-word" not in text
        assert settings.app_token not in text


def test_a_hidden_secret_is_hidden_as_it_stands_in_a_url_too() -> None:
    hide("c2VjcmV0/+=")
    assert redact("c2VjcmV0/+= c2VjcmV0%2F%2B%3D") == "[redacted] [redacted]"


def test_the_traceback_of_a_record_is_redacted_and_keeps_its_lines(caplog: pytest.LogCaptureFixture) -> None:
    from kaltura_archiver.redact import RedactingFilter

    try:
        raise ValueError(f"one\x1b[2J\ntwo {PRESIGNED}")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed: %s", (TOKENISED,), sys.exc_info())
    assert RedactingFilter().filter(record)
    shown = f"{record.getMessage()}\n{record.exc_text}"
    assert [secret for secret in OF_URLS if secret in shown] == []
    assert "\x1b" not in shown
    assert len(str(record.exc_text).split("\n")) >= 4


def test_a_password_in_an_address_is_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's, or that of a service behind one."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("KALTURA_SERVICE_URL", f"http://user:pass-word-9@127.0.0.1:{port}")
    ran = run("config")
    assert ran.code == 2
    assert "127.0.0.1" in ran.err
    assert "pass-word-9" not in ran.out + ran.err

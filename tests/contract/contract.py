"""Ask a Kaltura account what the project relies on, and tell what differs from the Kaltura that it was made for."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asking import Api, err
from known import ARTEFACTS, LEVELS, Reliance, agrees, at_an_account, proven, reliance_of, states_in
from masking import INSTALLED, Names, differing_lines, loosen, without_sizes
from probing import probe
from requests import RequestException
from sites import VIDEO_BYTES, Account, NotAllowed

from kaltura_archiver.config import read_settings
from kaltura_archiver.errors import ConfigError

CLOUD = "https://www.kaltura.com"
ANSWERS = Path(__file__).with_name("answers.json")
# Of the entry that was asked about when the answers were recorded.
RECORDED_FLAVORS, RECORDED_USER = 2, "archiver"
HASH_TYPES = ("sha256", "sha1", "sha512", "md5")
NOTHING, SAFETY_OR_SELECTION, USAGE, TIMING_OR_MESSAGE = 0, 1, 2, 3
LINES_OF_ONE = 4

EPILOG = """
The session comes from the environment, or from a file .env in this directory: KALTURA_SECRET, or KALTURA_APP_TOKEN_ID
and KALTURA_APP_TOKEN, which are taken first. It is best to ask an account that holds nothing else: docs/contract.md.

exit status: 0 nothing that matters differs; 1 something does that a safe run or a right selection rests on; 3 only
times or texts do; 2 nothing was asked, for a setting is missing or wrong.
"""


class Unusable(Exception):
    """Settings are missing or wrong; the text says what to do."""


@dataclass(frozen=True)
class Difference:
    """An answer that differs; `lines` show where."""

    number: str
    what: str
    reliance: Reliance
    lines: tuple[str, ...]


@functools.cache
def recorded() -> dict[str, Any]:
    """The probes of the real server, with its answers."""
    return dict(json.loads(ANSWERS.read_text(encoding="utf-8"))["probes"])


def differences(got: Mapping[str, Any], video_bytes: int, flavors: int, user: str = RECORDED_USER) -> list[Difference]:
    """What an account answers otherwise than was recorded, worst first; without what proves or means nothing."""
    found = []
    wanted = {
        number: _comparable(number, known["answer"], VIDEO_BYTES, RECORDED_FLAVORS, RECORDED_USER)
        for number, known in recorded().items()
        if number not in INSTALLED and ARTEFACTS.get(number, ("", len))[1] is not None
    }
    states = frozenset().union(*map(states_in, wanted.values()))
    for number in sorted(set(wanted) & set(got)):
        other = _comparable(number, got[number]["answer"], video_bytes, flavors, user)
        if not agrees(wanted[number], other, states):
            lines = tuple(differing_lines(wanted[number], other))
            found.append(Difference(number, recorded()[number]["what"], reliance_of(number), lines))
    return sorted(found, key=lambda one: (LEVELS.index(one.reliance.level), one.number))


def _comparable(number: str, answer: Any, video_bytes: int, flavors: int, user: str) -> Any:
    proof = _without_user(loosen(proven(number, answer)), user)
    return at_an_account(number, without_sizes(proof, video_bytes) if video_bytes else proof, flavors)


def _without_user(value: Any, user: str) -> Any:
    if isinstance(value, dict):
        return {key: _without_user(item, user) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_user(item, user) for item in value]
    return "<user>" if value == user else value


def verdict(found: Sequence[Difference], asked: int, unasked: Mapping[str, str]) -> tuple[str, int]:
    """What to make of the differences, in a sentence or two, and the exit status."""
    levels = [one.reliance.level for one in found]
    mattering = sum(level != "cosmetic" for level in levels)
    skipped = f" {len(unasked)} part(s) could not be asked: see below." if unasked else ""
    if not mattering:
        rest = f"; {len(levels)} differ in what we do not rely on" if levels else ""
        left = " docs/contract.md has what is not asked."
        return f"Nothing that matters differs: {asked} answers were compared{rest}.{skipped}{left}", NOTHING
    many = f"{mattering} of {asked} answers differ in what we rely on"
    if "safety" in levels:
        advice = "Do not replace any video here before each has been understood: safety rests on them."
    elif "selection" in levels:
        advice = (
            "Others than the entries asked for may be found here: understand each before a run that changes entries."
        )
    else:
        advice = "What we wait for, or say of an error, may not fit here; read them, nothing is lost by it."
        return f"{many}. {advice}{skipped}", TIMING_OR_MESSAGE
    return f"{many}. {advice}{skipped}", SAFETY_OR_SELECTION


def report(found: Sequence[Difference], *, everything: bool) -> list[str]:
    """A line for each difference and some for where it is, by level, worst first; cosmetic ones only counted."""
    lines: list[str] = []
    for level, group in groupby(found, key=lambda one: one.reliance.level):
        of_level = list(group)
        if level == "cosmetic" and not everything:
            lines += ["", f"{level}: {', '.join(one.number for one in of_level)} (--all shows them)"]
            continue
        lines += ["", level.upper()]
        for one in of_level:
            lines.append(f"{one.number:6} {one.what}")
            lines.append(f"       relied on: {one.reliance.why}")
            shown = one.lines if everything else one.lines[:LINES_OF_ONE]
            lines += [f"       known {line}" for line in shown]
            if len(shown) < len(one.lines):
                lines.append(f"       … {len(one.lines) - len(shown)} more (--all)")
    return lines


# The account


def account(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Account:
    """The account, signed in; Unusable tells what is missing or wrong."""
    url = arguments.url or environment.get("KALTURA_SERVICE_URL") or CLOUD
    partner = arguments.partner or environment.get("KALTURA_PARTNERID", "")
    user = environment.get("KALTURA_USERID", "")
    secret = environment.get("KALTURA_SECRET", "")
    token_id, token = environment.get("KALTURA_APP_TOKEN_ID", ""), environment.get("KALTURA_APP_TOKEN", "")
    if not partner:
        raise Unusable(
            "--partner or KALTURA_PARTNERID says which account to ask (and --url, where it is not Kaltura's cloud)"
        )
    if not partner.isdecimal():
        raise Unusable(f"--partner must be a number, not {partner!r}")
    _check_address(url)
    by_token = bool(token_id and token) and not (arguments.secret_from_env and secret)
    if not by_token and not secret:
        raise Unusable(
            "set KALTURA_SECRET, or KALTURA_APP_TOKEN_ID and KALTURA_APP_TOKEN, in the environment or in .env"
        )
    api = Api(url, partner, "" if by_token else secret, Names())
    try:
        if by_token:
            api.ks = api.names.name(_session_by_token(api, token_id, token, user), "ks")
        else:
            api.login(user)
    except RuntimeError as error:
        names = "KALTURA_APP_TOKEN_ID, KALTURA_APP_TOKEN" if by_token else "KALTURA_SECRET"
        raise Unusable(f"cannot sign in at {url}: {error}; check --partner, {names}") from None
    videos = _videos(arguments) if arguments.write else (b"", b"")
    site = Account(api, write=arguments.write, videos=videos)
    if arguments.write and not site.user:
        raise Unusable("set KALTURA_USERID: what --write makes needs an owner")
    return site


def _check_address(url: str) -> None:
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise Unusable(f"--url must be an address like https://www.kaltura.com, not {url!r}")
    if address.scheme == "http" and address.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise Unusable("--url must begin with https://: a secret must not travel in the open")


def _session_by_token(api: Api, token_id: str, token: str, user: str) -> str:
    widget = api.call("session", "startWidgetSession", {"widgetId": f"_{api.partner}"}, ks="")
    if not isinstance(widget, dict) or "error" in widget or not widget.get("ks"):
        raise RuntimeError(f"no session of the default widget _{api.partner}: {err(widget)}")
    answer: Any = None
    for kind in HASH_TYPES:
        token_hash = hashlib.new(kind, (widget["ks"] + token).encode()).hexdigest()
        sent = {"id": token_id, "tokenHash": token_hash, "userId": user, "type": 2}
        answer = api.call("apptoken", "startSession", sent, ks=widget["ks"])
        if isinstance(answer, dict) and answer.get("ks"):
            return str(answer["ks"])
    raise RuntimeError(f"{err(answer)}")


def _videos(arguments: argparse.Namespace) -> tuple[bytes, bytes]:
    """Two videos to upload: those that were named, or short ones that are made."""
    files = [Path(name) for name in (arguments.video, arguments.other_video) if name]
    if len(files) == 1:
        raise Unusable("--video and --other-video go together: two videos of different sizes")
    if files:
        try:
            one, other = (file.read_bytes() for file in files)
        except OSError as error:
            raise Unusable(f"{error.filename}: {error.strerror}") from None
        if len(one) == len(other):
            raise Unusable("--video and --other-video must be of different sizes")
        return one, other
    from kaltura_archiver.sandbox.media import make_mp4

    return make_mp4(seconds=2, seed=1), make_mp4(seconds=3, seed=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/contract",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help=f"the service [KALTURA_SERVICE_URL, or {CLOUD}]")
    parser.add_argument("--partner", help="the account's number [KALTURA_PARTNERID]")
    parser.add_argument(
        "--secret-from-env",
        action="store_true",
        help="take KALTURA_SECRET even where an app token is set: more can be asked with it",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="make entries, ask what replacing them does, and remove them; takes a while",
    )
    parser.add_argument("--video", metavar="FILE", help="with --write: a short video to upload instead of a made one")
    parser.add_argument("--other-video", metavar="FILE", help="with --write: another one, of another size")
    parser.add_argument("--all", action="store_true", help="show all of every difference")
    parser.add_argument("--save", metavar="FILE", help="write the answers to this file, ids and sessions masked")
    return parser


def main(given: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    arguments = _parser().parse_args(given)
    try:
        if environment is None:
            read_settings()  # what .env says is put into the environment, as for the tool
            environment = os.environ
        site = account(arguments, environment)
        found, unasked = _asked(site, arguments)
    except (Unusable, ConfigError, NotAllowed, RequestException) as error:
        _complain(f"{type(error).__name__ if isinstance(error, RequestException) else 'error'}: {error}")
        return USAGE
    text, code = verdict(found, len(site.answers), unasked)
    for line in (text, *report(found, everything=arguments.all)):
        sys.stdout.write(f"{line}\n")
    for part, why in unasked.items():
        sys.stdout.write(f"\nnot asked: {part}: {why}\n")
    return code


def _asked(site: Account, arguments: argparse.Namespace) -> tuple[list[Difference], dict[str, str]]:
    """The differences, and what could not be asked; everything that was made is removed again."""
    try:
        if arguments.write:
            site.prepare()
        elif not site.choose():
            raise Unusable("this account has no video that is ready; upload a short one, or use --write")
        flavors = len(site.api.flavors(site.main)["objects"])
        size = len(site.video) or int((site.api.original(site.main) or {}).get("sizeInBytes") or 0)
        probe(site, lambda part: _complain(f"asking: {part}"))
    finally:
        if arguments.write:
            site.tidy()
    if arguments.save:
        answers = json.dumps({"probes": site.answers, "server": "account"}, indent=1, ensure_ascii=False)
        with open(
            arguments.save, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)
        ) as file:
            file.write(answers)
    unasked = {**site.not_allowed}
    found = differences(site.answers, size, flavors, site.user)
    for part, why in site.broken.items():
        reliance = Reliance(
            "safety", "", "what these probes would have told: an answer has another shape than is known"
        )
        found.insert(0, Difference("", f"the probes about {part} broke off", reliance, (site.names.mask(why),)))
    return found, unasked


def _for_oneself(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

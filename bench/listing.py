"""`list` of many entries beside a bare client that fetches the same pages and parses them with lxml.

    bench/listing.py [ENTRIES [ROUNDS]]        200,000 entries, 3 rounds

The bare client (`listing.py bare URL`) keeps one connection alive, parses each page, reads the last entry's date for
the next page, and prints nothing. Kaltura is bench/fixed_kaltura.py.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from measure import against, in_turns, run

HERE = Path(__file__).parent


@contextmanager
def fixed_kaltura(entries: int, state: str = "archived") -> Iterator[dict[str, str]]:
    """The environment in which the tool talks to a Kaltura of that many entries."""
    command = [sys.executable, str(HERE / "fixed_kaltura.py"), str(entries), state]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip() if server.stdout else ""
        yield {**os.environ, "KALTURA_PARTNERID": "101", "KALTURA_SECRET": "no secret", "KALTURA_SERVICE_URL": url}
        server.communicate()


def bare(url: str) -> None:
    from lxml import etree

    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    since: int | None = None
    while True:
        bounds = [] if since is None else [{"fieldName": "created_at", "range": {"greaterThanOrEqual": since}}]
        body = json.dumps({"searchParams": {"searchOperator": {"searchItems": bounds}}, "pager": {"pageSize": 500}})
        path = "/api_v3/service/elasticsearch_esearch/action/searchEntry"
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        result = etree.fromstring(connection.getresponse().read())[0]
        objects = result.find("objects")
        if len(objects) == 0:
            return
        since = int(objects[-1].findtext("object/createdAt"))
        if len(objects) == int(result.findtext("totalCount")):
            return


def main() -> None:
    entries, rounds = (int(text) for text in [*sys.argv[1:], *("200000", "3")[len(sys.argv) - 1 :]])
    with fixed_kaltura(entries) as environ:
        ours = [sys.executable, "-m", "kaltura_archiver", "list", "--max-entries", "-1"]
        peer = [sys.executable, __file__, "bare", environ["KALTURA_SERVICE_URL"]]
        took = in_turns(
            {"list": lambda: run(ours, environ=environ), "bare client": lambda: run(peer, environ=environ)}, rounds
        )
    print(f"{entries} entries, medians of {rounds}\n\n{against(took, 'bare client')}")  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare(sys.argv[2])
    else:
        main()

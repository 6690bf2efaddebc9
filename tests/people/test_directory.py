"""enrich and ldapsearch, on a real slapd."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import Ran, Run
from hypothesis import given
from hypothesis import strategies as st
from slapd import BASE, PASSWORD, USER, Authority, Slapd, person

from kaltura_archiver.cli import cli
from kaltura_archiver.config import read_settings
from kaltura_archiver.output.tables import escape_tsv, unescape_tsv
from kaltura_archiver.people.directory import Directory
from kaltura_archiver.people.owners import BATCH, LOOK_AHEAD, Attributes, Owner, with_owners
from kaltura_archiver.sandbox.world import Sandbox

ATTRIBUTES = Attributes("uid", ("displayName", "cn"), ("ou",))
CROWD = [f"u{n:04}" for n in range(250)]
PEOPLE = [
    person("jdoe", displayName="Jane Q. Doe", ou="History", mail="jdoe@example.edu"),
    person("rroe", state="goingaway", displayName="Richard Roe", ou="Graduate School"),
    person("mmuster", state="disabled", displayName="Max Muster", ou="Library"),
    person("nobody1", cn="Only A. Cn"),
    person("znunez", displayName="Zoë Núñez-Łęcki", ou=["History", "Pretend, Studies"]),
    person("smith, a", displayName="Tab\tand \\ Comma"),
    person("müller", displayName="Ü"),
    person("Camel Case", displayName="Camel"),
    person("weird*(uid)", displayName="Weird"),
    person("asmith", displayName="Alex"),
    person("twice", dn=f"employeeNumber=2,{BASE}", displayName="Second"),
    person("twice", dn=f"employeeNumber=1,{BASE}", displayName="First"),
    *(person(uid) for uid in CROWD),
]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.named("test authority")


@pytest.fixture(scope="module")
def campus(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    server = Slapd(tmp_path_factory.mktemp("campus") / "d", authority.server("localhost"), authority.pem, PEOPLE)
    yield server
    server.stop()


Start = Callable[..., Slapd]


@pytest.fixture
def start(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a server of one's own, and use it."""
    servers: list[Slapd] = []

    def started(people: Sequence[str] = (), *, certificate: bytes | None = None, **options: object) -> Slapd:
        certificate = certificate or authority.server("localhost")
        server = Slapd(tmp_path / f"slapd{len(servers)}", certificate, authority.pem, people, **options)  # type: ignore[arg-type]
        servers.append(server)
        use(monkeypatch, server)
        return server

    yield started
    for server in servers:
        server.stop()


def use(monkeypatch: pytest.MonkeyPatch, server: Slapd) -> None:
    for name, value in server.environ().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaltura_archiver.people.directory.PAUSES", (0.0, 0.0))
    monkeypatch.setattr("kaltura_archiver.people.directory.REST_SECONDS", 0.0)


@pytest.fixture
def on_campus(campus: Slapd, monkeypatch: pytest.MonkeyPatch) -> Slapd:
    use(monkeypatch, campus)
    return campus


def ask(*arguments: str, stdin: str | bytes = "") -> Ran:
    result = CliRunner().invoke(cli, arguments, input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert PASSWORD not in result.output
    return Ran(result.exit_code, result.stdout, result.stderr)


def table(uids: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in ("entry_id\tcreator_id", *(f"e{n}\t{u}" for n, u in enumerate(uids))))


def statuses(uids: Sequence[str], *arguments: str) -> list[str]:
    """What enrich makes of the owners of these rows."""
    ran = ask("enrich", *arguments, stdin=table(uids))
    assert [row["entry_id"] for row in ran.rows] == [f"e{n}" for n in range(len(uids))], ran.err
    return [row["ldap_status"] for row in ran.rows]


def assert_refused(ran: Ran, *told: str) -> None:
    """A usage or configuration error: one line, and no rows."""
    assert ran.code == 2, ran.err
    assert len(ran.err.splitlines()) == 1, ran.err
    for text in told:
        assert text in ran.err
    assert "inactive" not in ran.out


# Who is still here


def test_enrich_appends_status_name_and_unit_to_each_row_in_its_order(on_campus: Slapd) -> None:
    ran = ask(
        "add_ldap_status", stdin=table(["rroe", "jdoe@example.edu", "mmuster", "nosuch", "", "znunez", "nobody1"])
    )
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "entry_id\tcreator_id\tldap_status\tname\torg_unit",
        "e0\trroe\tactive\tRichard Roe\tGraduate School",
        "e1\tjdoe@example.edu\tactive\tJane Q. Doe\tHistory",
        "e2\tmmuster\tinactive\t\t",
        "e3\tnosuch\tinactive\t\t",
        "e4\t\t\t\t",
        "e5\tznunez\tactive\tZoë Núñez-Łęcki\tHistory; Pretend, Studies",
        "e6\tnobody1\tactive\tOnly A. Cn\t",
    ]
    assert "; 1 searches" in ran.err


@pytest.mark.parametrize(
    "uid", ["*)(uid=*", "*", "jdoe)(uid=*", r"\\2a", r"jdoe\x00", "*doe", "jdoe,", r"\ud800", "#", "="]
)
def test_a_uid_that_looks_like_a_filter_finds_nobody_and_harms_nobody(on_campus: Slapd, uid: str) -> None:
    assert statuses([uid]) == ["inactive"]
    assert statuses([uid, "jdoe", "mmuster", uid]) == ["inactive", "active", "inactive", "inactive"]


@pytest.mark.parametrize(
    "uid", ["smith, a", "müller", "MÜLLER", "mu\u0308ller", "JDoe", "weird*(uid)", "camel  case", " jdoe ", "\uff4adoe"]
)
def test_uids_match_as_the_directory_compares_them(on_campus: Slapd, uid: str) -> None:
    assert statuses([uid, "rroe", uid]) == ["active"] * 3


def test_of_several_people_with_one_uid_the_first_is_shown_and_told(on_campus: Slapd) -> None:
    ran = ask("enrich", stdin=table(["twice"]))
    assert ran.rows[0]["name"] == "First"
    assert "'twice': 2 people" in ran.err


def test_a_person_with_two_uids_answers_for_both(start: Start) -> None:
    start([person("asmith", alias="smitha", displayName="Alex")])
    assert statuses(["smitha", "asmith"]) == ["active", "active"]


def test_each_owner_is_asked_for_once_and_many_in_one_search(on_campus: Slapd) -> None:
    uids = [uid for _ in range(4) for uid in [*CROWD, "mmuster"]]
    ran = ask("enrich", stdin=table(uids))
    assert "active 1000, inactive 4; 3 searches" in ran.err


@pytest.mark.parametrize("limit", [1, 7])
def test_a_size_limit_smaller_than_the_batch_makes_nobody_inactive(start: Start, limit: int) -> None:
    start(PEOPLE, size_limit=limit)
    uids = CROWD[:120]
    ran = ask("enrich", stdin=table([*uids, "nosuch"]))
    assert [row["ldap_status"] for row in ran.rows] == ["active"] * 120 + ["inactive"]
    # What the server allows is learnt once, by halving.
    assert int(ran.err.split("; ")[-1].split()[0]) <= 130 // min(limit, 6) + 10


def test_a_directory_that_hides_uids_still_tells_who_is_here(start: Start) -> None:
    start(PEOPLE, access="access to attrs=uid by users search")
    assert statuses(["jdoe", "nosuch", "rroe"]) == ["active", "inactive", "active"]


def test_a_directory_that_shows_nobody_makes_nobody_inactive(start: Start) -> None:
    start(PEOPLE, access="access to * by users search")
    assert_refused(ask("enrich", stdin=table(["jdoe"])), "shows nobody", "LDAP_BASE")


def test_where_part_of_the_tree_is_elsewhere_who_is_not_found_is_unknown(start: Start) -> None:
    elsewhere = f"dn: ou=far,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: far\n"
    start([*PEOPLE, f"{elsewhere}ref: ldap://127.0.0.1:9/\n\n"])
    ran = ask("enrich", stdin=table(["jdoe", "nosuch"]))
    assert [row["ldap_status"] for row in ran.rows] == ["active", "unknown"]
    assert ran.code == 1
    assert "other servers" in ran.err
    # As Active Directory does at its root.
    assert "a narrower LDAP_BASE" in ran.err
    assert "ask the global catalog, LDAP_PORT=3269" in ran.err
    ran = ask("config")
    assert ran.code == 2
    assert "who is not found is unknown for ever; name a narrower LDAP_BASE" in ran.err


# Servers that fail


def test_a_server_that_is_down_gives_unknown_never_inactive_and_exit_1(start: Start) -> None:
    start(PEOPLE).stop()
    ran = ask("enrich", stdin=table(["jdoe", "nosuch", "", "jdoe"]))
    assert [row["ldap_status"] for row in ran.rows] == ["unknown", "unknown", "", "unknown"]
    assert ran.code == 1
    assert "cannot reach the directory at localhost" in ran.err


def test_a_server_that_does_not_speak_ldap_gives_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"\x30\x05HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setenv("LDAP_SERVER", f"127.0.0.1:{listener.getsockname()[1]}")
        for tls in ("none", "ldaps", "starttls"):
            ran = ask("enrich", "--tls", tls, stdin=table(["jdoe"]))
            assert (ran.code, ran.rows[0]["ldap_status"]) == (1, "unknown"), ran.err
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_dies_midway_gives_unknown_until_it_is_back(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(PEOPLE)
    owners = dict.fromkeys([*CROWD[:200], "nosuch"])

    def rows() -> Iterator[list[str]]:
        for number, uid in enumerate(owners):
            if number == BATCH:
                server.stop()
            if number == 2 * BATCH:
                server.start()
                now[0] += 1e6  # it is left alone for as long as the failed attempts took
            yield [uid]

    now = [0.0]
    with (
        Directory(read_settings().ldap, ATTRIBUTES, clock=lambda: now[0]) as directory,
        caplog.at_level(logging.ERROR),
    ):
        got = [owner.status for _, owner in with_owners(rows(), lambda row: row[0], directory.look_up)]
    assert got == ["active"] * BATCH + ["unknown"] * BATCH + ["inactive"]
    assert "100 owners are unknown" in caplog.text


def test_a_server_that_was_restarted_is_asked_again(start: Start) -> None:
    server = start(PEOPLE)
    with Directory(read_settings().ldap, ATTRIBUTES) as directory:
        assert directory.look_up(["jdoe"])["jdoe"] == Owner(
            "active", ("Jane Q. Doe", "History"), mail="jdoe@example.edu"
        )
        server.stop()
        server.start()
        assert directory.look_up(["rroe", "mmuster"])["rroe"].status == "active"


def test_a_server_that_failed_is_left_alone_for_a_while(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(PEOPLE)
    pauses: list[float] = []
    monkeypatch.setattr("kaltura_archiver.people.directory.REST_SECONDS", 1e6)
    with Directory(read_settings().ldap, ATTRIBUTES, pause=pauses.append) as directory:
        server.stop()
        assert directory.look_up(["jdoe"])["jdoe"].status == "unknown"
        server.start()
        assert directory.look_up(["jdoe"])["jdoe"].status == "unknown"
    assert len(pauses) == 2


def test_a_server_that_comes_back_during_the_pauses_is_waited_for(start: Start) -> None:
    server = start(PEOPLE)
    server.stop()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            server.start()

    with Directory(read_settings().ldap, ATTRIBUTES, pause=pause) as directory:
        assert directory.look_up(["jdoe"])["jdoe"].status == "active"


# TLS and signing in


def test_a_certificate_of_another_authority_is_refused(on_campus: Slapd, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.named("other").pem)
    for arguments in ([], ["--tls", "starttls", "--port", str(on_campus.port)]):
        arguments = ["--ca-file", str(other), *arguments]
        assert_refused(ask("enrich", *arguments, stdin=table(["jdoe"])), "not trusted", "LDAP_CA_FILE")


def test_an_expired_certificate_is_refused(start: Start, authority: Authority) -> None:
    start(PEOPLE, certificate=authority.server("localhost", days=-1))
    assert_refused(ask("enrich", stdin=table(["jdoe"])), "certificate has expired")
    assert_refused(ask("ldapsearch", "uid=jdoe"), "certificate has expired")


def test_a_certificate_of_another_name_is_refused(start: Start, authority: Authority) -> None:
    start(PEOPLE, certificate=authority.server("ldap.example.edu"))
    assert_refused(ask("enrich", stdin=table(["jdoe"])), "Hostname mismatch")


def test_a_certificate_for_an_ip_address_is_accepted_for_it(on_campus: Slapd) -> None:
    assert statuses(["jdoe"], "--server", f"ldaps://127.0.0.1:{on_campus.tls_port}") == ["active"]


@pytest.mark.parametrize("way", [["--tls", "starttls"], ["--server", "ldap://localhost"]])
def test_starttls(on_campus: Slapd, way: list[str]) -> None:
    assert statuses(["jdoe", "nosuch"], "--port", str(on_campus.port), *way) == ["active", "inactive"]


@pytest.mark.parametrize("name", ["LDAP_PWD", "LDAP_USER"])
def test_a_refused_bind_is_told(on_campus: Slapd, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "wrong-one")
    assert_refused(ask("enrich", stdin=table(["jdoe"])), "refused the bind as uid=", "invalidCredentials", "LDAP_PWD")


def test_a_whole_name_may_be_used_to_sign_in(on_campus: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDAP_USER", f"uid={USER},{BASE}")
    assert statuses(["jdoe"], "--bind-pattern", "{user}") == ["active"]
    assert_refused(ask("enrich", stdin=table(["jdoe"])), "refused the bind")
    # In any other pattern a user is one value: it cannot name another place.
    monkeypatch.setenv("LDAP_USER", f"uid={USER},o=princeton university")
    assert_refused(ask("enrich", "--bind-pattern", "{user},c=us", stdin=table(["jdoe"])), "refused the bind")


def test_anonymous_searches_work_where_they_are_allowed(
    start: Start, on_campus: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LDAP_USER")
    monkeypatch.delenv("LDAP_PWD")
    assert_refused(ask("enrich", stdin=table(["jdoe"])), "refused the search")
    server = start(PEOPLE, anonymous=True)
    for name in ("LDAP_USER", "LDAP_PWD"):
        monkeypatch.delenv(name)
    assert statuses(["jdoe", "nosuch"]) == ["active", "inactive"]
    assert statuses(["jdoe"], "--tls", "none", "--port", str(server.port)) == ["active"]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"LDAP_SERVER": ""}, "not set: LDAP_SERVER"),
        ({"LDAP_SERVER": "https://localhost"}, "LDAP_SERVER must be"),
        ({"LDAP_SERVER": "localhost:99999"}, "LDAP_SERVER and LDAP_PORT must be"),
        ({"LDAP_PORT": "ldaps"}, "LDAP_SERVER and LDAP_PORT must be"),
        ({"LDAP_TLS": "maybe"}, "LDAP_TLS must be"),
        ({"LDAP_TLS": "none"}, "would send LDAP_PWD unencrypted"),
        ({"LDAP_PWD": ""}, "not set: LDAP_PWD"),
        ({"LDAP_USER": ""}, "not set: LDAP_USER"),
        ({"LDAP_BIND_PATTERN": "uid=me"}, "must contain {user}"),
        ({"LDAP_CA_FILE": "none.pem"}, "none.pem: not a readable file"),
        ({"LDAP_BASE": "o=elsewhere"}, "refused the bind as uid=svc-kaltura,o=elsewhere"),
        (
            {"LDAP_BASE": "o=elsewhere", "LDAP_BIND_PATTERN": f"uid={{user}},{BASE}"},
            "refused the search below o=elsewhere: noSuchObject",
        ),
        ({"LDAP_BASE": "%%"}, "refused"),
        ({"LDAP_FILTER": "(uid=a)(uid=b)"}, "LDAP_FILTER is not an LDAP filter"),
        ({"LDAP_FILTER": "(uid=a))(|(uid=*)"}, "LDAP_FILTER is not an LDAP filter"),
        ({"LDAP_FILTER": "(nosuchattribute=x)"}, "shows nobody"),
        ({"LDAP_UID_ATTRIBUTE": "uid=*)("}, "cannot be the name of an attribute"),
        ({"LDAP_NAME_ATTRIBUTES": "cn,,sn"}, "LDAP_NAME_ATTRIBUTES"),
    ],
)
def test_wrong_settings_are_told_and_no_row_is_written(
    on_campus: Slapd, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert_refused(ask("enrich", stdin=table(["jdoe"])), told)


def test_another_site_sets_base_filter_and_attributes(on_campus: Slapd) -> None:
    arguments = ["--filter", "objectClass=inetOrgPerson", "--uid-attribute", "mail", "--name-attributes", "sn,cn"]
    arguments += ["--unit-attributes", "nosuch,ou", "--whole-id"]
    ran = ask("enrich", *arguments, stdin=table(["jdoe@example.edu", "mmuster"]))
    assert [list(row.values())[2:] for row in ran.rows] == [["active", "Person", "History"], ["inactive", "", ""]]


# Columns and forms


def test_columns_may_stand_in_any_order_and_be_called_otherwise(on_campus: Slapd) -> None:
    stdin = "owner\tplays\tname\n jdoe \t3\ta\\tb\n"
    arguments = ["enrich", "--creator-column", "owner"]
    assert_refused(ask(*arguments, stdin=stdin), "already has a column 'name'", "--prefix")
    ran = ask(*arguments, "--prefix", "owner_", "--columns", "mail,title", stdin=stdin)
    assert ran.out.splitlines() == [
        "owner\tplays\tname\towner_ldap_status\towner_name\towner_org_unit\towner_mail\towner_title",
        "jdoe\t3\ta\\tb\tactive\tJane Q. Doe\tHistory\tjdoe@example.edu\t",
    ]


def test_legacy_columns_call_the_status_as_the_old_tool_did(on_campus: Slapd) -> None:
    stdin = "status\tcreator_id\n2\tjdoe\n"
    ran = ask("enrich", "--legacy-columns", stdin=stdin)
    assert ran.out.splitlines()[0] == "status\tcreator_id\tstatus\tname\torg_unit"
    assert ran.out.splitlines()[1].startswith("2\tjdoe\tactive\t")
    assert_refused(ask("enrich", "--legacy-columns", "--format", "json", stdin=stdin), "two columns", "'status'")


def test_other_forms_of_rows(on_campus: Slapd) -> None:
    stdin = table(["smith, a", "mmuster"])
    assert [
        (row["ldap_status"], row["name"]) for row in json.loads(ask("enrich", "--format", "json", stdin=stdin).out)
    ] == [
        ("active", "Tab\tand \\ Comma"),
        ("inactive", None),
    ]
    assert ask("enrich", stdin=stdin).rows[0]["name"] == "Tab\\tand \\\\ Comma"
    assert ask("enrich", "--format", "csv", stdin=stdin).out.splitlines()[1].startswith('e0,"smith, a",active,')


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        ("", "stdin is empty"),
        ("\n", "stdin is empty"),
        ("entry_id\tplays\n", "the input has no column 'owner_id'; there are entry_id, plays"),
        ("creator_id\ta\tcreator_id\n", "two columns are called 'creator_id'"),
        ("creator_id\t\ta\n", "column 2 of the header has no name"),
        ("creator_id\ta\njdoe\tx\njdoe\n", "line 3: 1 cells, but the header has 2"),
        ("creator_id\ta\njdoe\tx\ty\n", "line 2: 3 cells, but the header has 2"),
        ("creator_id\na\\q\n", "line 2: \\q is no escape of a TSV"),
        ("creator_id\na\\\n", "line 2: \\ is no escape of a TSV"),
        ("creator_id\na\\x1\n", "line 2: \\x is no escape of a TSV"),
        ("creator_id\na\\UFFFFFFFF\n", "line 2: \\U is no escape of a TSV"),
        ("creator_id\na\\Uffffffff\n", "line 2: an escape beyond Unicode"),
        (b"creator_id\n\xff\n", "line 2: not UTF-8"),
        ("creator_id\n" + "x" * 2**20, "line 2: longer than 1048576 bytes"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_by_its_line(on_campus: Slapd, stdin: str | bytes, told: str) -> None:
    assert_refused_late = ask("enrich", stdin=stdin)
    assert assert_refused_late.code == 2
    assert told in assert_refused_late.err


def test_a_file_that_is_not_there_is_told(on_campus: Slapd) -> None:
    assert_refused(ask("enrich", "none.tsv"), "cannot read none.tsv")


@given(st.text())
def test_what_a_tsv_escapes_is_read_back(text: str) -> None:
    assert unescape_tsv(escape_tsv(text)) == text


def test_a_list_is_enriched_as_it_comes(sandbox: Sandbox, run: Run, on_campus: Slapd, tmp_path: Path) -> None:
    for name, creator in (("a", "jdoe"), ("b", "mmuster"), ("c\td", "jdoe")):
        sandbox.kaltura.add_entry(sandbox.video(), name=name, creator_id=creator)
    listed = run("list", "--columns", "creator_id,entry_id,tags")
    (tmp_path / "list.tsv").write_text("\ufeff" + listed.out.replace("\n", "\r\n"))
    ran = run("enrich", "list.tsv")
    assert [row["entry_id"] for row in ran.rows] == [row["entry_id"] for row in listed.rows]
    assert {(row["creator_id"], row["ldap_status"]) for row in ran.rows} == {
        ("jdoe", "active"),
        ("mmuster", "inactive"),
    }


# Streaming


def test_rows_of_known_owners_do_not_wait_for_the_end_of_the_input() -> None:
    searches: list[int] = []
    given_out = 0

    def look_up(uids: Sequence[str]) -> dict[str, Owner]:
        searches.append(len(uids))
        return dict.fromkeys(uids, Owner("active"))

    def rows() -> Iterator[list[str]]:
        for number in range(BATCH):
            yield [f"u{number}"]
        assert given_out == BATCH
        for number in range(1, 50):
            yield ["u7"]
            assert given_out == BATCH + number
        for _ in range(LOOK_AHEAD):
            yield ["new"]
        assert given_out == BATCH + 49 + LOOK_AHEAD

    for _ in with_owners(rows(), lambda row: row[0], look_up):
        given_out += 1
    assert searches == [BATCH, 1]


# A directory in a file


@pytest.mark.parametrize(
    "dump",
    [
        'uid,cn,ou,ldap_status\r\njdoe,"Doe, Jane",History,active\r\n\r\ngone,Gone,,inactive\r\nJDOE,J,,active\r\n',
        "ou\tUID\tcn\tldap_status\nHistory\tjdoe\tDoe, Jane\tactive\n\tgone\tGone\tinactive\n",
    ],
)
def test_a_dump_takes_the_place_of_a_directory(tmp_path: Path, dump: str) -> None:
    (tmp_path / "people").write_text("\ufeff" + dump, newline="")
    ran = ask("enrich", "--directory-file", "people", stdin=table(["Jdoe@example.edu", "gone", "nosuch"]))
    assert ran.code == 0, ran.err
    assert [(row["ldap_status"], row["name"]) for row in ran.rows] == [
        ("active", "Doe, Jane"),
        ("inactive", "Gone"),
        ("inactive", ""),
    ]
    assert ran.rows[0]["org_unit"] == "History"


@pytest.mark.parametrize(
    ("dump", "told"),
    [
        (b"", "is empty"),
        (b"uid,cn\n", "holds nobody"),
        (b"name,cn\na,b\n", "has no column 'uid'"),
        (b"uid,cn,UID\na,b,c\n", "two columns are called 'uid'"),
        (b"uid,cn\na,b\nc\n", "line 3: 1 cells, but the header has 2"),
        (b"uid\tcn\na\tb\tc\n", "line 2: 3 cells, but the header has 2"),
        (b"uid\tcn\na\tb\\q\n", "line 2: \\q is no escape"),
        (b'uid,cn\na,"b\n', "line 2: unexpected end of data"),
        (b"uid,cn\n,b\n", "row 2: no uid"),
        (b"uid,ldap_status\na,perhaps\n", "neither active nor inactive"),
        (b"uid,cn\na,\xff\n", "not UTF-8"),
    ],
)
def test_a_dump_that_cannot_be_read_is_told(tmp_path: Path, dump: bytes, told: str) -> None:
    (tmp_path / "people").write_bytes(dump)
    assert_refused(ask("enrich", "--directory-file", "people", stdin=table(["jdoe"])), told)


@pytest.mark.parametrize("name", ["-", "none.csv", "."])
def test_a_dump_that_is_not_there_is_told(name: str) -> None:
    assert_refused(ask("enrich", "--directory-file", name, stdin=table(["jdoe"])), name)


def test_the_options_of_add_ldap_status_are_understood(on_campus: Slapd, tmp_path: Path) -> None:
    (tmp_path / "list.tsv").write_text("entry_id\tmaker\n0_a\t    jdoe\n", encoding="utf-8")
    for short in (True, False):
        names = ("-t", "-c", "-e") if short else ("--tsv", "--creatorId", "--entryId")
        given = dict(zip(names, ("list.tsv", "maker", "entry_id"), strict=True))
        ran = ask("add_ldap_status", *(word for pair in given.items() for word in pair))
        assert [row["name"] for row in ran.rows] == ["Jane Q. Doe"], ran.err
    assert_refused(ask("enrich", "-t", "list.tsv", "-c", "maker", "-e", "id"), "no column 'id'")
    assert_refused(ask("enrich", "-t", "list.tsv", "list.tsv"), "give one of them")


# ldapsearch


def test_the_options_of_puldap_are_understood(on_campus: Slapd, tmp_path: Path) -> None:
    expression = "&(uid=jdoe)(puresource=*)"  # it put parentheses around whatever came
    assert ask("ldapsearch", "-e", expression).out == "uid\njdoe\n"
    for level in (("-l", "INFO"), ("--loglevel", "WARN")):
        assert ask("puldap.py", *level, "-e", expression).out == "uid\njdoe\n"
    assert ask("ldapsearch", "--expr", expression, "ou", "mail", "--out", "found.tsv").out == ""
    assert (tmp_path / "found.tsv").read_text() == "ou\tmail\nHistory\tjdoe@example.edu\n"
    assert ask("ldapsearch", "uid=jdoe", "ou", "-o", "found.tsv").out == ""
    assert (tmp_path / "found.tsv").read_text() == "ou\nHistory\n"
    assert (tmp_path / "found.tsv").stat().st_mode & 0o777 == 0o600
    assert_refused(ask("ldapsearch", "uid=jdoe", "-o", "."), "cannot write .")
    (tmp_path / "link").symlink_to("found.tsv")
    assert_refused(ask("ldapsearch", "uid=jdoe", "-o", "link"), "cannot write link: it is a link")
    assert_refused(ask("ldapsearch", "uid=(", "-o", "none.tsv"))
    assert not (tmp_path / "none.tsv").exists()
    assert_refused(ask("ldapsearch"), "FILTER")


def test_ldapsearch_prints_the_attributes_asked_for(on_campus: Slapd) -> None:
    assert ask("ldapsearch", "uid=znunez", "OU", "displayName,mail").out.splitlines() == [
        "OU\tdisplayName\tmail",
        "History; Pretend, Studies\tZoë Núñez-Łęcki\t",
    ]
    assert (
        ask("ldapsearch", "(&(uid=*)(puresource=authentication=goingaway))").out
        == f"dn\nemployeeNumber=72726f65,{BASE}\n"
    )
    assert ask("ldapsearch", "(uid=nosuch)", "cn").out == "cn\n"


def test_ldapsearch_reads_all_pages(on_campus: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaltura_archiver.people.directory.PAGE", 100)
    assert sorted(row["uid"] for row in ask("ldapsearch", "uid=u0*", "uid").rows) == CROWD


def test_config_looks_at_the_directory_where_there_is_one(
    run: Run, on_campus: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {row["check"]: row for row in run("config").rows}
    assert rows["ldap"]["ok"] == "True"
    monkeypatch.setenv("LDAP_PWD", "wrong-one")
    ran = run("config")
    assert {row["check"]: row["ok"] for row in ran.rows}["ldap"] == "False"
    assert ran.code == 2
    assert "refused the bind" in ran.err


def test_ldapsearch_tells_when_the_server_gives_only_a_part(start: Start) -> None:
    start(PEOPLE, size_limit=20)
    ran = ask("ldapsearch", "uid=u*", "uid")
    assert ran.code == 1
    assert len(ran.rows) == 20
    assert "gave only part" in ran.err


@pytest.mark.parametrize("arguments", [["uid=("], ["(uid=a)(uid=b)"], ["uid"], ["uid=a", "cn)"], ["uid=a", "cn", "CN"]])
def test_ldapsearch_refuses_what_it_cannot_ask(on_campus: Slapd, arguments: list[str]) -> None:
    assert_refused(ask("ldapsearch", *arguments))


def test_ldapsearch_fails_when_the_server_is_down(start: Start) -> None:
    start().stop()
    ran = ask("ldapsearch", "uid=jdoe")
    assert ran.code == 1
    assert "cannot reach the directory" in ran.err


def test_an_id_that_a_spreadsheet_would_take_for_a_formula_is_read_back_from_our_csv(
    sandbox: Sandbox, run: Run
) -> None:
    Path("people.csv").write_text("uid,displayName,ou\n-joe,Joe,Lib\n")
    sandbox.add("initial", creator_id="-joe")
    listed = run("list", "--format", "csv", "--columns", "entry_id,owner_id").out
    assert "'-joe" in listed
    assert run("enrich", "--directory-file", "people.csv", stdin=listed).rows[0]["ldap_status"] == "active"

"""A repeated option: all of them count, or it is refused. None is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from conftest import Run

from kaltura_archiver.cli import cli
from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

WORDS = {"choice": None, "integer range": "7", "float range": "7", "integer": "7", "years": "7", "days": "7d"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def once_only() -> Iterator[tuple[tuple[str, ...], click.Option, str]]:
    for path, command in commands(cli):
        for param in command.params:
            if isinstance(param, click.Option) and not param.multiple and not param.is_flag:
                yield from ((path, param, spelling) for spelling in param.opts)


def value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[0])
    return WORDS.get(option.type.name) or {"duration": "7s", "part": "7"}.get(option.type.name, "7")


@pytest.mark.parametrize(
    ("path", "option", "spelling"), [pytest.param(*case, id=" ".join((*case[0], case[2]))) for case in once_only()]
)
def test_an_option_that_is_given_twice_is_refused_by_name(
    path: tuple[str, ...], option: click.Option, spelling: str
) -> None:
    given = [spelling, value(option), spelling, value(option)]
    after = ["list"] if not path else ["certificates"] if path == ("cluster",) else []
    ran = CliRunner().invoke(cli, [*path, *given, *after])
    assert ran.exit_code == 2
    assert ran.stderr.startswith(f"error: {max(option.opts, key=len)} is given 2 times: once, please (see ")
    assert ran.stdout == ""


def test_every_command_refuses(run: Run, sandbox: Sandbox) -> None:
    """Also those that get an option some day: none is made without the class that looks."""
    from kaltura_archiver.cli.command_line import OnceEach

    assert [path for path, command in commands(cli) if not isinstance(command, OnceEach)] == []


def test_of_two_words_for_one_switch_none_wins(run: Run, sandbox: Sandbox) -> None:
    sandbox.add(State.INITIAL)
    for words in (("--dry-run", "--no-dry-run"), ("--no-dry-run", "--dry-run"), ("--no-dry-run", "--no_dry_run")):
        ran = run("s3copy", "--all", *words)
        assert (ran.code, ran.err.startswith("error: --dry-run is given 2 times")) == (2, True)
    assert sandbox.s3.keys() == []
    assert run("s3copy", "--all", "--all").code == 0


def test_of_two_categories_either_will_do(run: Run, sandbox: Sandbox) -> None:
    """The old tool took the last one."""
    for number in (20, 21, 22):
        sandbox.kaltura.add_category(number, f"c{number}")
    ids = [sandbox.add(State.INITIAL, categories=(number,)) for number in (20, 21, 22)]
    sandbox.kaltura.settle()
    ran = run("list", "--category", 20, "--category", "c21")
    assert {row["entry_id"] for row in ran.rows} == set(ids[:2])
    assert run("count", "--category", 20, "--category", 21).rows[0]["count"] == "2"


def test_what_may_be_repeated_counts_each_time(run: Run, sandbox: Sandbox) -> None:
    ids = [sandbox.add(State.INITIAL, tags="a1, b1" if n else "a1") for n in range(2)]
    assert {row["entry_id"] for row in run("list", "--id", ids[0], "--id", ids[1]).rows} == set(ids)
    assert [row["entry_id"] for row in run("list", "--tag", "a1", "--tag", "b1").rows] == [ids[1]]
    assert len(run("list", "--status", 2, "--status", 1).rows) == 2

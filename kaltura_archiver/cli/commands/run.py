"""kaltura-archiver run"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from kaltura_archiver.asking.words import ENTRY_ID
from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import (
    bandwidth_option,
    dry_run_option,
    format_option,
    no_lock_option,
    placeholder_map_option,
    run_log_option,
    tolerate_option,
    workers_option,
)
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.errors import ConfigError, SelectionError

# What of a policy a run carries out.
PARTS = ("all", "rules", "restore")


@command("run")
@click.argument("file", default="policy.toml", type=PATH, metavar="[POLICY]")
@click.option(
    "--check", "checks", is_flag=True, help="Only count: who is in which stage, what is due, which rules overlap."
)
@click.option("--explain", "entry_id", metavar="ID", help="Only tell where this entry stands, and why.")
@click.option("--on", "day", metavar="DAY", help="With --check or --explain: as of that day (2027-01-01).")
@click.option(
    "--rule", "only", multiple=True, metavar="NAME", help="Only by this rule; the others still come before it."
)
@click.option(
    "--accept-drift", "accepted_drift", multiple=True, metavar="NAME",
    help="Carry out this rule, though it selects far more than last time.",
)  # fmt: skip
@click.option(
    "--notices", default="notices", show_default=True, type=PATH, metavar="DIR",
    help="Folder of the record of messages to owners.",
)  # fmt: skip
@click.option(
    "--part", type=click.Choice(PARTS), default=PARTS[0], show_default=True,
    help="Carry out the rules only, or the restores only, as tasks with rights of their own do.",
)  # fmt: skip
@click.option(
    "--lists", default="lists", show_default=True, type=PATH, metavar="DIR",
    help="Folder for plans to be reviewed, and for lists of what is due.",
)  # fmt: skip
@dry_run_option
@workers_option
@no_lock_option
@run_log_option
@bandwidth_option
@tolerate_option
@placeholder_map_option
@format_option
@pass_app
def run(
    app: App, /, file: str, checks: bool, entry_id: str | None, day: str | None, only: tuple[str, ...],
    accepted_drift: tuple[str, ...], part: str, lists: str, notices: str, dry_run: bool, workers: int, no_lock: bool,
    no_run_log: bool, style: str,
) -> None:  # fmt: skip
    """Carry out a policy file: named rules, each with the videos that it is for, and stages (archive, thin, replace,
    due) with clocks of their own.

    First what people ask for is brought back, by the table `restore`. Then rule by rule and stage by stage what is due
    is done; a video is the first rule's that selects it. Everything is looked at once more before it is acted on.
    Owners are written to where a rule has a notice. `s3:KEY` is a policy in the bucket. docs/policy.md has the keys;
    examples/policies, nine universities' rules.

    \b
    Examples:
      kaltura-archiver run --check
      kaltura-archiver run --check --on 2027-01-01
      kaltura-archiver run --explain 0_abc12345
      kaltura-archiver run policy.toml --no-dry-run
    """
    from kaltura_archiver.cli.policies import Acting, PolicyRun, act, check
    from kaltura_archiver.cli.policy_explain import tell_of_entry
    from kaltura_archiver.cli.policy_file import read_policy
    from kaltura_archiver.cli.policy_lists import checked_folder
    from kaltura_archiver.cli.policy_text import text_in_bucket

    looks = checks or entry_id is not None
    if checks and entry_id is not None:
        raise click.UsageError("--check is of all entries, --explain of one: say one of them")
    if looks and not dry_run:
        raise click.UsageError("--check and --explain change nothing: leave out --no-dry-run")
    if day is not None and not looks:
        raise click.UsageError("--on is for --check and --explain: nothing is done on another day than today")
    if entry_id is not None and not ENTRY_ID.fullmatch(entry_id):
        raise SelectionError(f"{entry_id[:40]!r} is not an entry id")
    now = _noon(day) if day is not None else time.time()
    in_bucket = partial(text_in_bucket, app.store)
    policy = read_policy(file, app.settings, now, in_bucket, keeps=looks or part != "restore")
    desk = policy.desk.sources.values() if policy.desk else ()
    if any(query.shard for query in (*(rule.query for rule in policy.rules), *desk)):
        raise ConfigError("a policy is carried out by one task, not by the shares of an array job: start it by itself")
    _require_rules((*only, *accepted_drift), [rule.name for rule in policy.rules])
    asked = PolicyRun(app, policy, now, style, workers, only, checked=part != "restore")
    if entry_id is not None:
        tell_of_entry(asked, entry_id)
    if checks:
        check(asked, part, accepted_drift)
    folders = checked_folder(lists), Path(notices)
    act(Acting(asked, dry_run, no_lock, no_run_log, accepted_drift, *folders, part))


def _noon(day: str) -> float:
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(hour=12, tzinfo=UTC).timestamp()
    except ValueError:
        raise click.UsageError(f"--on: {day!r} is no day such as 2027-01-01") from None


def _require_rules(asked: Sequence[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            raise SelectionError(f"there is no rule {name!r}; there are {', '.join(known)}")

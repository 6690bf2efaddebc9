"""What a run by a policy writes for people: plans to be reviewed, and lists of what is due."""

from __future__ import annotations

import errno
import io
import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from kaltura_archiver import exits
from kaltura_archiver.cli.app import App
from kaltura_archiver.cli.plans import account_of, lines_written_at_once
from kaltura_archiver.cli.telling import applying_line
from kaltura_archiver.errors import Exit, OutputError
from kaltura_archiver.model import Facts, iso_date
from kaltura_archiver.output.files import failure, write
from kaltura_archiver.output.screen import RowWriter
from kaltura_archiver.output.tables import Cell, Rows
from kaltura_archiver.policy import Rule, Stage, StageRule
from kaltura_archiver.run.due_list import COLUMNS, GONE_COLUMNS, due_row, folder_of, gone_since, last_list, remember
from kaltura_archiver.standing import Standing

if TYPE_CHECKING:
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.review.planfile import Writer
    from kaltura_archiver.store import Store

log = logging.getLogger(__name__)


@dataclass
class ForReview:
    """The plan of one stage, being written; its file is there when the survey is over, if there is anything to do."""

    path: Path
    writer: Writer
    body: TextIO
    entries: int = 0

    def add(self, facts: Facts, at: Standing) -> None:
        if at.plan is not None:
            for member, plan in (*at.streams, (facts, at.plan)):
                self.body.write(f"{self.writer.entry(member, plan)}\n")
            self.entries += 1


@dataclass
class Lists:
    """What one rule has for people. `folder` is where files go; a dry run only tells."""

    app: App
    rule: Rule
    rows: RowWriter
    folder: Path
    now: float
    dry_run: bool
    served: Callable[[str], bool] = lambda entry_id: False  # whether this run has just brought it back
    reviews: dict[Stage, ForReview] = field(default_factory=dict)
    due: list[dict[str, Cell]] = field(default_factory=list)
    codes: set[Exit] = field(default_factory=set)
    pending: set[Stage] = field(default_factory=set)  # of which a person has an earlier plan before them
    dropped: bool = False  # the rule is not carried out: nothing is to be reviewed

    def see(self, facts: Facts, at: Standing) -> None:
        """Take up what a survey has found of one entry."""
        if at.due is Stage.DUE and not self.served(facts.entry.id):
            self.due.append({**due_row(self.rule, facts, [stream for stream, _ in at.streams])})
        elif at.due in self.reviews:
            self.reviews[at.due].add(facts, at)
        elif at.waits_for and at.plan and exits.of_outcomes([at.plan.outcome]) - {Exit.OK}:
            self.rows.write({  # its day has come, and something is in the way
                "rule": self.rule.name, "stage": at.waits_for.value, "entry_id": facts.entry.id,
                "name": facts.entry.name or None, "state": at.plan.state.value, "outcome": at.plan.outcome.value,
                "bytes_moved": 0, "bytes_freed": 0, "detail": at.why,
            })  # fmt: skip

    @contextmanager
    def writing(self, kaltura: Kaltura, placeholders: Placeholders) -> Iterator[Lists]:
        """Within it plans are written; after it they are in their files."""
        with ExitStack() as stack:
            for made in self.rule.stages:
                if made.review and self._pending(made):
                    self.pending.add(made.stage)
                elif made.review and not self.dry_run:
                    stack.enter_context(self._review(made, kaltura, placeholders))
            yield self

    def path_of(self, made: StageRule) -> Path:
        return self.folder / f"{folder_of(self.rule.name)}-{made.stage}.jsonl"

    def _pending(self, made: StageRule) -> bool:
        """Whether a person has an earlier plan of this stage before them."""
        path = self.path_of(made)
        if not path.exists():
            return False
        log.warning(
            "%s, %s: the plan %s waits for its review; to act: %s; then remove it, and the next run writes another",
            self.rule.name, made.stage, path, applying_line(self.app, str(path)),
        )  # fmt: skip
        self.codes.add(Exit.WAITING)
        return True

    @contextmanager
    def _review(self, made: StageRule, kaltura: Kaltura, placeholders: Placeholders) -> Iterator[None]:
        from kaltura_archiver.review.planfile import Writer, terms_of
        from kaltura_archiver.selection import with_numbers

        command = made.stage.command
        if command is None:
            raise AssertionError("there is nothing to review about a list")
        options = self.rule.options(made, self.now, dry_run=True)
        since = options.plays.unplayed_since  # the stage's own clock, or the rule's
        query = replace(with_numbers(kaltura, self.rule.query), unplayed_since=since)
        writer = Writer(
            terms_of(command, options, query, account_of(self.app, command, placeholders)), options, self.app.prices()
        )
        path = self.path_of(made)
        if not made_folder(path.parent):
            raise OutputError(f"the plan for review, {path}, cannot be written: nothing can be here")
        with lines_written_at_once(str(path), force=False) as (body, finish):
            review = self.reviews[made.stage] = ForReview(path, writer, body)
            yield
            if not review.entries or self.dropped:
                return
            finish(writer.first(), writer.last())
        log.info("%s, %s: %s", self.rule.name, made.stage, writer.told(people=False))
        log.info("plan show %s shows it; to act: %s", shlex.quote(str(path)), applying_line(self.app, str(path)))
        self.codes.add(Exit.WAITING)

    def write_due(self, kaltura: Kaltura, store: Store, run: str, policy_sha256: str) -> None:
        """The list of what is due, as a table and as a page; and what is gone since the last one."""
        if not any(made.stage is Stage.DUE for made in self.rule.stages):
            return
        before = last_list(store, self.rule.name)
        gone = gone_since(kaltura, before) if before else []
        if self.due or gone:
            log.info("%s, due: %d entries; %d of the last list are gone", self.rule.name, len(self.due), len(gone))
        if unproven := sum(not row["evidence"] for row in self.due):
            log.warning(
                "%s, due: %d have no proven copy in the bucket: deleted, they are gone for good",
                self.rule.name,
                unproven,
            )
        if self.dry_run or not (self.due or gone):
            return
        day = iso_date(int(self.now))
        name = f"{folder_of(self.rule.name)}-due-{day}"
        csv = _csv(COLUMNS, self.due)
        ids = [str(row["entry_id"]) for row in self.due]
        if not made_folder(self.folder):
            where = remember(store, self.rule.name, run, self.now, policy_sha256, ids, csv, gone, keep_csv=True)
            if not where:
                raise OutputError(f"{self.rule.name}, due: the list cannot be written here", exit_code=Exit.FAILED)
            log.info("%s, due: nothing can be written here; the list is in the bucket: %s", self.rule.name, where)
            return
        write(self.folder / f"{name}.csv", csv)
        if gone and before:
            told = [{"rule": self.rule.name, "entry_id": i, "listed_at": before.at, "gone_by": day} for i in gone]
            write(self.folder / f"{folder_of(self.rule.name)}-gone-{day}.csv", _csv(GONE_COLUMNS, told))
        self._write_page(self.folder / f"{name}.html", day, run, gone)
        remember(store, self.rule.name, run, self.now, policy_sha256, ids, csv, gone)
        log.info("%s, due: written to %s", self.rule.name, self.folder / f"{name}.csv")

    def _write_page(self, path: Path, day: str, run: str, gone: list[str]) -> None:
        try:
            from kaltura_archiver.review.due_page import make_due_page
        except ImportError:
            log.info("no page of what is due: that takes the extra `report`")
            return
        write(path, make_due_page(self.rule.name, day, run, self.due, gone).encode())


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Cell]]) -> bytes:
    text = io.StringIO()
    with Rows(columns, "csv", text) as table:
        for row in rows:
            table.write(row)
    return text.getvalue().encode()


def made_folder(folder: Path) -> bool:
    """Make it; False where nothing can be written, as in the image's container. Raises OutputError for all else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.EROFS:
            return False
        raise failure(folder, error) from error
    return True


def checked_folder(path: str) -> Path:
    """Where lists and plans go. Raises OutputError for what is no folder."""
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{path} is no folder: name another one with --lists")
    return folder

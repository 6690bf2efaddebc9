"""The click group: options in, one call per command, exit code out. Heavy libraries are imported by the commands."""

from __future__ import annotations

import errno
import gc
import io
import logging
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, takewhile
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar, cast

import click

from kaltura_archiver import __version__
from kaltura_archiver.bandwidth import Bandwidth, Timetable
from kaltura_archiver.command_line import ListCommand, OnceEach, SelectingCommand, dashed
from kaltura_archiver.config import Settings, batch_shard, check_placeholder, read_settings
from kaltura_archiver.envfile import read_text
from kaltura_archiver.errors import (
    TOLERABLE,
    ArchiverError,
    ConfigError,
    Exit,
    Locked,
    SelectionError,
    Stopped,
    StoreError,
    worst,
)
from kaltura_archiver.filters import DEFAULT_MAX_ENTRIES, Query, parse_statuses, years_ago
from kaltura_archiver.keep import Keep, checked_owner, checked_owners, owner_rules
from kaltura_archiver.model import MediaType, Outcome, same_id
from kaltura_archiver.old_names import in_new_words, is_program, line_instead
from kaltura_archiver.plans import Command, Options
from kaltura_archiver.progress import bytes_progress, progress
from kaltura_archiver.redact import hide, one_line, redact
from kaltura_archiver.report import (
    COLUMNS_OF_TAGS,
    COUNT_COLUMNS,
    DOWNLOAD_COLUMNS,
    FLAVOR_COLUMNS,
    FORMATS,
    HEALTH_COLUMNS,
    LIST_COLUMNS,
    MORE_FLAVOR_COLUMNS,
    MORE_HEALTH_COLUMNS,
    MORE_LIST_COLUMNS,
    OLD_HEALTH_COLUMNS,
    OLD_LIST_COLUMNS,
    RESULT_COLUMNS,
    TASK_COLUMNS,
    Rows,
    Totals,
    exit_of_health,
    exits_of,
    flavor_row,
    health_message,
    health_row,
    list_row,
    logs_json,
    mark_lines,
    metrics,
    readable,
    result_row,
    set_up_logging,
)

if TYPE_CHECKING:
    from kaltura_archiver.apply import Result, Review, Runner
    from kaltura_archiver.cluster import Fleet
    from kaltura_archiver.kaltura import Kaltura
    from kaltura_archiver.lock import RunLock
    from kaltura_archiver.prices import Prices
    from kaltura_archiver.runlog import RunLog
    from kaltura_archiver.selection import Ids, Selection
    from kaltura_archiver.store import Store

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])

# Old names, and those that people try.
ALIASES = {"doctor": "config", "restore-from-s3": "restore", "add-ldap-status": "enrich"}
STORAGE_CLASSES = (
    "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE",
)  # fmt: skip
MAX_TAG_BYTES = 100  # Kaltura cuts longer ones (kaltura-api 6)
MAX_PAGE_SIZE = 500  # of a search (kaltura-api 3.4)
ENTRY_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
NO_TERMINAL = (
    "the AWS profile asks for the code of an MFA device, and there is no terminal to type it in: get temporary "
    "credentials first (aws sts get-session-token), or use a profile without MFA"
)


class Archiver(OnceEach, click.Group):
    """A group whose commands and options may be written with - or _, and whose errors are one line each."""

    command_class = OnceEach

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register a command; of what it calls a file or a folder, shells complete the names."""
        for param in cmd.params:
            if param.type is click.STRING and re.fullmatch(r"\[?(FILE|DIR|DUMP|PLAN)\]?", param.metavar or ""):
                param.type = click.Path(readable=False)
        super().add_command(cmd, name)

    def as_options(self, args: list[str]) -> list[str]:
        return in_new_words(args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        wanted = ALIASES.get(dashed(cmd_name), dashed(cmd_name))
        return next((c for name, c in self.commands.items() if dashed(name) == wanted), None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.parent and (line := line_instead(args)):
            raise click.UsageError(f"{args[0]} is now: {line}", ctx)
        # The name as registered, so that usage lines do not depend on the spelling.
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command else None, command, rest

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)  # which prints --help and --version
        except BrokenPipeError as error:
            _discard_stdout()
            raise click.exceptions.Exit(Exit.OK) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader has gone; nobody wants to hear more. click itself would end with 1.
            _discard_stdout()
            return Exit.OK
        except EOFError as error:
            # boto3 asks for the code of an MFA device, and nothing else asks here. click would call it interrupted.
            raise ConfigError(NO_TERMINAL) from error

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and end the process with the documented exit code; never with a traceback."""
        run: Any = super().main
        if not kwargs.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **kwargs)
        set_up_logging("INFO", "text")  # until the options are known
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, ValueError):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        try:
            code = run(*args, standalone_mode=False, **kwargs)
            sys.stdout.flush()
        except click.exceptions.Exit as ended:
            code = ended.exit_code
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.ClickException as error:
            where = getattr(getattr(error, "ctx", None), "command_path", "") or "kaltura-archiver"
            code = _complain(f"{error.format_message()} (see {where} --help)", error.exit_code)
        except BrokenPipeError:
            # The reader has gone; nobody wants to hear more.
            _discard_stdout()
            code = Exit.OK
        except (KeyboardInterrupt, click.Abort):
            code = _complain("interrupted", Exit.INTERRUPTED)
        except Stopped:
            code = Exit.INTERRUPTED
        except ArchiverError as error:
            code = _complain(str(error), error.exit_code)
        except OSError as error:
            # Whatever else can fail so is told in words of its own: what is left is stdout.
            log.debug("unexpected", exc_info=True)
            _discard_stdout()
            where = error.filename or "to stdout"
            code = _complain(f"cannot write {where}: {error.strerror or error}", Exit.FAILED)
        except Exception as error:
            log.debug("unexpected", exc_info=True)
            code = _complain(f"unexpected {type(error).__name__}: {error}; run with --log-level DEBUG", Exit.FAILED)
        sys.exit(int(code or 0))


def _discard_stdout() -> None:
    """Send what is still to be written nowhere; Python would complain again when it closes stdout."""
    if isinstance(sys.stdout, _Closed):
        sys.stdout.silent = True
        return
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class PatientStdout:
    """Stdout of a run that changes something: when who reads the rows has gone, or the disk is full, the work goes on.

    `failure` is set where rows were lost that somebody wanted.
    """

    failure: OSError | None = None

    def _trying(self, attempt: Callable[[], object]) -> None:
        try:
            attempt()
        except BrokenPipeError:
            _discard_stdout()
        except OSError as error:
            self.failure = error
            log.error("rows cannot be written to stdout: %s; the work goes on without them", error.strerror or error)
            _discard_stdout()

    def write(self, text: str) -> None:
        self._trying(lambda: sys.stdout.write(text))

    def flush(self) -> None:
        self._trying(sys.stdout.flush)


class _Closed(io.TextIOBase):
    """Stands for stdout where there is none (`>&-`): whoever writes to it is told."""

    encoding = "utf-8"
    silent = False

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError("text, not bytes")  # click tries what it may write
        if text and not self.silent:
            raise OSError(errno.EBADF, "it is closed")
        return len(text)

    @property
    def buffer(self) -> Any:
        return _ClosedBytes()


class _ClosedBytes(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        raise OSError(errno.EBADF, "it is closed")


def _occupy_closed_streams() -> None:
    """Where a shell has closed stdin, stdout or stderr, have nothing else take its place: the next file that is opened
    would be stdout to everybody."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # takes the lowest that is free
        if getattr(sys, name) is None:
            stream = _Closed() if name == "stdout" else open(os.devnull, "w" if name == "stderr" else "r")  # noqa: SIM115
            setattr(sys, name, stream)


def _complain(text: str, code: int) -> int:
    line = one_line(redact(" ".join(text.split())))
    if logs_json():
        log.error("%s", line)
    else:
        click.echo(f"error: {line}", err=True)
    return code


class Stop(threading.Event):
    """Whether a run is asked to end. A signal handler says so by `asked`, without any lock; whoever waits is woken by
    `set` a moment later.
    """

    asked = False

    def is_set(self) -> bool:
        return self.asked or super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set() or super().wait(timeout)


class Ended(click.exceptions.Exit):
    """The end of a command with the status `told`; the log of its run keeps what it would be without --tolerate."""

    def __init__(self, code: Exit, told: Exit) -> None:
        super().__init__(int(told))
        self.untolerated = code


@dataclass
class App:
    """What the commands share: the settings, read when first needed, and the way to stop."""

    env_file: str | None
    stop: Stop = field(default_factory=Stop)
    signal: int = 0
    bandwidth: Bandwidth = field(init=False)
    calls: AbstractContextManager[object] | None = None  # entered for the time of each call to Kaltura
    tolerated: frozenset[Exit] = frozenset()  # see --tolerate
    _settings: Settings | None = None

    def __post_init__(self) -> None:
        self.bandwidth = Bandwidth(Timetable("off"), self.stop)

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = read_settings(self.env_file)
        return self._settings

    def kaltura(self, *, read_only: bool = True) -> Kaltura:
        from kaltura_archiver.kaltura import Kaltura

        if not gc.get_freeze_count():
            gc.freeze()  # what was imported stays: the collector need not look at it again and again
        if read_only:
            # A thread that fetches a page waits 5 ms, Python's default, each time it wants the lock back from the one
            # that writes rows. Transfers are better off with that: they have threads enough.
            sys.setswitchinterval(0.0001)
        self.settings.need_kaltura()
        kaltura = Kaltura(
            self.settings, read_only=read_only, stop=self.stop, bandwidth=self.bandwidth, calls=self.calls
        )
        kaltura.sign_in()
        return kaltura

    def store(self, *, read_only: bool = True, check: bool = True) -> Store:
        from kaltura_archiver.store import Store

        self.settings.need_bucket()
        store = Store(self.settings, read_only=read_only, stop=self.stop, bandwidth=self.bandwidth)
        if check:
            store.check_bucket()
        return store

    def prices(self, kaltura_price: float | None = None, price_table: Path | None = None) -> Prices:
        """The prices of these options, or else of the settings; an old table is warned of."""
        from kaltura_archiver.prices import Prices

        kaltura_price = self.settings.kaltura_price if kaltura_price is None else kaltura_price
        prices = Prices.load(kaltura_price, price_table or self.settings.price_table)
        if prices.stale:
            log.warning("the prices are of %s: look for newer ones (--price-table, PRICE_TABLE)", prices.as_of)
        return prices

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP ask the run to end after the entry in hand; a second SIGINT ends it at once."""
        asked: SimpleQueue[bool] = SimpleQueue()

        def stop(number: int, frame: object) -> None:
            # No lock is taken here: the main thread may hold that of the event, and would wait for itself for ever.
            if self.signal and number == signal.SIGINT:
                _end_at_once(number, frame)
            self.signal = number
            self.stop.asked = True
            asked.put(True)

        def heed() -> None:
            while asked.get():
                self.stop.set()

        numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            numbers.remove(signal.SIGHUP)  # as nohup wants it
        before = {number: signal.signal(number, stop) for number in numbers}
        threading.Thread(target=heed, name="signals", daemon=True).start()
        try:
            with self.exit_when_stopped():
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            asked.put(False)

    @contextmanager
    def exit_when_stopped(self) -> Iterator[None]:
        """Within it, what was asked to stop ends the program with the signal's exit code."""
        try:
            yield
        except Stopped:
            self.exit(Exit.INTERRUPTED)

    def exit(self, *codes: Exit, tolerant: bool = True) -> NoReturn:
        """End with the worst of these, less what --tolerate names; a signal has the last word.

        Not `tolerant`: it is the run that failed, and not its entries.
        """
        if self.signal:
            codes = (Exit.INTERRUPTED if self.signal == signal.SIGINT else Exit.TERMINATED,)
        raise Ended(worst(codes), worst(set(codes) - self.tolerated) if tolerant else worst(codes))


def _end_at_once(number: int, frame: object) -> NoReturn:
    """End here and now, as a kill would: every step leaves a state from which the same command goes on."""
    with suppress(OSError):
        os.write(2, b"error: interrupted\n")
    os._exit(Exit.INTERRUPTED)


def _heed_second_interrupt() -> None:
    """Have the second Ctrl-C end the process at once, whatever it waits for; the first one is Python's."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # ignored in the background

    def first(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, _end_at_once)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)


pass_app = click.make_pass_decorator(App)


@click.group(cls=Archiver, context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": dashed})
@click.version_option(__version__, prog_name="kaltura-archiver")
@click.option(
    "--env-file",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Read settings from FILE instead of .env in this directory.",
)
@click.option(
    "--log-level",
    "--loglevel",
    "-l",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "WARN", "ERROR"], case_sensitive=False),
    metavar="LEVEL",
    help="How much to tell on stderr: DEBUG, INFO, WARNING or ERROR.",
)
@click.option(
    "--log-format", default="text", show_default=True, type=click.Choice(["text", "json"]), help="Form of log lines."
)
@click.pass_context
def cli(ctx: click.Context, env_file: str | None, log_level: str, log_format: str) -> None:
    """Move the originals of rarely played Kaltura videos to your own S3 bucket, and back when somebody plays them.

    Commands and options may be written with - or _. Commands that change something are dry runs unless told
    --no-dry-run. Data goes to stdout, everything else to stderr.

    \b
    Exit codes: 0 nothing left to do; 1 an entry failed, or health found a broken one; 2 usage or configuration;
    3 entries wait for Glacier, a conversion or a person; 4 stopped by a safety limit; 5 another run holds the lock;
    130/143 interrupted/terminated.
    """
    set_up_logging(log_level.upper(), log_format)
    ctx.obj = App(env_file)


# Options that commands share


class Years(click.ParamType[float]):
    """A number of years, fractions allowed."""

    name = "years"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            years = float(value)
        except ValueError:
            years = math.nan
        if not 0 <= years <= 1000:  # also refuses nan
            self.fail(f"{value!r} is not a number of years (0 or more)", param, ctx)
        return years


class Duration(click.ParamType[float]):
    """Seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if not match:
            self.fail(f"{value!r} is not a duration such as 90s, 30m or 2h", param, ctx)
        return float(match.group(1)) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match.group(2)]


class Days(Duration):
    """A number of days, as seconds; the unit has to be said, for a bare number would mean seconds elsewhere."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not re.fullmatch(r"[1-9]\d{0,3}d", str(value)):
            self.fail(f"{value!r} is not a number of days such as 30d", param, ctx)
        return super().convert(value, param, ctx)


def _page_size(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value > MAX_PAGE_SIZE:
        log.warning("--page-size %d: Kaltura gives %d at most; that many are asked for", value, MAX_PAGE_SIZE)
    return min(value or MAX_PAGE_SIZE, MAX_PAGE_SIZE)


_SELECTION = (
    click.option("--id", "-i", "ids", multiple=True, metavar="ID", help="This entry; may be repeated."),
    click.option("--idfile", "-I", metavar="FILE", help="The entries listed in FILE, one id per line; - is stdin."),
    click.option("--tag", "-t", "tags", multiple=True, metavar="TAG", help="Has the tag TAG; '!TAG': has it not."),
    click.option("--exclude-tag", "without_tags", multiple=True, metavar="TAG", help="Has not the tag TAG."),
    click.option("--category", "-c", type=click.IntRange(1), metavar="ID", help="In this category or below it."),
    click.option(
        "--exclude-category", "without_categories", multiple=True, type=click.IntRange(1), metavar="ID",
        help="Not in this category or below it.",
    ),
    click.option("--plays", type=click.IntRange(0), metavar="N", help="Played fewer than N times; 0: never played."),
    click.option("--never-played", is_flag=True, help="Never played."),
    click.option("--status", "statuses", multiple=True, metavar="S", help="Entry statuses, repeated or 2,-1 [all]."),
    click.option(
        "--media-type", "-m", default="video", show_default=True, type=click.Choice(["video", "audio", "image"]),
        help="Kind of media.",
    ),
    click.option("--created-within", type=Years(), metavar="Y", help="Created in the last Y years."),
    click.option("--created-before", type=Years(), metavar="Y", help="Created more than Y years ago."),
    click.option("--played-within", "-p", type=Years(), metavar="Y", help="Last played within Y years."),
    click.option(
        "--unplayed-for", "-u", type=Years(), metavar="Y",
        help="Created more than Y years ago and not played since then.",
    ),
    click.option("--first-page", "-f", type=click.IntRange(1), default=1, metavar="N", help="Begin at the Nth page."),
    click.option(
        "--page-size", "-s", type=click.IntRange(0), default=MAX_PAGE_SIZE, show_default=True, metavar="N",
        callback=_page_size, help=f"Entries per page, at most {MAX_PAGE_SIZE}.",
    ),
    click.option(
        "--max-entries", "-M", type=int, default=DEFAULT_MAX_ENTRIES, show_default=True, metavar="N",
        help="At most N entries; -1: no limit.",
    ),
    click.option(
        "--shard", metavar="I/N",
        help="Only the I-th of N shares, 0/N to N-1/N [in an AWS Batch array job: the job's own].",
    ),
)  # fmt: skip


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator of several."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def selection_options(function: F) -> F:
    """The criteria that select entries, gathered into one `query`."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        names = (
            "ids", "idfile", "tags", "without_tags", "category", "without_categories", "plays", "never_played",
            "statuses", "media_type", "created_within", "created_before", "played_within", "unplayed_for",
            "first_page", "page_size", "max_entries", "shard",
        )  # fmt: skip
        criteria = {name: kwargs.pop(name) for name in names}
        return function(*args, query=make_query(time.time(), **criteria), **kwargs)

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return _options(*_SELECTION, tolerate_option)(cast(F, wrapper))


def format_option(function: F) -> F:
    return click.option(
        "--format", "style", default="tsv", show_default=True, type=click.Choice(FORMATS), help="Form of the rows."
    )(function)


def price_options(function: F) -> F:
    """The options `kaltura_price` and `price_table`, for App.prices."""
    return _options(
        click.option(
            "--kaltura-price", type=click.FloatRange(0), metavar="P",
            help="What Kaltura asks for a GB and month [KALTURA_PRICE].",
        ),
        click.option(
            "--price-table", type=click.Path(path_type=Path), metavar="FILE",
            help="Prices of your own [PRICE_TABLE, or AWS's in us-east-1].",
        ),
    )(function)  # fmt: skip


def columns_option(function: F) -> F:
    return click.option("--columns", metavar="A,B,…", help="Only these; a wrong name lists all.")(function)


legacy_option = click.option("--legacy-columns", "legacy", is_flag=True, help="Rows as kaltura_aws.py printed them.")


def _columns(asked: str | None, default: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    if asked is None:
        return default
    if click.get_current_context().params.get("legacy"):
        raise click.UsageError("--legacy-columns are all of them: leave out --columns", click.get_current_context())
    columns = tuple(name.strip() for name in asked.split(","))
    unknown = [name for name in columns if name not in default + more]
    if unknown:
        known = ", ".join(default + more)
        raise click.UsageError(f"no column {unknown[0]!r}; there are {known}", click.get_current_context())
    return columns


def _limit(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        app = ctx.ensure_object(App)
        try:
            app.bandwidth = Bandwidth(Timetable(value), app.stop)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error


def _map(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        app = ctx.ensure_object(App)
        app._settings = replace(app.settings, placeholder_map=value)


placeholder_map_option = click.option(
    "--placeholder-map", metavar="FILE", expose_value=False, callback=_map,
    help="Other placeholders by category or language [PLACEHOLDER_MAP].",
)  # fmt: skip


def _tolerate(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    known = {str(int(code)): code for code in TOLERABLE}
    words = [word.strip() for word in value.split(",")]
    for word in words:
        if word not in known:
            raise click.BadParameter(
                f"{word!r} is none of 1, 3 and 4, which tell how entries ended; with any other status the command "
                "itself was not done, and nothing should go on as if it were", ctx, param,
            )  # fmt: skip
    ctx.ensure_object(App).tolerated = frozenset(known[word] for word in words)


tolerate_option = click.option(
    "--tolerate", metavar="N,…", expose_value=False, callback=_tolerate,
    help="End with 0 instead of these exit codes, of 1, 3 and 4.",
)  # fmt: skip
bandwidth_option = click.option(
    "--bandwidth", metavar="RATE", expose_value=False, callback=_limit,
    help="Move at most RATE bytes a second, all workers together: 50M, or by local time '08:00,50M 19:00,off'.",
)  # fmt: skip


dry_run_option = click.option(
    "--dry-run/--no-dry-run", default=True, show_default=True, help="Only tell what would be done."
)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 64), default=4, show_default=True, metavar="N",
    help="Entries worked on at a time.",
)  # fmt: skip
lookers_option = click.option(
    "--workers", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N",
    help="Copies looked at at a time.",
)  # fmt: skip
all_option = click.option("--all", "everything", is_flag=True, help="Allow a selection without any criterion.")
no_lock_option = click.option("--no-lock", is_flag=True, help="Run beside another run of this command.")
cluster_options = _options(
    click.option(
        "--cluster", metavar="WHERE",
        help="Share the work among processes or machines: local:N, fargate:N, or the address of a scheduler.",
    ),
    click.option(
        "--cluster-tls", metavar="DIR",
        help="Folder of the certificates of a scheduler's fleet [CLUSTER_TLS].",
    ),
    click.option(
        "--max-calls", type=click.IntRange(1), default=64, show_default=True, metavar="N",
        help="With --cluster: calls to Kaltura at a time, all workers together.",
    ),
    click.option(
        "--max-transfers", type=click.IntRange(1), default=64, show_default=True, metavar="N",
        help="With --cluster: videos on their way at a time, all workers together.",
    ),
)  # fmt: skip
run_log_option = click.option("--no-run-log", is_flag=True, help="Leave no log of this run in the bucket.")


def acting_options(old_flag: str) -> Callable[[F], F]:
    """What every command that changes something takes; `old_flag` is the old tool's word for --no-dry-run."""

    return _options(
        dry_run_option,
        click.option(old_flag, "acting", is_flag=True, help="Old name of --no-dry-run."),
        all_option,
        workers_option,
        cluster_options,
        no_lock_option,
        run_log_option,
        bandwidth_option,
        click.option("--tmp", metavar="DIR", hidden=True, help="Accepted for old scripts: no files are written."),
        click.option("--wait-ready", "-w", is_flag=True, hidden=True, help="Accepted for old scripts: always waits."),
        format_option,
    )  # fmt: skip


_SWAP = (
    click.option(
        "--timeout", "timeout_seconds", type=Duration(), default="2h", show_default=True, metavar="TIME",
        help="Longest wait for one conversion.",
    ),
    click.option(
        "--max-converting", type=click.IntRange(1, 1000), default=50, show_default=True, metavar="N",
        help="Entries that Kaltura may be converting at a time, beside the workers' own.",
    ),
    click.option("--approve", is_flag=True, help="Approve replacements where the account asks for approval."),
    click.option(
        "--allow-in-place", is_flag=True,
        help="Where the account cannot replace content: delete it and add the new, leaving a gap.",
    ),
)  # fmt: skip
_THAW = (
    click.option(
        "--tier", type=click.Choice(["bulk", "standard", "expedited"]), default="bulk", show_default=True,
        help="How fast, and how dear, Glacier thaws.",
    ),
    click.option(
        "--days", type=click.IntRange(1, 365), default=7, show_default=True, metavar="N",
        help="How long the thawed copy stays readable.",
    ),
    click.option(
        "--via", type=click.Choice(["upload", "url"]), default="upload", show_default=True,
        help="upload: through us, verified by SHA-256; url: Kaltura fetches it from S3, verified by size.",
    ),
)  # fmt: skip
min_age_option = click.option(
    "--min-age-years", type=Years(), metavar="Y",
    help="Leave entries alone that were created less than Y years ago [3; with --created-before or --unplayed-for: "
    "what these say].",
)  # fmt: skip
noticed_option = click.option(
    "--noticed-before", "noticed_before_seconds", type=Days(), metavar="TIME",
    help="Only entries whose owner was told so long ago (30d), and that were not played since; see notify.",
)  # fmt: skip
_COPY = (
    click.option(
        "--storage-class", type=click.Choice(STORAGE_CLASSES, case_sensitive=False), default="STANDARD",
        show_default=True, metavar="CLASS", help=f"Storage class of new objects: {', '.join(STORAGE_CLASSES)}.",
    ),
    click.option(
        "--accept-size-match", is_flag=True,
        help="Take an old object for the original where only the sizes can be compared.",
    ),
)  # fmt: skip


keep_options = _options(
    click.option(
        "--keep-tag", "keep_tags", multiple=True, metavar="TAG",
        help="Leave alone what has this tag, too; beside KEEP_TAGS [keep].",
    ),
    click.option(
        "--keep-category", "keep_categories", multiple=True, type=click.IntRange(1), metavar="ID",
        help="And what is in this category or below it; beside KEEP_CATEGORIES.",
    ),
    click.option(
        "--keep-owner", "keep_owners", multiple=True, metavar="USER|@FILE",
        help="And what this user owns, or those in FILE, one per line; beside KEEP_OWNERS.",
    ),
)  # fmt: skip


def keep_list(
    settings: Settings, tags: Sequence[str] = (), categories: Sequence[int] = (), owners: Sequence[str] = ()
) -> Keep:
    """What the environment keeps, and these: an option adds a rule, none takes one away. Raises ConfigError."""

    def said(text: str, name: str) -> list[str]:
        words = list(filter(None, (part.strip() for part in text.split(","))))
        if text and not words:
            raise ConfigError(f"{name} is {text[:40]!r}: that names nothing")
        return words

    numbers = said(settings.keep_categories, "KEEP_CATEGORIES")
    wrong = [word for word in numbers if not re.fullmatch(r"[1-9][0-9]{0,18}", word)]
    if wrong:
        raise ConfigError(f"KEEP_CATEGORIES: {wrong[0][:40]!r} is not the id of a category")
    users: list[str] = []
    named = [(word, "KEEP_OWNERS") for word in said(settings.keep_owners, "KEEP_OWNERS")]
    for word, where in (*named, *((word, "--keep-owner") for word in owners)):
        users += _owners_in(word[1:]) if word.startswith("@") else [checked_owner(word, where)]
    return Keep(
        frozenset(_tag(tag) for tag in (*said(settings.keep_tags, "KEEP_TAGS"), *tags)),
        frozenset((*map(int, numbers), *categories)),
        owner_rules(users),
    )


def _owners_in(path: str) -> list[str]:
    """The users of a file, one per line."""
    what = f"the kept owners, {path or '(no name)'}"
    users = checked_owners(read_text(Path(path), what).splitlines(), path)
    if not users:
        raise ConfigError(f"{what}: nobody is in it")
    return users


def _read_ids(idfile: str) -> tuple[str, ...]:
    """The ids of a file, one per line, in their order, each once."""
    try:
        raw = sys.stdin.buffer.read() if idfile == "-" else Path(idfile).read_bytes()
    except OSError as error:
        raise SelectionError(f"cannot read --idfile {idfile}: {error.strerror}") from error
    ids: dict[str, None] = {}
    for number, line in enumerate(raw.decode("utf-8-sig", errors="replace").splitlines(), 1):
        if not (entry_id := line.strip()):
            continue
        if not ENTRY_ID.fullmatch(entry_id):
            raise SelectionError(f"--idfile {idfile}, line {number}: {entry_id[:40]!r} is not an entry id")
        ids[entry_id] = None
    if not ids:
        raise SelectionError(f"--idfile {idfile} holds no entry id")
    return tuple(ids)


def _tag(text: str) -> str:
    tag = text.strip().lower()
    if not 2 <= len(tag.encode()) <= MAX_TAG_BYTES or "," in tag:
        raise SelectionError(
            f"{text[:120]!r} cannot be a tag of Kaltura's: two to {MAX_TAG_BYTES} bytes, no comma (repeat --tag for "
            "several)"
        )
    return tag


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    index, count = (int(number) for number in match.groups()) if match else (0, 0)
    if not index < count:
        raise SelectionError(f"--shard: {text!r} is not a share such as 0/4, 1/4, 2/4 or 3/4")
    return index, count


def make_query(
    now: float,
    *,
    ids: tuple[str, ...],
    idfile: str | None,
    tags: tuple[str, ...],
    without_tags: tuple[str, ...],
    plays: int | None,
    never_played: bool,
    statuses: tuple[str, ...],
    media_type: str,
    created_within: float | None,
    created_before: float | None,
    played_within: float | None,
    unplayed_for: float | None,
    max_entries: int,
    shard: str | None,
    **plain: Any,
) -> Query:
    """A checked Query from the options as they were given; SelectionError for what cannot be meant."""
    if max_entries < 1 and max_entries != -1:
        raise SelectionError("--max-entries must be 1 or more, or -1 for no limit")
    wrong = [entry_id for entry_id in ids if not ENTRY_ID.fullmatch(entry_id)]
    if wrong:
        raise SelectionError(f"--id: {wrong[0][:40]!r} is not an entry id")
    named: tuple[str, ...] | None = ids or None
    if idfile is not None:
        listed = _read_ids(idfile)
        asked = set(map(same_id, ids))
        named = tuple(i for i in listed if same_id(i) in asked) if ids else listed
        if not named:
            raise SelectionError("contradiction: no --id is in the --idfile")
    wanted = [_tag(tag) for tag in tags if not tag.startswith("!")]
    unwanted = [_tag(tag.removeprefix("!")) for tag in tags if tag.startswith("!")] + [_tag(t) for t in without_tags]
    query = Query(
        ids=tuple(dict.fromkeys(named)) if named else None,
        tags=tuple(dict.fromkeys(wanted)),
        without_tags=tuple(dict.fromkeys(unwanted)),
        statuses=parse_statuses(statuses),
        media_type=MediaType[media_type.upper()],
        plays_below=plays or None,
        never_played=never_played or plays == 0,
        created_since=years_ago(now, created_within),
        created_until=years_ago(now, created_before),
        played_since=years_ago(now, played_within),
        unplayed_since=years_ago(now, unplayed_for),
        max_entries=None if max_entries == -1 else max_entries,
        shard=_shard(shard) if shard else batch_shard(),
        **plain,
    )
    query.check()
    return query


def _select(kaltura: Kaltura, query: Query) -> Selection:
    from kaltura_archiver.selection import Selection

    return Selection(kaltura, query)


def _after_selection(selection: Selection, *, limited: bool = False) -> set[Exit]:
    """Warn of what a selection left out; the exit statuses that this alone would give.

    `limited`: the default of --max-entries is a safety limit here, and not only the end of a page.
    """
    if not selection.selected and not selection.unknown and not selection.recycled:
        log.warning("no entry matches: %s", selection.query)
    codes = _exits_of_named(selection)
    if selection.cut:
        log.warning("stopped at --max-entries %d; more entries match (-1: no limit)", selection.selected)
        source = click.get_current_context().get_parameter_source("max_entries")
        if limited and source is not click.core.ParameterSource.COMMANDLINE:
            codes.add(Exit.LIMIT)
    return codes


def _exits_of_named(selection: Selection) -> set[Exit]:
    """What ids that were named, and lead nowhere, make of the exit status."""
    found = {Exit.FAILED: selection.unknown or selection.odd, Exit.WAITING: selection.recycled}
    return {code for code, ids in found.items() if ids}


def _not_begun(selection: Selection) -> Iterator[Result]:
    """How it ends for ids that were named, and lead nowhere."""
    from kaltura_archiver.apply import Result

    for entry_id in selection.unknown:
        why = "no such entry in this account (or not visible to this user)"
        yield Result(entry_id, "", Outcome.FAILED, why, ended_at=time.time())
    for entry_id in selection.recycled:
        why = "the entry is in Kaltura's recycle bin"
        yield Result(entry_id, "", Outcome.REFUSED, why, ended_at=time.time())


# Looking


@cli.command("config")
@format_option
@pass_app
def config(app: App, /, style: str) -> None:
    """Check the settings: sign in to Kaltura, look at the bucket, the placeholder; LDAP and mail if set. Also doctor.

    \b
    Examples:
      kaltura-archiver config
      kaltura-archiver --env-file production.env config
      kaltura-archiver config --format json
    """
    settings = app.settings

    def sign_in() -> str:
        kaltura = app.kaltura()
        kaltura.count(Query())
        for note in kaltura.session_notes:
            log.warning("kaltura: %s", note)
        if kaltura.session_user and kaltura.user_exists(kaltura.session_user) is False:
            log.warning(
                "kaltura: account %s has no user %s, who signs in here (%s): Kaltura takes the name all the same, and "
                "what is done is entered under a user whom nobody knows; correct it, or add that user in the KMC",
                settings.partner_id,
                kaltura.session_user,
                "KALTURA_USERID" if kaltura.session_user == settings.user_id else "the app token's own",
            )
        if not kaltura.session_user:
            log.warning(
                "kaltura: KALTURA_USERID is not set, so nobody signs in here: what is done is entered under no user; "
                "set it to a user of account %s, best one of this tool's own",
                settings.partner_id,
            )
        way = "an app token" if settings.app_token_id else "the admin secret"
        user = kaltura.session_user or "nobody"
        return f"{settings.service_url}, partner {settings.partner_id}, by {way}, as {user}"

    def bucket() -> str:
        app.store().head("0_kaltura_archiver_test")
        return f"bucket {settings.bucket}; {_tried(app)}"

    def placeholder() -> str:
        files = settings.placeholders().all()
        for path in files:
            check_placeholder(path)
        return "; ".join(f"{path}, {path.stat().st_size} bytes" for path in files)

    def ldap() -> str:
        from kaltura_archiver.directory import check_directory

        return check_directory(settings.ldap)

    def keep() -> str:
        from kaltura_archiver.kept import census, check_keep

        rules = keep_list(settings)
        if "kaltura" in wrong:
            raise ConfigError(f"{rules}: not checked, for the account cannot be looked into")
        kaltura = app.kaltura()
        check_keep(kaltura, rules)
        return census(kaltura, rules, partial(progress, "counting", streamed=style != "table"))

    def mail() -> str:
        from kaltura_archiver.mailer import check_mail_server

        return check_mail_server(settings.smtp)

    checks = [("kaltura", sign_in), ("s3", bucket), ("placeholder", placeholder), ("keep", keep)]
    if settings.ldap.server:
        checks.append(("ldap", ldap))
    if settings.smtp.server:
        checks.append(("mail", mail))
    wrong: list[str] = []
    with Rows(("check", "ok", "detail"), style) as rows:
        for name, check in checks:
            try:
                rows.write({"check": name, "ok": True, "detail": redact(check())})
            except ArchiverError as error:
                wrong.append(name)
                rows.write({"check": name, "ok": False})
                log.error("%s: %s", name, error)
    app.exit(Exit.USAGE if wrong else Exit.OK)


def _tried(app: App) -> str:
    """What the S3 service keeps of that on which a run rests; ConfigError for what cannot be done without."""
    from kaltura_archiver.lock import RunLock, lock_key

    store = app.store(read_only=False, check=False)
    try:
        with RunLock(store, lock_key("config"), run=os.urandom(4).hex(), stop=app.stop) as lock:
            return "; ".join(lock.findings) or "conditions, tags and checksums are kept"
    except StoreError as error:
        if error.code != "AccessDenied":
            raise
        return f"conditions and tags were not tried: {error}"  # who only looks does not need them
    except Locked:
        return "conditions and tags were not tried: another config tries them just now"


@cli.command("list", cls=ListCommand)
@click.option(
    "--mode", "-m", type=click.Choice(["video", "flavor"]), default="video", show_default=True, help="A row per what."
)
@selection_options
@columns_option
@legacy_option
@format_option
@pass_app
def list_entries(app: App, /, query: Query, mode: str, columns: str | None, legacy: bool, style: str) -> None:
    """List entries, or their flavor assets, one row each.

    \b
    Examples:
      kaltura-archiver list --created_before 3 --created_within 4 --plays 0
      kaltura-archiver list --tag archived_to_s3 --max-entries -1 --format csv > archived.csv
      kaltura-archiver list --never-played --columns entry_id,name,tags
      kaltura-archiver list --mode flavor --id 0_abc12345 --format table
    """
    from kaltura_archiver import legacy as old

    if mode == "video":
        shown = _columns(columns, OLD_LIST_COLUMNS if legacy else LIST_COLUMNS, MORE_LIST_COLUMNS)
    else:
        shown = _columns(columns, FLAVOR_COLUMNS, MORE_FLAVOR_COLUMNS)
    row_of_entry, row_of_flavor = (old.list_row, old.flavor_row) if legacy else (list_row, flavor_row)
    kaltura = app.kaltura()
    selection = _select(kaltura, query)
    bar = partial(progress, "list", expected=lambda: selection.expected, streamed=style != "table")
    with Rows(shown, style) as rows:
        if mode == "video":
            with bar(selection) as entries:
                for entry in entries:
                    rows.write(row_of_entry(entry))
        else:
            from kaltura_archiver.survey import flavors_of

            with bar(flavors_of(kaltura, selection)) as found:
                for _, flavors in found:
                    for flavor in flavors:
                        rows.write(row_of_flavor(flavor))
    app.exit(*_after_selection(selection))


next(option for option in list_entries.params if option.name == "media_type").opts.remove("-m")


@cli.command("count", cls=SelectingCommand)
@selection_options
@click.option("--legacy-columns", "legacy", is_flag=True, help="The line that kaltura_aws.py printed.")
@format_option
@pass_app
def count(app: App, /, query: Query, legacy: bool, style: str) -> None:
    """Count the entries that match, with the filter that was used; --max-entries does not limit it.

    \b
    Examples:
      kaltura-archiver count --tag archived_to_s3
      kaltura-archiver count --tag '!archived_to_s3' --unplayed-for 3
      kaltura-archiver count --played_within 3 --unplayed_for 2
    """
    from kaltura_archiver.legacy import count_line

    if legacy and style != "tsv":
        raise click.UsageError(
            "--legacy-columns is one line without columns: leave out --format", click.get_current_context()
        )
    selection = _select(app.kaltura(), query)
    number = selection.count()
    if legacy:
        click.echo(count_line(number, query))
    else:
        with Rows(COUNT_COLUMNS, style) as rows:
            rows.write({"count": number, "filter": str(query)})
    app.exit(*_exits_of_named(selection))


@cli.command("health", cls=SelectingCommand)
@selection_options
@click.option(
    "--workers", type=click.IntRange(1, 64), default=8, show_default=True, help="Objects looked at at a time."
)
@click.option("--verified", is_flag=True, help="Look at every stored copy, and tell when it was verified.")
@columns_option
@legacy_option
@format_option
@pass_app
def health(
    app: App, /, query: Query, workers: int, verified: bool, columns: str | None, legacy: bool, style: str
) -> None:  # fmt: skip
    """Check each entry against S3: a row each, what is wrong also on stderr; exit 1 if one is broken.

    Of up to 40 entries each stored copy is looked at, and the message tells when it was last verified. Of more the
    bucket is listed, which is much faster: sizes are compared, and a copy is looked at only where its tags could change
    the state. --verified, or one of the columns identity, evidence and verified_at, looks at every copy.

    \b
    Examples:
      kaltura-archiver health --tag archived_to_s3 --max-entries -1
      kaltura-archiver health --id 0_abc12345 --format table
      kaltura-archiver health --unplayed-for 3 --columns entry_id,state,next --format csv > health.csv
    """
    from kaltura_archiver import legacy as old
    from kaltura_archiver.placeholders import Placeholders
    from kaltura_archiver.states import classify
    from kaltura_archiver.survey import facts_of

    shown = _columns(columns, OLD_HEALTH_COLUMNS if legacy else HEALTH_COLUMNS, MORE_HEALTH_COLUMNS)
    kaltura, store = app.kaltura(), app.store(check=False)
    selection = _select(kaltura, query)
    look = facts_of(
        kaltura, store, selection, placeholders=Placeholders(app.settings.placeholders().known()), workers=workers,
        thorough=verified or not COLUMNS_OF_TAGS.isdisjoint(shown), availability="availability" in shown,
    )  # fmt: skip
    codes: set[Exit] = set()
    with (
        look as looked,
        Rows(shown, style, titles=old.HEALTH_TITLES if legacy else None) as rows,
        progress("health", looked, lambda: selection.expected, streamed=style != "table") as found,
    ):
        for facts in found:
            judgement = classify(facts)
            code = exit_of_health(judgement)
            codes.add(code)
            rows.write(old.health_row(facts, app.settings.bucket) if legacy else health_row(facts, judgement))
            if code is not Exit.OK:
                log.error("entry %s is %s", facts.entry.id, health_message(facts, judgement))
    app.exit(*_after_selection(selection), *codes)


@cli.command("explain")
@click.argument("entry_id", metavar="ID")
@click.option("--format", "style", default="text", show_default=True, type=click.Choice(["text", "json"]), help="Form.")
@pass_app
def explain(app: App, /, entry_id: str, style: str) -> None:
    """Tell everything about one entry: its state and why, the evidence, and what each command would do now.

    \b
    Examples:
      kaltura-archiver explain 0_abc12345
      kaltura-archiver explain 0_abc12345 --format json
      kaltura-archiver --log-level DEBUG explain 0_abc12345
    """
    from kaltura_archiver.explain import explain_entry, print_explanation

    if not ENTRY_ID.fullmatch(entry_id):
        raise SelectionError(f"{entry_id[:40]!r} is not an entry id")
    options = Options(now=time.time(), keep=keep_list(app.settings))
    explanation = explain_entry(make_runner(app, Command.S3COPY, options), entry_id)
    print_explanation(explanation, style)
    app.exit(Exit.OK)


@cli.command("download")
@click.option("--id", "-i", "entry_id", required=True, metavar="ID", help="The entry.")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="File to write [the entry's id and the original's extension]; - is stdout, and a log line tells the rest.",
)
@click.option("--tmp", "folder", metavar="DIR", help="Folder of the file where --output does not name it [this one].")
@click.option(
    "--from",
    "source",
    type=click.Choice(["auto", "kaltura", "s3"]),
    default="auto",
    show_default=True,
    help="Where to take it from; auto: S3 for a placeholder, else Kaltura.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@pass_app
def download(
    app: App, /, entry_id: str, output: str | None, folder: str | None, source: str, force: bool
) -> None:  # fmt: skip
    """Fetch the original of one entry to a local file; its path, size and SHA-256 are printed.

    Exit status 3 where it is the placeholder, which --from kaltura fetches, too.

    \b
    Examples:
      kaltura-archiver download --id 0_abc12345
      kaltura-archiver download --id 0_abc12345 --from s3 -o lecture.mp4
      kaltura-archiver download --id 0_abc12345 --output - | ffprobe -
      kaltura-archiver download --id 0_abc12345 --from kaltura --force
    """  # fmt: skip
    from kaltura_archiver.download import download_original

    if not ENTRY_ID.fullmatch(entry_id):
        raise SelectionError(f"--id: {entry_id[:40]!r} is not an entry id")
    if output and folder:
        raise click.UsageError("--output names the file with its folder: leave out --tmp", click.get_current_context())
    if output == "-" and sys.stdout.isatty():
        raise click.UsageError("a video is nothing for a terminal: name a file", click.get_current_context())
    runner = make_runner(app, Command.S3COPY, Options(now=time.time()))
    size: list[int] = []
    with (
        app.stoppable(),
        bytes_progress("download", lambda: app.bandwidth.moved, lambda: size[0] if size else None),
    ):
        row, hidden = download_original(
            runner, entry_id, output or "", folder=folder or "", source=source, force=force, begun=size.append
        )
    if output == "-":
        log.info("wrote %s to stdout, from %s: %d bytes, sha256 %s", *row[:-1])
    else:
        with Rows(DOWNLOAD_COLUMNS, "tsv") as rows:
            rows.write(dict(zip(DOWNLOAD_COLUMNS, row, strict=True)))
    if hidden:
        log.warning(
            "%s is the placeholder, not the video of %s, which is in S3 if anywhere: --from s3",
            "this" if output == "-" else row[-1], entry_id,
        )  # fmt: skip
    app.exit(Exit.WAITING if hidden else Exit.OK)


# Acting


def make_runner(app: App, command: Command, options: Options, **more: Any) -> Runner:
    """A runner with what the settings say; `more` is a review of plans, or the bounds of a fleet."""
    from kaltura_archiver.apply import Runner
    from kaltura_archiver.placeholders import Placeholders

    settings = app.settings
    files = settings.placeholders()
    if command in (Command.REPLACE, Command.REPAIR):
        for path in files.all():
            check_placeholder(path)
    elif command is Command.S3COPY:
        files.known()
    return Runner(
        app.kaltura(read_only=options.dry_run),
        app.store(read_only=options.dry_run),
        command,
        options,
        placeholders=Placeholders(files),
        poll_seconds=settings.poll_seconds,
        settle_seconds=settings.settle_seconds,
        stop=app.stop,
        **more,
    )


class Work:
    """What a run is to do: `ids` in their order; of other entries it is `known` already how they end.

    `codes` are the exit statuses that this alone would give. `saw` is told every result, and may set `stopped`: then no
    further entry is begun, and the run ends as at a safety limit.
    """

    def __init__(self, ids: Sequence[str], codes: Iterable[Exit] = (), known: Sequence[Result] = ()) -> None:
        self.ids = ids
        self.codes = codes
        self.known = known
        self.stopped = False

    def saw(self, result: Result) -> None:
        """Hear of a result."""


def _run(
    app: App, command: Command, query: Query, *, dry_run: bool, acting: bool, everything: bool, workers: int,
    style: str, cluster: str | None, cluster_tls: str | None, max_calls: int, max_transfers: int,
    no_lock: bool = False, no_run_log: bool = False, tmp: str | None = None, wait_ready: bool = False,
    draw: Callable[[Ids], Sequence[str]] = lambda ids: ids, keep_tags: Sequence[str] = (),
    keep_categories: Sequence[int] = (), keep_owners: Sequence[str] = (), **options: Any,
) -> NoReturn:  # fmt: skip
    """Select, then do the command's work on each entry: a row per entry, a summary, the exit status."""
    context = click.get_current_context()
    if acting and dry_run and context.get_parameter_source("dry_run") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--dry-run contradicts the old flag that acts", context)
    need_criteria(str(command), query, everything=everything)
    if "min_age_years" in options:
        options["min_age_years"] = min_age_years(query, options["min_age_years"])
    if command.heeds_keep:
        options["keep"] = keep_list(app.settings, keep_tags, keep_categories, keep_owners)

    def choose(runner: Runner) -> Work:
        from kaltura_archiver.kept import check_excluded, check_keep
        from kaltura_archiver.selection import Ids

        check_keep(runner.kaltura, options.get("keep", Keep(frozenset())))
        check_excluded(runner.kaltura, query)
        selection = _select(runner.kaltura, query)
        # All ids before the first change: a new tag changes what the search matches (kaltura-api 3.4).
        with progress("selecting", selection, lambda: selection.expected) as entries:
            ids = draw(Ids(entry.id for entry in entries))
        return Work(ids, _after_selection(selection, limited=True), list(_not_begun(selection)))

    for name in ("cluster_tls", "max_calls", "max_transfers"):
        if not cluster and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{dashed(name)} is for --cluster", context)
    settings = Options(now=time.time(), dry_run=dry_run and not acting, plays=query.plays, **options)
    start_fleet = None
    if cluster:
        numbers = (workers, max_calls, max_transfers)
        start_fleet = partial(_fleet, app, cluster, cluster_tls, command, settings, numbers)
    perform(
        app, command, settings, choose, selection=str(query), shard=query.shard, workers=workers, style=style,
        no_lock=no_lock, no_run_log=no_run_log, start_fleet=start_fleet,
    )  # fmt: skip


def min_age_years(query: Query, asked: float | None) -> float:
    """How old an entry has to be to be replaced: as asked for, else as the selection says, else 3 years."""
    if asked is not None:
        return asked
    selected_by_age = query.created_until is not None or query.unplayed_since is not None
    return 0.0 if selected_by_age else Options.min_age_years


def need_criteria(command: str, query: Query, *, everything: bool) -> None:
    """Raise SelectionError unless something narrows the selection, or --all was given."""
    if not query.has_criteria and not everything:
        raise SelectionError(
            f"{command} without any selection criterion: select entries (--id, --tag, …), or say --all"
        )


def perform(
    app: App, command: Command, options: Options, choose: Callable[[Runner], Work], *, selection: str,
    shard: tuple[int, int] | None, workers: int, style: str, no_lock: bool, no_run_log: bool,
    review: Review | None = None, start_fleet: Callable[[str], Fleet] | None = None,
) -> NoReturn:  # fmt: skip
    """Do a command's work on what `choose` finds, under the lock: the one way in which anything is changed.

    `start_fleet` is given the run's id; without it the work is done in this process.
    """
    from kaltura_archiver.bill import Bill

    run = mark_lines()
    fleet = start_fleet(run) if start_fleet else None
    runner = make_runner(app, command, options, review=review, run=run)
    totals = Totals((lambda: runner.traffic() + fleet.traffic()) if fleet else runner.traffic)
    mode = "DRYRUN" if options.dry_run else "EXEC"
    bill = Bill(app.prices(), options) if options.dry_run else None
    lock = None if options.dry_run else _lock(app, runner, command, shard, run, no_lock)
    run_log = None if options.dry_run or no_run_log else _run_log(runner, command, selection, run, totals)
    with (
        app.stoppable(), fleet or nullcontext(), lock or nullcontext(), run_log or nullcontext(),
        app.exit_when_stopped(),
    ):  # fmt: skip
        work = choose(runner)
        if work.ids and lock and not work.stopped:
            runner.remove_leftovers(work.ids, lock.others)
        # On a terminal the log lines say the same; rows are for files, pipes and those who ask for them.
        asked = click.get_current_context().get_parameter_source("style") is click.core.ParameterSource.COMMANDLINE
        shown = asked or not sys.stdout.isatty()
        stdout = PatientStdout()
        begun = takewhile(lambda _: not work.stopped, work.ids)
        results = fleet.run(work.ids) if fleet else runner.run(begun, workers)
        with (
            Rows(RESULT_COLUMNS, style, cast(TextIO, stdout)) if shown else nullcontext() as rows,
            progress(
                str(command), chain(work.known, results), lambda: len(work.known) + len(work.ids),
                streamed=shown and style != "table", moved=lambda: max(app.bandwidth.moved, totals.bytes_moved),
                told=lambda: _under_way(runner, totals, app.stop),
            ) as counted,
            closing(results),  # whatever happens here: nothing is in hand any more when the lock is freed
        ):  # fmt: skip
            for result in counted:
                work.saw(result)
                if rows is not None:
                    rows.write(result_row(result))
                if run_log is not None:
                    run_log.add(result)
                if bill and result.facts and result.outcome is Outcome.WOULD:
                    bill.add(result.facts, result.steps)
                totals.add(result)
        if fleet and fleet.has_losses() and lock:
            runner.remove_leftovers(work.ids, partial(lock.others, ended=True))
        line = str(totals)
        if bill:
            line += f"; {bill}" if str(bill) else ""
            line += "; nothing was changed: --no-dry-run acts"
        left = len(work.ids) + len(work.known) - totals.outcomes.total()
        if app.signal:
            line += f"; asked to stop, {left} entries were not begun"
        if work.stopped:
            line += f"; stopped, {left} entries were not begun"
        if fleet and fleet.lost:
            log.error("not finished: %s; run the command again", fleet.lost)
            line += f"; not finished, {left} entries were not begun"
        fields: dict[str, Any] = {"mode": mode, "kind": "run", "action": str(command)}
        if not options.dry_run:
            fields["metrics"] = metrics(totals, bucket=app.settings.bucket, command=str(command))
        log.info("%s", line, extra=fields)
        if lock and lock.lost:
            app.exit(Exit.LOCKED)
        if work.stopped:
            app.exit(Exit.LIMIT, tolerant=False)
        if stdout.failure or (fleet and fleet.lost):
            app.exit(Exit.FAILED, tolerant=False)
        app.exit(*work.codes, *exits_of(totals.outcomes))


def _under_way(runner: Runner, totals: Totals, stop: threading.Event) -> Iterator[str]:
    """What is said of a run while it goes on."""
    if runner.converting:
        yield f"{runner.converting} converting"
    yield totals.counts()
    if stop.is_set():
        yield "stopping as soon as that is safe"


def _fleet(
    app: App, cluster: str, cluster_tls: str | None, command: Command, options: Options,
    numbers: tuple[int, int, int], run: str,
) -> Fleet:  # fmt: skip
    try:
        from kaltura_archiver.certificates import Certificates
        from kaltura_archiver.cluster import CERTIFICATE_DAYS, Bounds, Fleet, Job, parse_cluster
    except ModuleNotFoundError as error:
        raise no_cluster(error) from error
    where, settings = parse_cluster(cluster), app.settings
    settings.need_kaltura()
    if where.kind == "address":
        context = click.get_current_context()
        if context.get_parameter_source("workers") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--workers is told to the workers of a running scheduler when they start", context)
        certificates = Certificates.read(tls_folder(settings, cluster_tls))
    else:
        certificates = Certificates.make(CERTIFICATE_DAYS)
    job = Job.of(settings, run, command, options, app.bandwidth.timetable)
    return Fleet(where, job, certificates, Bounds(*numbers), app.stop, settings.app_token or settings.secret)


def tls_folder(settings: Settings, option: str | None) -> Path:
    if folder := option or settings.cluster_tls:
        return Path(folder)
    raise ConfigError("a fleet needs TLS: name the folder of its certificates in --cluster-tls or CLUSTER_TLS")


def no_cluster(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(f"a fleet needs {error.name}: pip install 'kaltura-archiver[cluster]'")


def _lock(app: App, runner: Runner, command: Command, shard: tuple[int, int] | None, run: str, beside: bool) -> RunLock:
    from kaltura_archiver.lock import RunLock, lock_key

    return RunLock(runner.store, lock_key(command, shard), run=run, stop=app.stop, beside=beside)


def _run_log(runner: Runner, command: Command, selection: str, run: str, totals: Totals) -> RunLog:
    from kaltura_archiver.runlog import RunLog

    return RunLog(runner.store, str(command), run=run, selection=selection, totals=totals)


@cli.command("s3copy", cls=SelectingCommand)
@selection_options
@acting_options("--s3copy")
@_options(*_COPY)
@keep_options
@pass_app
def s3copy(app: App, /, query: Query, **options: Any) -> None:
    """Copy the original of each entry to S3, verify it, and tag the entry archived_to_s3.

    Objects of the old tool are adopted: the original is read once and compared with them.

    \b
    Examples:
      kaltura-archiver s3copy --tag '!archived_to_s3' --unplayed-for 3
      kaltura-archiver s3copy --id 0_abc12345 --no-dry-run
      kaltura-archiver s3copy --idfile ids.txt --storage-class DEEP_ARCHIVE --no-dry-run
    """
    _run(app, Command.S3COPY, query, **options)


@cli.command("replace_video", cls=SelectingCommand)
@selection_options
@acting_options("--replace")
@_options(min_age_option, noticed_option, placeholder_map_option, *_SWAP)
@keep_options
@pass_app
def replace_video(app: App, /, query: Query, **options: Any) -> None:
    """Replace the originals of archived entries by the placeholder video, and tag the entries flavors_deleted.

    Only where the stored copy is proven to be the original. The original plays until the placeholder is ready.

    \b
    Examples:
      kaltura-archiver replace_video --tag archived_to_s3 --unplayed-for 3
      kaltura-archiver replace_video --id 0_abc12345 --no-dry-run
      kaltura-archiver replace_video --unplayed-for 3 --noticed-before 30d --no-dry-run
    """  # fmt: skip
    _run(app, Command.REPLACE, query, **options)


@cli.command("restore", cls=SelectingCommand)
@selection_options
@acting_options("--restore")
@_options(*_THAW, *_SWAP)
@click.option(
    "--new-picture", is_flag=True,
    help="Take a new picture of each video, and do not ask whose the old one is (docs/pictures.md).",
)  # fmt: skip
@pass_app
def restore(app: App, /, query: Query, **options: Any) -> None:
    """Bring originals back from S3 or Glacier and drop the tag flavors_deleted. Also called restore_from_s3.

    A frozen object is first asked to thaw; run the command again when it is readable.

    \b
    Examples:
      kaltura-archiver restore --tag flavors_deleted --played_within 1
      kaltura-archiver restore --id 0_abc12345 --tier standard --no-dry-run
      kaltura-archiver restore --idfile requests.txt --tier expedited --days 3 --no-dry-run
    """
    _run(app, Command.RESTORE, query, **options)


@cli.command("repair", cls=SelectingCommand)
@selection_options
@acting_options("--repair")
@placeholder_map_option
@_options(*_COPY[1:], *_THAW, *_SWAP)
@keep_options
@pass_app
def repair(app: App, /, query: Query, **options: Any) -> None:
    """Go on from interrupted states: put back missing tags, the placeholder, or the original.

    Never touches an entry where a person has to decide (diverged, lost, unbacked, empty): it says so.

    \b
    Examples:
      kaltura-archiver repair --tag archived_to_s3
      kaltura-archiver repair --id 0_abc12345 --no-dry-run
      kaltura-archiver repair --tag flavors_deleted --max-entries -1 --no-dry-run
    """
    _run(app, Command.REPAIR, query, **options)


@cli.command("verify", cls=SelectingCommand)
@selection_options
@click.option("--sample", metavar="N|P%", help="Only so many of them, or that part, drawn by chance.")
@click.option("--request", is_flag=True, help="Ask frozen copies to thaw.")
@_options(
    *_THAW[:2],
    dry_run_option,
    all_option,
    workers_option,
    cluster_options,
    no_lock_option,
    run_log_option,
    bandwidth_option,
    format_option,
)
@pass_app
def verify(app: App, /, query: Query, sample: str | None, **options: Any) -> None:
    """Read stored copies back and compare them with their checksums; exit 1 if one is damaged.

    A dry run reads and compares, too, and tells what it found. With --no-dry-run that is recorded: a copy found whole
    is tagged verified-at, a damaged one is marked, and nothing rests on it any more. Frozen copies are not readable
    now: they are told, and with --request --no-dry-run asked to thaw, which AWS charges for.

    \b
    Examples:
      kaltura-archiver verify --tag archived_to_s3 --sample 5%
      kaltura-archiver verify --tag archived_to_s3 --max-entries -1 --bandwidth 20M --no-dry-run
      kaltura-archiver verify --id 0_abc12345 --request --tier standard --no-dry-run
    """
    _run(app, Command.VERIFY, query, acting=False, draw=_sampler(sample), **options)


def _sampler(sample: str | None) -> Callable[[Ids], Sequence[str]]:
    """What draws the sample asked for: `N` ids or `P%` of them (at least one), in their order."""
    if sample is None:
        return lambda ids: ids
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", sample)
    number = float(match.group(1)) if match else 0.0
    if not match or number <= 0 or (match.group(2) and number > 100) or (not match.group(2) and number % 1):
        raise click.UsageError(f"--sample: {sample!r} is neither a number nor a percentage such as 5%")

    import random

    def draw(ids: Ids) -> Sequence[str]:
        wanted = math.ceil(len(ids) * number / 100) if match.group(2) else int(number)
        drawn = set(random.SystemRandom().sample(ids, min(wanted, len(ids))))
        return [entry_id for entry_id in ids if entry_id in drawn]

    return draw


@cli.command("unlock")
@click.argument("command", type=click.Choice([c.value for c in Command], case_sensitive=False))
@click.option("--shard", metavar="I/N", help="The lock of this share.")
@click.option("--force", is_flag=True, help="Even if its run is alive: then that ends, as after SIGTERM.")
@pass_app
def unlock(app: App, /, command: str, shard: str | None, force: bool) -> None:
    """Free the lock of a command whose run was killed.

    A lock that was renewed within the last minute is freed by --force only: its run may be alive. It expires by itself
    two minutes after its run has died.

    \b
    Examples:
      kaltura-archiver unlock s3copy
      kaltura-archiver unlock restore
      kaltura-archiver unlock s3copy --shard 2/8 --force
    """
    from kaltura_archiver.lock import lock_key, unlock

    key = lock_key(command, _shard(shard) if shard else None)
    click.echo(one_line(unlock(app.store(read_only=False), key, force=force)), err=True)
    app.exit(Exit.OK)


# On AWS


@cli.command("run_task")
@click.argument("task", type=click.Choice(["archive", "restore", "health"]))
@click.option(
    "--stack", default="kaltura-archiver", show_default=True, metavar="NAME", help="The stack of aws/template.yaml."
)
@click.option("--revision", type=click.IntRange(1), metavar="N", help="This revision of the task [the latest].")
@click.option("--env", "pairs", multiple=True, metavar="NAME=VALUE", help="Set a variable of the job; may be repeated.")
@click.option("--command", "words", default="", metavar="WORDS", help="Run this in place of the job.")
@click.option("--wait", is_flag=True, help="Print its log lines, and end with its exit status.")
@format_option
@pass_app
def run_task(
    app: App, /, task: str, stack: str, revision: int | None, pairs: tuple[str, ...], words: str, wait: bool,
    style: str,
) -> None:  # fmt: skip
    """Start a job on AWS now, in the tasks that aws/template.yaml has made.

    With --wait, the task's log lines go to stdout, and the exit status is the task's. Interrupted, it ends; the task
    goes on.

    \b
    Examples:
      kaltura-archiver run_task archive --wait
      kaltura-archiver run_task restore --env DOIT=true --env N_YEARS=1
      kaltura-archiver run_task restore --wait --command "restore --id 0_abc12345"
    """
    from kaltura_archiver.run_task import Tasks, check_environment, parse_command, parse_environment

    environment, command = parse_environment(pairs), parse_command(words)
    check_environment(environment)
    _ = app.settings  # what .env says to boto3, and which secrets it may not show
    tasks = Tasks(stack)
    with app.stoppable():
        started = tasks.start(task, revision=revision, environment=environment, command=command)
        if not wait:
            with Rows(TASK_COLUMNS, style) as rows:
                rows.write({name: getattr(started, name) for name in TASK_COLUMNS})
            app.exit(Exit.OK)
        log.info("started %s", started.task)
        for said in tasks.follow(started, app.stop):
            if isinstance(said, int):
                raise click.exceptions.Exit(said)
            click.echo(readable(said))


# The sandbox


def _need_sandbox() -> None:
    import importlib.util

    missing = [name for name in ("moto", "flask", "av") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"the sandbox needs {', '.join(missing)}: pip install 'kaltura-archiver[sandbox]'")


@cli.command("sandbox")
@click.option(
    "--thaw-seconds", type=click.FloatRange(0), default=20, show_default=True, help="Time that Glacier takes."
)
@pass_app
def sandbox(app: App, /, thaw_seconds: float) -> None:
    """Run a Kaltura and an S3 of your own on this machine, with a small library, to try any command on.

    Prints the export lines for another shell, and runs until interrupted.

    \b
    Examples:
      kaltura-archiver sandbox
      kaltura-archiver sandbox > sandbox.rc &  sleep 5; . ./sandbox.rc; kaltura-archiver list
      kaltura-archiver sandbox --thaw-seconds 3600
    """
    _need_sandbox()
    from kaltura_archiver.sandbox.run import run_sandbox

    with app.stoppable():
        run_sandbox(app.stop, thaw_seconds=thaw_seconds)
    app.exit(Exit.OK)


@cli.command("demo")
@click.option("--quick", is_flag=True, help="Without the pauses that let you read along.")
@pass_app
def demo(app: App, /, quick: bool) -> None:
    """Show the whole cycle on the built-in sandbox: archive, replace, thaw, restore. No account is needed.

    \b
    Examples:
      kaltura-archiver demo
      kaltura-archiver demo --quick
      kaltura-archiver demo --quick > demo.txt
    """
    _need_sandbox()
    from kaltura_archiver.sandbox.demo import run_demo

    app.exit(Exit(run_demo(quick=quick)))


# Commands in modules of their own, which register themselves with `cli`
import kaltura_archiver.cli_cluster  # noqa: E402
import kaltura_archiver.cli_completion  # noqa: E402
import kaltura_archiver.cli_directory  # noqa: E402
import kaltura_archiver.cli_due  # noqa: E402
import kaltura_archiver.cli_owners  # noqa: E402
import kaltura_archiver.cli_plan  # noqa: E402
import kaltura_archiver.cli_report  # noqa: E402
import kaltura_archiver.cli_stats  # noqa: E402, F401


def _crashed(kind: type[BaseException], error: BaseException | None, *_: object) -> None:
    """What Python would tell with a traceback, which may quote an address with a token in it."""
    if error is not None and not isinstance(error, SystemExit):
        _complain(f"unexpected {kind.__name__}: {error}", Exit.FAILED)


def main() -> None:
    """The console script."""
    # Pages of entries are many objects and no cycles. Looking for these as often as Python does by itself took a third
    # of the time of `list`.
    gc.set_threshold(50_000)
    _occupy_closed_streams()
    _heed_second_interrupt()
    sys.excepthook = _crashed
    threading.excepthook = lambda crash: _crashed(crash.exc_type, crash.exc_value)
    hide(os.environ.get("KALTURA_SECRET"))
    if is_program(sys.argv[0]):
        sys.argv.insert(1, sys.argv[0])  # a link of that name: what it does is told by it
    cli()

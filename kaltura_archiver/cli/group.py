"""The group: names and options written with - or _, each option once, each error one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from kaltura_archiver.cli.command_line import OnceEach, dashed
from kaltura_archiver.cli.old_names import in_new_words, line_instead
from kaltura_archiver.cli.streams import complain, discard_stdout
from kaltura_archiver.cli.table import COMMANDS, GROUPS
from kaltura_archiver.errors import ArchiverError, ConfigError, Exit, Stopped
from kaltura_archiver.output.logs import set_up_logging

log = logging.getLogger(__name__)
# Old names, and those that people try.
ALIASES = {
    "doctor": "config", "restore-from-s3": "restore", "add-ldap-status": "enrich",
    "archive": "s3copy", "copy": "s3copy", "place-holder": "replace-video", "replace": "replace-video",
}  # fmt: skip
NO_TERMINAL = (
    "the AWS profile asks for the code of an MFA device, and there is no terminal to type it in: get temporary "
    "credentials first (aws sts get-session-token), or use a profile without MFA"
)


def command(name: str, cls: type[click.Command] = OnceEach) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of the group, which takes each option once."""
    return click.command(name, cls=cls)


class Commands(MutableMapping[str, click.Command]):
    """The commands by name, in the order of the table; each is imported when it is asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module = import_module(f"kaltura_archiver.cli.commands.{name}")
            self._loaded[name] = next(
                found for found in vars(module).values() if isinstance(found, click.Command) and found.name == name
            )
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS


class Archiver(OnceEach, click.Group):
    """A group whose commands and options may be written with - or _, and whose errors are one line each."""

    command_class = OnceEach
    typed: Sequence[str] = ()  # after the program's name

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Those of the table need not be imported for it."""
        if not isinstance(self.commands, Commands):
            super().format_commands(ctx, formatter)
            return
        for heading, commands in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))

    def as_options(self, args: list[str]) -> list[str]:
        args = in_new_words(args)
        if args[:1] == ["help"]:
            return [*args[1:2], "--help"]
        return ["--version"] if args == ["version"] else args

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        wanted = ALIASES.get(dashed(cmd_name), dashed(cmd_name))
        name = next((name for name in self.commands if dashed(name) == wanted), None)
        return self.commands[name] if name else None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

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
            discard_stdout()
            raise click.exceptions.Exit(Exit.OK) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader has gone; nobody wants to hear more. click itself would end with 1.
            discard_stdout()
            return Exit.OK
        except EOFError as error:
            # boto3 asks for the code of an MFA device, and nothing else asks here. click would call it interrupted.
            raise ConfigError(NO_TERMINAL) from error

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and end the process with the documented exit code; never with a traceback."""
        run: Any = super().main
        self.typed = list(args[0] if args and args[0] is not None else kwargs.get("args") or sys.argv[1:])
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
            code = complain(f"{error.format_message()} (see {where} --help)", error.exit_code)
        except BrokenPipeError:
            # The reader has gone; nobody wants to hear more.
            discard_stdout()
            code = Exit.OK
        except (KeyboardInterrupt, click.Abort):
            code = complain("interrupted", Exit.INTERRUPTED)
        except Stopped:
            code = Exit.INTERRUPTED
        except ArchiverError as error:
            code = complain(str(error), error.exit_code)
        except OSError as error:
            # Whatever else can fail so is told in words of its own: what is left is stdout.
            log.debug("unexpected", exc_info=True)
            discard_stdout()
            where = error.filename or "to stdout"
            code = complain(f"cannot write {where}: {error.strerror or error}", Exit.FAILED)
        except Exception as error:
            log.debug("unexpected", exc_info=True)
            code = complain(f"unexpected {type(error).__name__}: {error}; run with --log-level DEBUG", Exit.FAILED)
        sys.exit(int(code or 0))

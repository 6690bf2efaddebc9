"""How a command line is read: each option once, by any unique beginning, and in the ways that `kaltura_aws.py` knew."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import click

from kaltura_archiver.asking.words import ENTRY_ID

# Options that hardly anybody needs, by their parameters' names: they stand behind the others in a command's help.
SELDOM = frozenset({
    "accept_size_match", "acting", "allow_in_place", "approve", "bandwidth", "cluster", "cluster_tls", "first_page",
    "legacy", "legacy_columns", "max_bytes", "max_calls", "max_converting", "max_cost", "max_transfers", "new_picture",
    "no_lock", "no_run_log", "page_size", "shard", "timeout_seconds", "tolerate", "via", "workers",
})  # fmt: skip


class OnceEach(click.Command):
    """A command that takes an option once, and by any beginning that no other option shares.

    click itself would keep the last of several, and say nothing of the others.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            args, given, values = self._understood(ctx, args)
            for param, number in Counter(given).items():
                heeded = not getattr(param, "hidden", False)  # what is there for old scripts means nothing anyway
                if heeded and "" in _texts(values.get(str(param.name))):
                    raise click.UsageError(
                        f"{_longest(param)} is given without a value (a variable that is empty?): leave it out, or say "
                        "what is meant", ctx,
                    )  # fmt: skip
                plain_flag = getattr(param, "is_flag", False) and not param.secondary_opts
                if number > 1 and isinstance(param, click.Option) and not (param.multiple or param.count or plain_flag):
                    raise click.UsageError(f"{_longest(param)} is given {number} times: once, please", ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options that people use every day, and then the others; a group's commands first."""
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        found = [(p.name in SELDOM, record) for p in self.get_params(ctx) if (record := p.get_help_record(ctx))]
        for heading, seldom in (("Options", False), ("More options", True)):
            if records := [record for rare, record in found if rare is seldom]:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def as_options(self, args: list[str]) -> list[str]:
        """The words, with what click could not read as it was meant put into options."""
        return args

    def _understood(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[list[str], list[click.Parameter], Mapping[str, Any]]:
        """The words with their options written out; the parameters that they give, and by name as what. UsageError."""
        while True:
            args = self.as_options(args)
            try:
                values, further, given = self.make_parser(ctx).parse_args(args=list(args))
                if further and ENTRY_ID.fullmatch(further[0]) and self._option(ctx, "--id"):
                    raise click.UsageError(f"entries are named with --id: --id {further[0]}", ctx)
                return args, given, values
            except click.NoSuchOption as error:
                if instead := self._instead(ctx, error.option_name):
                    raise click.UsageError(instead, ctx) from error
                if not error.option_name.startswith("--"):
                    raise
                whole = self._whole_name(ctx, error.option_name)
                if not whole:
                    raise
                args = list(_replaced(args, error.option_name, whole))
            except click.UsageError as error:
                error.ctx = error.ctx or ctx  # whose --help helps
                raise

    def _option(self, ctx: click.Context, name: str) -> click.Option | None:
        options = (param for param in self.get_params(ctx) if isinstance(param, click.Option))
        return next((option for option in options if name in (*option.opts, *option.secondary_opts)), None)

    def _instead(self, ctx: click.Context, name: str) -> str:
        """How to say here what people mean by an option that this command has not; empty if we cannot guess."""
        root = ctx.find_root()
        if ctx.parent and isinstance(root.command, OnceEach) and (option := root.command._option(root, name)):
            words = name if option.is_flag else f"{name} {option.make_metavar(root)}"
            return f"{name} stands before the command: {root.info_name} {words} {ctx.info_name} …"
        if name in ("--id", "-i") and any(param.human_readable_name == "ID" for param in self.get_params(ctx)):
            return f"the id stands alone: {ctx.command_path} 0_abc12345"
        if name == "--all" and self._option(ctx, "--max-entries"):
            return f"{ctx.info_name} needs no --all: without a criterion all entries match (up to --max-entries)"
        return ""

    def _whole_name(self, ctx: click.Context, begun: str) -> str:
        """The one option that begins so, if it takes a value; empty if there is none at all.

        Flags are hinted at only: what lifts a safety is to be written out. Raises UsageError.
        """
        found = {
            name: param
            for param in self.get_params(ctx)
            for name in (*param.opts, *param.secondary_opts)
            if isinstance(param, click.Option) and name.startswith(begun)
        }
        names = sorted(found)
        if len(set(found.values())) > 1:
            raise click.UsageError(f"{begun} may be {', '.join(names[:-1])} or {names[-1]}: write it out", ctx)
        if names and getattr(found[names[0]], "is_flag", False):
            raise click.UsageError(f"{begun} is no option; to mean {' or '.join(names)}, write it out", ctx)
        return names[0] if names else ""


def dashed(name: str) -> str:
    return name.replace("_", "-")


def _longest(param: click.Parameter) -> str:
    return max(param.opts, key=len)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text.strip() for text in values if isinstance(text, str)]


def _replaced(args: list[str], option: str, whole: str) -> Iterator[str]:
    """The words, the first that is this option written out."""
    for position, word in enumerate(args):
        name, *value = word.partition("=")
        if dashed(name) == option:
            yield whole + "".join(value)
            yield from args[position + 1 :]
            return
        yield word


class SelectingCommand(OnceEach):
    """Also takes the old tool's `--status 1 -2 0`: several statuses behind one option."""

    def as_options(self, args: list[str]) -> list[str]:
        folded: list[str] = []
        for arg in args:
            if re.fullmatch(r"-?\d", arg) and len(folded) > 1 and folded[-2] == "--status":
                folded += ["--status", arg]
            elif arg == "--status" and folded and folded[-1] == "--status":
                continue  # "--status --status", as the old page had it
            else:
                folded.append(arg)
        return folded


class ListCommand(SelectingCommand):
    """Tells a kind of media behind `-m`, which is --media-type elsewhere, from a mode, which it is here as it was."""

    def as_options(self, args: list[str]) -> list[str]:
        told: list[str] = []
        for word in super().as_options(args):
            if word in ("audio", "image") and told[-1:] == ["-m"]:
                told[-1] = "--media-type"
            told.append(word)
        return told


def without_limit(found: click.Command) -> click.Command:
    """Have a command look at all entries unless --max-entries says otherwise: what it tells of the first 500 would be
    taken for all."""
    next(option for option in found.params if option.name == "max_entries").default = -1
    return found

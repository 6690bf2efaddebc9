"""How a shell completes what was typed: words with - or _. Loaded when a shell asks, and by `completion`."""

from __future__ import annotations

from typing import Any

from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete
from click.shell_completion import add_completion_class as completes

from kaltura_archiver.cli.command_line import dashed

PROGRAM = "kaltura-archiver"


def _with_dashes(word: str) -> str:
    """A word, as it is registered if it is an option."""
    name, *value = word.partition("=")
    return "".join((dashed(name), *value)) if name.startswith("--") else word


class _EitherSpelling(ShellComplete):
    """Completes what was begun with - or _, in the spelling in which it was begun."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        # bash takes --tier=bulk for three words.
        args = [_with_dashes(arg) for arg in args if arg != "="]
        option, equals, value = incomplete.partition("=")
        if equals and option.startswith("--"):
            found = super().get_completions([*args, dashed(option)], value)
            return [CompletionItem(f"{option}={item.value}", item.type, item.help) for item in found]
        if found := super().get_completions([*args], incomplete):
            return found
        own, other = ("_", "-") if "_" in incomplete else ("-", "_")
        name = incomplete.lstrip("-")
        hyphens = incomplete.removesuffix(name)
        found = super().get_completions(args, hyphens + name.replace(own, other))
        return [
            CompletionItem(hyphens + item.value.removeprefix(hyphens).replace(other, own), item.type, item.help)
            for item in found
        ]


@completes
class _Bash(_EitherSpelling, BashComplete):
    pass


@completes
class _Zsh(_EitherSpelling, ZshComplete):
    pass


@completes
class _Fish(_EitherSpelling, FishComplete):
    pass


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}

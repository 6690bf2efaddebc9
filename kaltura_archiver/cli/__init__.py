"""The command line."""

from kaltura_archiver.cli.program import cli, main

__all__ = ["cli", "main"]

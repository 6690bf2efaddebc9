"""Brings entries to where a command wants them."""

from kaltura_archiver.apply.runner import Runner

__all__ = ["Runner"]

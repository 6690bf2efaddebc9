"""Kaltura: entries, their content, and what may be changed of them."""

from kaltura_archiver.kaltura.changes import Kaltura

__all__ = ["Kaltura"]

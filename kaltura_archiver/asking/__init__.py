"""From what somebody asks for, in words, to a checked Query: for the options of commands, and for tables of a file."""

from kaltura_archiver.asking.query import make_query, query_of

__all__ = ["make_query", "query_of"]

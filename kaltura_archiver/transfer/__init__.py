"""Bytes on their way: libcurl, chunks, hashes, pace, limits, time-outs."""

"""Bytes on their way: chunks, hashes, pace, limits, time-outs."""

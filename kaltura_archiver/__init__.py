"""Moves rarely played Kaltura originals to your own S3/Glacier bucket, and back when somebody plays them."""

__version__ = "2.0.0"

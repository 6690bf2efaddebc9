"""Owners, the directory, notices and mail."""

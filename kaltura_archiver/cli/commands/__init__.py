"""One file a command; the table is in cli/table.py."""

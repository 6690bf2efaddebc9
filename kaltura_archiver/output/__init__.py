"""What people and scripts read: rows, log lines, the sum of a run, files."""

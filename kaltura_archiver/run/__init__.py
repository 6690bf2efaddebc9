"""A run: services, order, lock, log; and what looks at one entry."""

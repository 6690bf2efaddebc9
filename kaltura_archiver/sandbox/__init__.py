"""A Kaltura and an S3 on this machine that behave as the real ones do: for the demo, for trying commands, for tests."""

"""A Kaltura that answers as a real one was seen to."""

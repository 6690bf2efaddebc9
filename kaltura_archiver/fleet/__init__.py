"""One run on many machines, and jobs on AWS."""

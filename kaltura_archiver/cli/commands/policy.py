"""kaltura-archiver policy"""

from __future__ import annotations

import os
import sys

import click

from kaltura_archiver.cli.group import Archiver
from kaltura_archiver.output.tables import to_json


@click.group("policy", cls=Archiver)
def policy() -> None:
    """Help with writing a policy file, which `run` carries out (docs/policy.md).

    \b
    Examples:
      kaltura-archiver policy from-jobs > policy.toml
      kaltura-archiver policy schema > policy.schema.json
    """


@policy.command("schema")
def schema() -> None:
    """Print the JSON Schema of a policy file: an editor that knows it completes keys, and marks what is wrong.

    \b
    Examples:
      kaltura-archiver policy schema
      kaltura-archiver policy schema > policy.schema.json
      kaltura-archiver policy schema | python3 -m json.tool
    """
    from kaltura_archiver.cli.policy_schema import schema as made

    sys.stdout.write(to_json(made(), indent=2) + "\n")


@policy.command("from-jobs")
def from_jobs() -> None:
    """Print the policy that says what the variables of the jobs say now: N_YEARS, SELECTION, STORAGE_CLASS,
    MIN_AGE_YEARS, NOTICED_BEFORE, MAX_ENTRIES, MAX_BYTES, MAX_COST, TIER, DAYS.

    KEEP_TAGS and its kin stay settings, and hold for every rule. The variables are read from the environment. With a
    SELECTION the restores are a comment, for a policy cannot narrow them.

    \b
    Examples:
      kaltura-archiver policy from-jobs
      kaltura-archiver policy from-jobs > policy.toml
      kaltura-archiver policy from-jobs | tee policy.toml
    """
    from kaltura_archiver.cli.policy_of_jobs import policy_of_jobs

    sys.stdout.write(policy_of_jobs(os.environ))

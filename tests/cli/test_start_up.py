"""A command loads what it needs, and no more."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import Run

from kaltura_archiver.model import State
from kaltura_archiver.sandbox.world import Sandbox

LOADED = (
    "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    "from kaltura_archiver.cli import main; main()"
)


@pytest.mark.parametrize(
    ("command", "spared"),
    [
        ("list", {"boto3", "botocore", "awscrt", "KalturaClient.Plugins.ElasticSearch"}),
        ("count", {"boto3", "botocore", "awscrt", "KalturaClient.Plugins.ElasticSearch"}),
        ("health", {"boto3", "s3transfer", "KalturaClient.Plugins.ElasticSearch"}),
    ],
)
def test_a_command_loads_only_what_it_needs(sandbox: Sandbox, run: Run, command: str, spared: set[str]) -> None:
    """`run` sets the environment."""
    sandbox.add(State.ARCHIVED)
    ended = subprocess.run(
        [sys.executable, "-c", LOADED, command], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout
    loaded = set(ended.stderr.split())
    assert "KalturaClient.Plugins.Core" in loaded
    assert not spared & loaded


def test_an_interrupt_while_it_still_loads_is_one_line() -> None:
    """Ctrl-C in the first moment; what is imported is interrupted."""
    early = (
        "import sys, kaltura_archiver.__main__ as begin\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "begin.main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", early], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "error: interrupted\n")

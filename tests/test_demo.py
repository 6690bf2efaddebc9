"""What a new user runs first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def _without_chance(text: str) -> set[str]:
    """Its lines, without what differs from run to run."""
    for pattern in (
        r"\d{4}-\d\d-\d\dT[\d:]+Z",
        r"run=\w+",
        r"\b0_\w{8}\b",
        r"\b[0-9a-f]{64}\b",
        r"\b\d{4,}\b",
        r"\bin [\d.]+ s\b",
    ):
        text = re.sub(pattern, "…", text)
    return {line for line in text.splitlines() if line and line != "…"}


def test_the_demo_plays_the_whole_cycle_and_finds_nothing_wrong() -> None:
    environment = {**os.environ, "KALTURA_SECRET": "the-secret-of-a-real-account", "AWS_BUCKET": "real-bucket"}
    ended = subprocess.run(
        [sys.executable, "-m", "kaltura_archiver", "demo", "--quick"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "✗" not in ended.stdout
    assert ended.stdout.count("✓") == 6
    assert "byte for byte: SHA-256" in ended.stdout
    assert "real-bucket" not in ended.stdout

    page = README.read_text(encoding="utf-8")
    shown = page.split("<!-- demo -->")[1].split("<!-- end demo -->")[0].replace("```text", "").replace("```", "")
    old = _without_chance(shown) - _without_chance(ended.stdout)
    assert not old, "run .venv/bin/python scripts/readme --demo"

"""What a new user runs first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from chance import without_chance

PAGE = Path(__file__).parents[2] / "docs" / "demo.md"


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
    assert ended.stdout.count("✓") == 8
    assert "byte for byte: SHA-256" in ended.stdout
    assert "real-bucket" not in ended.stdout

    page = PAGE.read_text(encoding="utf-8")
    shown = page.split("<!-- demo -->")[1].split("<!-- end demo -->")[0].replace("```text", "").replace("```", "")
    old = without_chance(shown) - without_chance(ended.stdout)
    assert not old, "run .venv/bin/python scripts/docs --demo"

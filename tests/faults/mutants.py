"""Do the proofs see what they are for? The tool is broken on purpose, one way at a time, and they have to notice."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent.parent / "kaltura_archiver"


@dataclass(frozen=True)
class Mutant:
    """Edits of the tool's source, each (file, text that is there once, text instead), and the proof that is to fail."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    proof: tuple[str, ...]


def _walk(scenario: str, *kinds: str) -> tuple[str, ...]:
    return (str(HERE / "walker.py"), "--scenario", scenario, *(word for kind in kinds for word in ("--kind", kind)))


def _test(file: str, name: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-n0", "-q", "--tb=no", str(HERE.parent / file), "-k", name)


MUTANTS = (
    Mutant(
        "tag before copying and verifying",
        (
            (
                "plans.py",
                "            return _go(judgement, Step.COPY, Step.ADD_ARCHIVED)\n",
                "            return _go(judgement, Step.ADD_ARCHIVED, Step.COPY)\n",
            ),
        ),
        _walk("s3copy", "drop-before"),
    ),
    Mutant(
        "do not look at the original again before the swap",
        (
            (
                "apply.py",
                "            if work.facts.original.status.ready:\n                self._require_current(",
                "            if not work.facts.original.status.ready:\n                self._require_current(",
            ),
        ),
        _walk("replace", "author-replaces"),
    ),
    Mutant(
        "take a cut download for a whole one",
        (
            ("kaltura.py", "            if offset >= size:\n                break", "            break"),
            (
                "kaltura.py",
                '        if offset != size:\n            raise EntryFailed(f"flavor',
                '        if False:\n            raise EntryFailed(f"flavor',
            ),
            ("streams.py", "    if found != size_bytes or not found:", "    if False:"),
        ),
        _walk("s3copy", "cut-short"),
    ),
    Mutant(
        "drop flavors_deleted before the original is back",
        (
            (
                "plans.py",
                "    if facts.entry.replaced:\n        steps.append(Step.REMOVE_REPLACED)",
                "    if facts.entry.replaced:\n        steps.insert(0, Step.REMOVE_REPLACED)",
            ),
        ),
        _walk("restore", "kill-after"),
    ),
    Mutant(
        "set flavors_deleted after the swap",
        (
            (
                "plans.py",
                "                Step.ADD_REPLACED,\n                Step.PUT_PLACEHOLDER,",
                "                Step.PUT_PLACEHOLDER,\n                Step.ADD_REPLACED,",
            ),
        ),
        _test("test_plans.py", "each_command_has_its_answer"),
    ),
    Mutant(
        "leave multipart uploads behind",
        (
            ("store.py", "            if not completed:\n", "            if False:\n"),
            ("apply.py", "if self.command in (Command.S3COPY, Command.RESTORE):", "if False:"),
        ),
        _walk("s3copy-parts", "kill-after"),
    ),
    Mutant(
        "leave upload tokens behind",
        (("apply.py", "if self.command in (Command.REPLACE, Command.RESTORE, Command.REPAIR):", "if False:"),),
        _walk("replace", "kill-after"),
    ),
    Mutant(
        "do not check what comes back from S3 and what Kaltura then has",
        (
            (
                "apply.py",
                "        if verdict not in (Identity.SAME, Identity.LIKELY):",
                "        if False:",
            ),
        ),
        _walk("restore", "flip"),
    ),
    Mutant(
        "do not read the restored original",
        (("apply.py", "        if in_kaltura.sha256 != found.sha256:", "        if False:"),),
        _walk("restore", "flip"),
    ),
    Mutant(
        "write our tags over those of others",
        (
            (
                "kaltura.py",
                "partial(_update, entry_id, sent)",
                "partial(_update, entry_id, add or sent)",
            ),
        ),
        _walk("s3copy", "drop-before"),
    ),
    Mutant(
        "roll the tag back although another run has put the placeholder in place",
        (
            (
                "apply.py",
                "if not self._placeholder_comes(work.id):",
                "if True:",
            ),
        ),
        _walk("replace", "author-runs-same"),
    ),
    Mutant(
        "refuse to go on with a replacement in place that was cut",
        (
            (
                "plans.py",
                "        case State.NO_ORIGINAL if entry.replaced:",
                "        case State.NO_ORIGINAL if False:",
            ),
        ),
        _walk("replace-in-place", "kill-after"),
    ),
    Mutant(
        "make a write again whose answer was lost",
        (
            (
                "kaltura.py",
                "            again = failure.code in NOT_ACTED if writes else failure.retryable",
                "            again = failure.retryable",
            ),
        ),
        _walk("replace", "drop-after"),
    ),
    Mutant(
        "skip the HEAD before the swap",
        (
            (
                "apply.py",
                "        new = self._swap(work, work.token, lambda: self._check_copy(work))",
                "        new = self._swap(work, work.token, lambda: None)",
            ),
        ),
        _test("test_races.py", "disappears_before_the_swap"),
    ),
    Mutant(
        "skip the HEAD after the upload, and the checks of the tags after it",
        (
            (
                "apply.py",
                "        if stored is None or stored.size_bytes != found.size_bytes or stored.crc64nvme not in",
                "        if False and stored.crc64nvme not in",
            ),
            ("apply.py", "        self._record(work, work.original, found, new=True)\n", ""),
        ),
        _test("test_races.py", "only_says_it_has"),
    ),
    Mutant(
        "drop If-None-Match",
        (
            ("store.py", 'Body=cast(Any, body), IfNoneMatch="*",', "Body=cast(Any, body),"),
            ("store.py", '"if-none-match": "*", _CRC', "_CRC"),
        ),
        _test("test_races.py", "archived_meanwhile"),
    ),
    Mutant(
        "delete before the upload",
        (
            (
                "apply.py",
                "            taken = self.store.fingerprinter(stored)\n",
                "            taken = self.store.fingerprinter(stored)\n"
                "            for flavor in work.facts.flavors:\n"
                "                self.kaltura.delete_flavor(flavor.id)\n",
            ),
        ),
        _walk("restore", "kill-after"),
    ),
    Mutant(
        "take an incomplete answer of S3 for one",
        (("store.py", "    if status < 300 and model.name in _NEEDED", "    if False and model.name in _NEEDED"),),
        _walk("replace", "garbage"),
    ),
)


def edited(mutant: Mutant) -> Iterator[tuple[str, str]]:
    """(file name, its text after one more edit); ValueError where the text to be edited is not there once."""
    texts: dict[str, str] = {}
    for name, old, new in mutant.edits:
        text = texts.get(name) or (PACKAGE / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{mutant.name}: {name} has {text.count(old)} times {old!r}")
        texts[name] = text.replace(old, new)
        yield name, texts[name]


def caught(mutant: Mutant) -> tuple[bool, str]:
    """Whether the proof fails on the broken tool, and what it said first."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        broken = Path(folder) / "kaltura_archiver"
        shutil.copytree(PACKAGE, broken, ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in edited(mutant):
            (broken / name).write_text(text, encoding="utf-8")
        result = subprocess.run(
            [sys.executable, *mutant.proof],
            env={**os.environ, "PYTHONPATH": folder},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    seen = next((line for line in said if line.split()[0] in _VERDICTS), said[-1] if said else "")
    return result.returncode == 1 and seen.split(" ")[0] in _VERDICTS, seen


_VERDICTS = {
    "LOST", "CORRUPT", "EMPTY", "TAGLOST", "STUCK", "LEFT", "SECRET", "CRASH", "REPEAT", "AssertionError:", "FAILED",
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description="Break the tool on purpose: is it noticed?")
    parser.add_argument("words", nargs="*", help="only mutants with all these words in their names")
    words, missed = parser.parse_args().words, 0
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.name for word in words)]
    if not chosen:
        parser.error("no mutant has such a name")
    for mutant in chosen:
        seen, evidence = caught(mutant)
        missed += not seen
        sys.stdout.write(f"{'caught' if seen else 'MISSED'}  {mutant.name}: {evidence[:160] if seen else ''}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - missed} of {len(chosen)} caught\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

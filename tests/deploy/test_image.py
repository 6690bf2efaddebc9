"""The image's recipe, as far as it can be judged without building it; scripts/image-test builds it and tries it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kaltura_archiver.cli import extras

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
# Each instruction on one line, without comments.
INSTRUCTIONS = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ").splitlines()


def _stages() -> dict[str, list[str]]:
    """Each stage's name, in order, to its instructions, those of the stages of this file below it first."""
    stages: dict[str, list[str]] = {}
    name = ""
    for line in filter(None, INSTRUCTIONS):
        if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            name = match[2]
            stages[name] = list(stages.get(match[1], []))
        stages[name].append(line)
    return stages


STAGES = _stages()


def test_the_image_is_the_last_stage_and_holds_what_was_built_without_the_demo() -> None:
    assert list(STAGES)[-1] == "run"
    copied = [line for line in STAGES["run"] if line.startswith("COPY")]
    assert [line for line in copied if "--from" in line] == ["COPY --from=build /opt/venv /opt/venv"]
    assert not [line for line in STAGES["build"] if "demo" in line or "fleet" in line]
    [base] = {line.split()[1] for name in STAGES for line in STAGES[name][:1]}
    assert re.fullmatch(r"python:3\.13-slim@sha256:[0-9a-f]{64}", base)


def test_it_runs_as_nobody_in_particular_with_an_entry_point_that_gets_signals() -> None:
    for name in ("run", "demo", "fleet"):
        assert [line for line in STAGES[name] if line.startswith("USER")] == ["USER 10001:10001"]
        (entry,) = [json.loads(line.split(" ", 1)[1]) for line in STAGES[name] if line.startswith("ENTRYPOINT")]
        assert entry == ["/app/jobs/entry"]
        assert "COPY jobs/ jobs/" in STAGES[name]
        assert "WORKDIR /app" in STAGES[name]
    for job in ("entry", "archive", "restore", "health"):
        assert (ROOT / "jobs" / job).stat().st_mode & 0o111, f"jobs/{job} is not executable"


def test_the_base_is_renewed_by_one_command(tmp_path: Path) -> None:
    """scripts/image-base asks the registry by docker, for which a stub stands here."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    digest = "sha256:" + "0123456789abcdef" * 4
    for answer, code in ((digest, 0), ("", 1), ("sha256:short", 1)):
        (tmp_path / "docker").write_text(f"#!/bin/sh\necho '{answer}'\n")
        (tmp_path / "docker").chmod(0o755)
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        ended = subprocess.run([tmp_path / "scripts" / "image-base"], env=environment, capture_output=True, check=False)
        assert ended.returncode == code
        renewed = (tmp_path / "Dockerfile").read_text()
        assert renewed.count(f"FROM python:3.13-slim@{digest} AS ") == 2
        assert re.sub(r"@sha256:[0-9a-f]{64}", "", renewed) == re.sub(r"@sha256:[0-9a-f]{64}", "", DOCKERFILE)


def test_nothing_is_installed_but_by_hash() -> None:
    installs = [part for line in INSTRUCTIONS for part in line.split("&&") if re.search(r"pip\b.* install\b", part)]
    assert installs
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install, install
    assert not re.search(r"\b(apt-get|curl|wget|ADD)\b", "\n".join(INSTRUCTIONS))


def test_it_says_which_version_and_commit_it_is() -> None:
    text = " ".join(STAGES["run"])
    assert 'image.version="$VERSION"' in text
    assert 'image.revision="$COMMIT"' in text


def test_the_services_that_are_asked_for_stay_in_it() -> None:
    kept = set(re.findall(r"! -name ([a-z0-9-]+)", DOCKERFILE))
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "kaltura_archiver").rglob("*.py"))
    asked = set(re.findall(r"\bclient\(\s*\"([a-z0-9-]+)\"", code))
    assert {"ecs", "secretsmanager"} <= asked
    assert asked <= kept


def test_who_lacks_an_extra_is_told_the_image_that_has_it() -> None:
    for extra, stage in extras.STAGES.items():
        assert f"or take the image of --target {stage}" in str(extras.lacks("this", ["that"], extra))
        lock = (ROOT / "image" / f"{stage}.lock").read_text(encoding="utf-8")
        assert any(f"image/{stage}.lock" in line for line in STAGES[f"build-{stage}"])
        assert re.search({"cluster": "(?m)^distributed==", "sandbox": "(?m)^moto"}[extra], lock)


def test_nothing_in_it_is_for_one_architecture() -> None:
    assert not re.search(r"amd64|arm64|x86_64|aarch64|--platform", DOCKERFILE)


def test_the_build_sees_what_it_copies_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    seen = {rule[1:].split("/")[0] for rule in rules if rule.startswith("!")}
    words = [line.split()[1:-1] for line in INSTRUCTIONS if line.startswith("COPY") and "--from" not in line]
    copied = {source.strip("/").replace("[4]", "4") for sources in words for source in sources}
    assert seen == copied


def _judged(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = ROOT / "scripts" / tool
    if subprocess.run([program, "--ready"], check=False).returncode:
        pytest.skip(f"it is not installed: scripts/{tool}")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_hadolint_finds_nothing_in_the_recipe(tmp_path: Path) -> None:
    ended = _judged("image-lint")
    assert (ended.returncode, ended.stdout) == (0, "")
    careless = tmp_path / "Dockerfile"
    careless.write_text(
        DOCKERFILE.replace("FROM python:3.13-slim@", "FROM python@") + "RUN cd /tmp && apt-get update\n"
    )
    ended = _judged("image-lint", careless)
    assert ended.returncode == 1
    assert {"DL3003", "DL3009"} <= set(re.findall(r"DL\d{4}", ended.stdout))


def test_nothing_in_the_image_is_known_to_be_vulnerable_and_what_is_would_be_found(tmp_path: Path) -> None:
    ended = _judged("image-scan")
    assert (ended.returncode, ended.stdout) == (0, "")
    scanned = dict(re.findall(r"(\w+\.lock): (\d+) packages, 0 of \d{5} known", ended.stderr))
    locks = list((ROOT / "image").glob("*.lock"))
    assert scanned == {lock.name: str(len(re.findall(r"(?m)^\S+==", lock.read_text()))) for lock in locks}
    (tmp_path / "old.lock").write_text(
        "jinja2==2.7\nrequests==2.32.3 \\\n    --hash=sha256:" + "0" * 64 + "\nsix==1.17.0\n"
    )
    ended = _judged("image-scan", tmp_path / "old.lock")
    assert ended.returncode == 1
    found = {line.split(":")[0] for line in ended.stdout.splitlines()}
    assert found == {"jinja2 2.7", "requests 2.32.3"}
    assert {"CVE-2016-10745", "CVE-2024-47081"} <= set(re.findall(r"CVE-[-\d]+", ended.stdout))


@pytest.mark.parametrize("text", [None, "", "six==1.17.0\nurllib3>=1\n", "six @ file:///six.whl\n"])
def test_a_lock_that_cannot_be_read_is_no_clean_bill(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "odd.lock").write_text(text)
    ended = _judged("image-scan", tmp_path / "odd.lock")
    assert ended.returncode == 1
    assert "0 of" not in ended.stderr


def test_the_locks_of_the_image_are_current() -> None:
    ended = subprocess.run([sys.executable, ROOT / "scripts" / "image-lock", "--check"], check=False)
    assert ended.returncode == 0, "run .venv/bin/python scripts/image-lock"

"""What an extra of the installation has to bring, and which image has it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping

from kaltura_archiver.errors import ConfigError

# The stage of the Dockerfile whose image has the extra; the others are for people, who have a machine of their own.
STAGES = {"cluster": "fleet", "sandbox": "demo"}


def lacks(what: str, names: Iterable[str], extra: str) -> ConfigError:
    """What to say where something needs libraries that are not there."""
    stage = STAGES.get(extra)
    image = f"or take the image of --target {stage}" if stage else "no image has it"
    return ConfigError(f"{what} needs {' and '.join(names)}: pip install 'kaltura-archiver[{extra}]', {image}")


def need(what: str, modules: Mapping[str, str], extra: str) -> None:
    """Raise ConfigError unless these modules are there; they are told by the names of their libraries."""
    if missing := [library for name, library in modules.items() if importlib.util.find_spec(name) is None]:
        raise lacks(what, missing, extra)


def need_sandbox() -> None:
    need("the sandbox", {"moto": "moto", "flask": "flask", "av": "PyAV"}, "sandbox")

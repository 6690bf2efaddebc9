"""What an extra of the installation has to bring."""

from __future__ import annotations

from kaltura_archiver.errors import ConfigError


def need_sandbox() -> None:
    import importlib.util

    missing = [name for name in ("moto", "flask", "av") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"the sandbox needs {', '.join(missing)}: pip install 'kaltura-archiver[sandbox]'")

"""How Dask is set up: quiet, over TLS, and without ports that nobody asked for."""

from __future__ import annotations

import logging
import tempfile
from ssl import TLSVersion
from typing import Any

import dask.config
from distributed import Security

from kaltura_archiver.fleet.certificates import Certificates

# The operator's own configuration of Dask (DASK_… variables, its files) wins over these.
dask.config.update_defaults(
    {
        "distributed": {
            "scheduler": {
                # A third death of a worker makes an entry suspect: see Fleet.run.
                "allowed-failures": 2,
                "worker-ttl": "60s",
                "http": {"routes": []},
            },
            "worker": {"http": {"routes": []}, "profile": {"enabled": False}},
            # Worker processes log nothing before they know how to (see dask_setup).
            "nanny": {"pre-spawn-environ": {"DASK_LOGGING__DISTRIBUTED": "critical"}},
            "diagnostics": {"nvml": False},
        }
    }
)
PORT = 8786
QUIET: dict[str, Any] = {
    "dashboard": False,
    "dashboard_address": "127.0.0.1:0",
}  # Dask opens that port all the same; it serves nothing


def hush() -> None:
    """Take Dask's own lines away from stderr; with --log-level DEBUG its warnings come, redacted as ours."""
    heard = logging.getLogger("kaltura_archiver").isEnabledFor(logging.DEBUG)
    for name in list(logging.Logger.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "tornado", "asyncio", "bokeh"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING if heard else logging.CRITICAL + 1)


def scratch_folder() -> str:
    """A folder to write to: in a task with a read-only root there is still shared memory."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = "/dev/shm"  # noqa: S108 - the only one there is
        return tempfile.tempdir


def security_of(certificates: Certificates) -> Security:
    scratch_folder()  # Dask writes the key to a file for a moment
    roles = ("client", "scheduler", "worker")
    pairs = {f"tls_{role}_{part}": getattr(certificates, part) for role in roles for part in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=certificates.ca, tls_min_version=TLSVersion.TLSv1_3, **pairs)

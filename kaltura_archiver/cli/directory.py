"""The options of those who ask a directory."""

from __future__ import annotations

import dataclasses

import click

from kaltura_archiver.cli.app import App
from kaltura_archiver.cli.options import F
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.config import LdapSettings

# Option, its field of LdapSettings, help.
_LDAP = (
    ("--server", "server", "HOST", "Host of the directory [LDAP_SERVER]."),
    ("--port", "port", "PORT", "Its port [LDAP_PORT, or 636]."),
    ("--tls", "tls", "KIND", "ldaps, starttls or none [LDAP_TLS, or ldaps]."),
    ("--ca-file", "ca_file", "FILE", "PEM file of the authority to trust [LDAP_CA_FILE, or the system's]."),
    ("--bind-pattern", "bind_pattern", "P", "Name to sign in with [LDAP_BIND_PATTERN, or uid={user},{base}]."),
    ("--base", "base", "DN", "Where to search [LDAP_BASE, or Princeton's]."),
)


def ldap_options(function: F) -> F:
    for option, name, metavar, text in reversed(_LDAP):
        kind = PATH if metavar == "FILE" else click.STRING
        function = click.option(option, name, type=kind, metavar=metavar, help=text)(function)
    return function


def settings_with(app: App, options: dict[str, str | None]) -> LdapSettings:
    return dataclasses.replace(app.settings.ldap, **{name: value for name, value in options.items() if value})

"""kaltura-archiver ldapsearch"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click

from kaltura_archiver.cli.app import App, pass_app
from kaltura_archiver.cli.directory import ldap_options, settings_with
from kaltura_archiver.cli.group import command
from kaltura_archiver.cli.options import format_option
from kaltura_archiver.cli.types import PATH
from kaltura_archiver.errors import Exit
from kaltura_archiver.output.files import check_target, write
from kaltura_archiver.output.screen import SCREEN, rows_as


@command("ldapsearch")
@click.argument("words", nargs=-1, metavar="FILTER [ATTRIBUTE]...")
@click.option("--expr", "-e", "question", metavar="FILTER", hidden=True, help="Old name of FILTER.")
@click.option("--loglevel", "-l", metavar="LEVEL", hidden=True, expose_value=False, help="Accepted for old scripts.")
@click.option("--output", "-o", default="-", type=PATH, metavar="FILE", help="File to write [stdout].")
@ldap_options
@format_option
@pass_app
def ldapsearch(
    app: App, /, words: tuple[str, ...], question: str | None, output: str, style: str, **options: Any
) -> None:  # fmt: skip
    """Run one LDAP filter and print the attributes asked for; without any, the names (dn) of what it finds.

    Several values of an attribute are joined by "; ". Exit status 1 if the server does not give everything.

    \b
    Examples:
      kaltura-archiver ldapsearch uid=jdoe displayName ou mail
      kaltura-archiver ldapsearch '(&(uid=*)(!(pususpended=*)))' dn uid puresource
      kaltura-archiver ldapsearch --server ldap.example.edu --base dc=example,dc=edu '(ou=Library)' uid
    """
    from kaltura_archiver.output.reading import check_columns
    from kaltura_archiver.people.directory import Directory
    from kaltura_archiver.people.ldap import checked_filter
    from kaltura_archiver.people.owners import attribute_names, attributes_of

    names, usual = words, "uid"  # what the old program showed
    if question is None:
        if not words:
            raise click.UsageError("Missing argument 'FILTER'.", click.get_current_context())
        (question, *_), names, usual = words, words[1:], "dn"
    shown = tuple(name for word in names for name in attribute_names(word, "ATTRIBUTE")) or (usual,)
    check_columns([name.lower() for name in shown], "ATTRIBUTE")
    question = checked_filter(question, "FILTER")
    wanted = [name for name in shown if name.lower() != "dn"] or ["1.1"]  # 1.1: no attribute
    settings = settings_with(app, options)
    text = None if output == "-" else io.StringIO()
    if text:
        check_target(Path(output))
    with Directory(settings, attributes_of(settings)) as directory:
        directory.open()
        with rows_as("tsv" if text and style == SCREEN else style, shown, text) as rows:
            for found in directory.search(question, wanted):
                cells = {"dn": found.dn} | {name: "; ".join(values) for name, values in found.attributes.items()}
                rows.write({name: cells.get(name.lower()) or None for name in shown})
    if text:
        write(Path(output), text.getvalue().encode())
    app.exit(Exit.OK)

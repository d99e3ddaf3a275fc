"""`parazip update` and `parazip delete`: an archive that is there is changed."""

from __future__ import annotations

from typing import Any

import click

from parazip.cli import options
from parazip.cli.create import read_listed_names
from parazip.display import Display
from parazip.settings import Preview, Report

_HELP = {"help_option_names": ["-h", "--help"]}


@click.command(cls=options.GroupedCommand, context_settings=_HELP)
@click.argument("archive", metavar="ARCHIVE")
@click.argument("paths", metavar="PATH...", nargs=-1)
@options.input_options
@options.skipping_options
@options.changes_option
@options.layout_options
@options.output_options
@options.sync_option
@options.listing_options
def update(
    archive: str, paths: tuple[str, ...], files_from: str | None, null: bool, **values: Any
) -> None:
    """Put files, and folders with all they hold, into the zip archive ARCHIVE.

    A member of the same name is replaced in its place; others come behind those that are there.
    What has not changed, by size and CRC-32, is copied as it is compressed, and so are all other
    members. ARCHIVE is replaced when all is done, and not written if nothing changed; if there is
    none, it is made. Its comment stays, and so does what stands in front of it, unless --prepend or
    --shebang takes its place.
    """
    names = read_listed_names(paths, files_from, null)
    common = options.CommonOptions.read(values)
    archive = options.check_in_place(archive)
    from parazip.engine import revision

    arguments = {**common.arguments, "paths": paths, "names": names}

    def preview() -> Preview:
        return revision.preview_update(archive, **arguments)

    def make(display: Display) -> Report:
        return revision.update(archive, progress=display, sync=common.sync, **arguments)

    common.execute(archive, preview, make)


@click.command(cls=options.GroupedCommand, context_settings=_HELP)
@click.argument("archive", metavar="ARCHIVE")
@click.argument("patterns", metavar="GLOB...", nargs=-1, required=True)
@options.working_options
@options.telling_options
@options.sync_option
@options.listing_options
def delete(archive: str, patterns: tuple[str, ...], **values: Any) -> None:
    """Take the members that match out of the zip archive ARCHIVE.

    GLOB is compared as by --exclude of the other commands: with names at any depth or, if it has a
    slash, with whole member names; with a slash at its end it means a folder. A folder goes with
    all it holds. A GLOB that matches nothing is an error. All other members are copied as they are
    compressed; ARCHIVE is replaced when all is done.
    """
    common = options.CommonOptions.read(values)
    archive = options.check_in_place(archive)
    from parazip.engine import revision

    def preview() -> Preview:
        return revision.preview_delete(archive, patterns)

    def make(display: Display) -> Report:
        return revision.delete(
            archive, patterns, common.settings, progress=display, sync=common.sync
        )

    common.execute(archive, preview, make)

"""`parazip update` and `parazip delete`: an archive that is there is changed."""

from __future__ import annotations

import click

from parazip.cli import options
from parazip.cli.create import read_listed_names
from parazip.codecs.table import CodecName
from parazip.dates import Timestamp
from parazip.display import Display, Mode
from parazip.model import Changes
from parazip.selection import Modes, Skip, Symlinks
from parazip.settings import Settings

_HELP = {"help_option_names": ["-h", "--help"]}


@click.command(cls=options.GroupedCommand, context_settings=_HELP)
@click.argument("archive", metavar="ARCHIVE")
@click.argument("paths", metavar="PATH...", nargs=-1)
@options.input_options
@options.skipping_options
@options.changes_option
@options.layout_options
@options.output_options
@options.listing_options
@click.pass_context
def update(
    context: click.Context,
    /,
    archive: str,
    paths: tuple[str, ...],
    directory: str | None,
    exclude: tuple[str, ...],
    prefix: str,
    files_from: str | None,
    null: bool,
    symlinks: Symlinks,
    ignore: bool,
    exclude_vcs: bool,
    skip: tuple[Skip, ...],
    changes: Changes,
    store: tuple[str, ...],
    align: tuple[tuple[int, str], ...],
    level: int,
    codec: CodecName,
    jobs: int | None,
    memory: int,
    timestamp: Timestamp | None,
    modes: Modes,
    prepend: str | None,
    shebang: str | None,
    progress: Mode,
    quiet: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put files, and folders with all they hold, into the zip archive ARCHIVE.

    A member of the same name is replaced in its place, others come behind those that are there.
    What has not changed, by size and CRC-32, is copied as it is compressed; so are all other
    members. ARCHIVE is replaced when all is done, and not written if nothing changed; where there
    is none, it is made. What stands in front of it and its comment stay (--prepend and --shebang
    take the place of the first).
    """
    names = read_listed_names(paths, files_from, null)
    selection = options.make_selection(
        directory=directory,
        exclude=exclude,
        prefix=prefix,
        symlinks=symlinks,
        modes=modes,
        timestamp=timestamp,
        ignore=ignore,
        exclude_vcs=exclude_vcs,
        skip=skip,
        changes=changes,
        store=store,
        align=align,
    )
    settings = options.make_settings(context, level, codec, jobs, memory)
    from parazip import revision

    archive = options.check_in_place(archive)
    with Display(progress, quiet) as display:
        if dry_run:
            found = revision.preview_update(
                archive,
                paths,
                settings,
                selection,
                names=names,
                prepend=prepend,
                shebang=shebang,
            )
            display.preview(archive, found, as_json)
            return
        report = revision.update(
            archive,
            paths,
            settings,
            selection,
            names=names,
            prepend=prepend,
            shebang=shebang,
            progress=display,
        )
        display.summary(report, as_json)


@click.command(cls=options.GroupedCommand, context_settings=_HELP)
@click.argument("archive", metavar="ARCHIVE")
@click.argument("patterns", metavar="GLOB...", nargs=-1, required=True)
@options.working_options
@options.telling_options
@options.listing_options
def delete(
    archive: str,
    patterns: tuple[str, ...],
    jobs: int | None,
    memory: int,
    progress: Mode,
    quiet: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take the members that match out of the zip archive ARCHIVE.

    GLOB is compared as by --exclude of the other commands: with a name at any depth, or, with a
    slash in it, with a whole member name (with a slash at its end, of a folder); a folder goes with
    all it holds. A GLOB that matches nothing is an error. All other members are copied as they are
    compressed; ARCHIVE is replaced when all is done.
    """
    from parazip import revision

    archive = options.check_in_place(archive)
    with Display(progress, quiet) as display:
        if dry_run:
            display.preview(archive, revision.preview_delete(archive, patterns), as_json)
            return
        settings = Settings(jobs=jobs, memory=memory)
        report = revision.delete(archive, patterns, settings, progress=display)
        display.summary(report, as_json)

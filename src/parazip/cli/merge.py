"""`parazip merge`: archives and folders into one archive, without compressing twice."""

from __future__ import annotations

import os

import click

from parazip.cli import options
from parazip.codecs.table import CodecName
from parazip.dates import Timestamp
from parazip.display import Display, Mode
from parazip.merging import ON_DUPLICATE, OnDuplicate, Source
from parazip.model import Changes
from parazip.selection import Modes, Skip


@click.command(cls=options.GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("archive", metavar="ARCHIVE")
@click.argument("sources", metavar="[NAME/=]SOURCE...", nargs=-1, required=True)
@options.selecting("-C", "--directory", metavar="DIR", help="Take SOURCEs relative to DIR.")
@options.selecting(
    "-x",
    "--exclude",
    metavar="GLOB",
    multiple=True,
    help="Leave out what matches: a name at any depth, or, with a slash in GLOB, a whole name as "
    "it is in SOURCE; with a slash at its end, a folder. Repeatable.",
)
@options.selecting(
    "--on-duplicate",
    type=click.Choice(ON_DUPLICATE),
    default="error",
    show_default=True,
    help="What to do with a second member of one name: same allows it if size and CRC-32 agree.",
)
@options.selecting(
    "--check-crc", is_flag=True, help="Inflate what is copied, and compare its CRC-32."
)
@options.skipping_options
@options.changes_option
@options.layout_options
@options.output_options
@options.listing_options
@click.pass_context
def merge(
    context: click.Context,
    /,
    archive: str,
    sources: tuple[str, ...],
    directory: str | None,
    exclude: tuple[str, ...],
    on_duplicate: OnDuplicate,
    check_crc: bool,
    changes: Changes,
    store: tuple[str, ...],
    align: tuple[tuple[int, str], ...],
    ignore: bool,
    exclude_vcs: bool,
    skip: tuple[Skip, ...],
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
    """Put what zip archives and folders hold into the new zip archive ARCHIVE, in order.

    Members of archives are copied as they are compressed; what folders hold is compressed.
    NAME/=SOURCE puts all of SOURCE below folder NAME. ARCHIVE appears complete or not at all, so
    it may be one of the SOURCEs; with "-" it goes to standard output.
    """
    options.refuse_two_on_standard_output(archive, dry_run, as_json)
    selection = options.make_selection(
        directory=directory,
        exclude=exclude,
        ignore=ignore,
        exclude_vcs=exclude_vcs,
        skip=skip,
        modes=modes,
        timestamp=timestamp,
        store=store,
        align=align,
        changes=changes,
    )
    settings = options.make_settings(context, level, codec, jobs, memory)
    from parazip import archive as engine

    given = [_source(text, directory or "") for text in sources]
    with Display(progress, quiet) as display:
        if dry_run:
            place = None if archive == "-" else archive
            found = engine.preview_merge(
                given,
                selection,
                on_duplicate=on_duplicate,
                archive=place,
                settings=settings,
                prepend=prepend,
                shebang=shebang,
            )
            display.preview(archive, found, as_json)
            return
        report = engine.merge(
            options.open_target(archive),
            given,
            settings,
            selection,
            on_duplicate=on_duplicate,
            check_crc=check_crc,
            prepend=prepend,
            shebang=shebang,
            progress=display,
        )
        display.summary(report, as_json)


def _source(text: str, directory: str) -> Source:
    """`NAME/=SOURCE`, unless there is no such SOURCE and "/=" is part of a path that there is.

    Where there are both, that path is told as `/=SOURCE`.
    """
    name, given, path = text.partition("/=")

    def is_there(path: str) -> bool:
        return bool(path) and os.path.lexists(os.path.join(directory, path))

    return (name, path) if given and (is_there(path) or not is_there(text)) else text

"""`parazip merge`: archives and folders into one archive, without compressing twice."""

from __future__ import annotations

import os
from typing import Any

import click

from parazip.cli import options
from parazip.display import Display
from parazip.settings import Preview, Report
from parazip.sources.files import is_url
from parazip.sources.merging import ON_DUPLICATE, OnDuplicate, Source


@click.command(cls=options.GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("archive", metavar="ARCHIVE")
@click.argument("sources", metavar="[NAME/=]SOURCE...", nargs=-1, required=True)
@options.selecting("-C", "--directory", metavar="DIR", help="Take SOURCEs relative to DIR.")
@options.selecting(
    "-x",
    "--exclude",
    metavar="GLOB",
    multiple=True,
    help="Leave out what matches. GLOB is compared with names at any depth or, if it has a slash, "
    "with whole names as they are in SOURCE; with a slash at its end it means a folder. "
    "Repeatable.",
)
@options.selecting(
    "--on-duplicate",
    type=click.Choice(ON_DUPLICATE),
    default="error",
    show_default=True,
    help="What to do with a second member of one name; same allows it if size and CRC-32 agree.",
)
@options.selecting(
    "--check-crc", is_flag=True, help="Inflate what is copied and compare its CRC-32."
)
@options.skipping_options
@options.changes_option
@options.layout_options
@options.output_options
@options.executor_option
@options.verify_option
@options.sync_option
@options.listing_options
def merge(
    archive: str,
    sources: tuple[str, ...],
    on_duplicate: OnDuplicate,
    check_crc: bool,
    **values: Any,
) -> None:
    """Put what zip archives and folders hold into the new zip archive ARCHIVE, in order.

    Members of archives are copied as they are compressed; what folders hold is compressed.
    NAME/=SOURCE puts all of SOURCE below folder NAME. A SOURCE may be a URL, of which no more is
    fetched than is needed. ARCHIVE may be a URL of a store, such as s3://bucket/name. It appears
    complete or not at all, so it may be one of the SOURCEs; with "-" it goes to standard output.
    """
    options.refuse_two_on_standard_output(archive, values)
    common = options.CommonOptions.read(values)
    from parazip.engine import archive as engine

    arguments = {
        **common.arguments,
        "sources": [_read_source(text, values["directory"] or "") for text in sources],
        "on_duplicate": on_duplicate,
    }

    def preview() -> Preview:
        return engine.preview_merge(archive=None if archive == "-" else archive, **arguments)

    def make(display: Display) -> Report:
        target = options.open_target(archive)
        with common.open_executor() as executor:
            return engine.merge(
                target,
                check_crc=check_crc,
                progress=display,
                executor=executor,
                inspect=common.find_inspector(archive),
                sync=common.sync,
                **arguments,
            )

    common.execute(archive, preview, make)


def _read_source(text: str, directory: str) -> Source:
    """`NAME/=SOURCE`, unless there is no such SOURCE and "/=" is part of a path that there is.

    Where there are both, that path is written as `/=SOURCE`. A URL may have "/=" anywhere.
    """
    if is_url(text):
        return text
    name, given, path = text.partition("/=")

    def is_there(path: str) -> bool:
        return bool(path) and os.path.lexists(os.path.join(directory, path))

    return (name, path) if given and (is_there(path) or not is_there(text)) else text

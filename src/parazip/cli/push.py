"""`parazip push`: an object of S3 becomes equal to an archive."""

from __future__ import annotations

from dataclasses import replace

import click

from parazip.cli import options
from parazip.cli.extract import opened_archive
from parazip.display import Display, Mode


@click.command(cls=options.GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("archive", metavar="ARCHIVE")
@click.argument("url", metavar="URL")
@options.telling_options
@options.telling(
    "-n",
    "--dry-run",
    is_flag=True,
    help="Write nothing; look at what is there, and tell how much would be sent and copied.",
)
@options.telling(
    "--json",
    "as_json",
    is_flag=True,
    help="Tell what was done, or with -n what would be, as one JSON document on standard output.",
)
def push(archive: str, url: str, progress: Mode, quiet: bool, dry_run: bool, as_json: bool) -> None:
    """Make the object at URL equal to the zip archive ARCHIVE, and send only what has changed.

    URL is s3://bucket/name. What the object there has already, in runs of 5 MiB and more, the store
    copies by itself; if there is none, or if it is no archive, all is sent. It is replaced in one
    step when all is right. ARCHIVE may be - for standard input.
    """
    from parazip import pushing

    with opened_archive(archive) as path, Display(progress, quiet) as display:
        if dry_run:
            previewed = replace(pushing.preview_push(path, url), archive=archive)
            display.show_push_preview(previewed, as_json)
        else:
            report = replace(pushing.push(path, url, progress=display), archive=archive)
            display.show_pushed(report, as_json)

"""Assembles a new archive: a prefix, sections in order, one central directory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeAlias

from parazip.codecs.levels import DEFLATE_STORED
from parazip.engine.prefix import Prefix, write_prefix
from parazip.engine.progress import Counter
from parazip.engine.sections import AssemblyOptions, SectionMaker
from parazip.engine.writer import ArchiveWriter
from parazip.model import Frame, Range, Section
from parazip.output import existing
from parazip.output.places import open_place
from parazip.output.stream import BinaryOutput, Output, Pipe, refuse_no_file
from parazip.settings import Report

Target: TypeAlias = str | os.PathLike[str] | BinaryOutput | Pipe


def assemble(
    archive: Target,
    sections: Iterable[Section],
    options: AssemblyOptions,
    counter: Counter,
    *,
    prefix: Prefix = Prefix(),  # noqa: B008 # it is frozen
    frame: Frame | None = None,
    standing: existing.ExistingFile | None = None,
) -> Report:
    """Writes a new archive of sections; see `archive.write`.

    The sections' members have been checked and counted, by the time that they are written.

    Args:
        archive: a path or a URL, or an open binary file.
        sections: what to put in, in this order.
        options: how they are made.
        counter: told of what is written.
        prefix: what is put in front of the archive, checked.
        frame: what is taken over from the archive that is replaced: its comment, and what stands
            in front of it, if nothing else is given.
        standing: what has to stand under that path until the end, if not anything may.
    """
    with _open_output(archive, standing, options) as output:
        assembly = Assembly(output, options, counter)
        for _ in assembly.write(sections, prefix, frame):
            pass
    return assembly.report()


class Assembly:
    """One archive, on its way into an output.

    Args:
        output: where it goes.
        options: how sections are made.
        counter: told of what is written.
    """

    def __init__(self, output: Output, options: AssemblyOptions, counter: Counter) -> None:
        self._began = time.monotonic()
        self._output = output
        self._start = output.position
        if not output.seekable:
            options = replace(options, recipe=options.recipe._replace(plain=DEFLATE_STORED))
        if not output.gives_back:
            options = replace(options, cache=None)
        self._cache = options.cache
        self._counter = counter
        self._writer = ArchiveWriter(output)
        self._maker = SectionMaker(self._writer, output, counter, options)
        self._misreadings: Sequence[str] = ()

    def write(
        self, sections: Iterable[Section], prefix: Prefix, frame: Frame | None = None
    ) -> Iterator[None]:
        """Writes it from its first byte to its last; stops as `SectionMaker.make_all` does."""
        writer, output = self._writer, self._output
        is_script, self._misreadings = write_prefix(writer, prefix)
        if frame is not None and not prefix.is_given:
            writer.write_prefix(Range(frame.archive, 0, frame.prefix_size))
        yield from self._maker.make_all(sections)
        writer.finish(frame.comment if frame is not None else b"")
        output.is_executable = is_script

    def report(self) -> Report:
        """What was made, once the output is closed."""
        counter, writer, output, maker = self._counter, self._writer, self._output, self._maker
        aligned = writer.aligned - writer.aligned_before
        return Report(
            archive=output.name,
            members=counter.members_total,
            bytes_in=counter.bytes_total,
            bytes_out=output.position - self._start,
            seconds=time.monotonic() - self._began,
            codecs=maker.tallies,
            recalled=maker.recalled,
            sections=tuple(maker.reports),
            aligned=aligned,
            notes=(
                *(self._cache.notes if self._cache is not None else ()),
                *note_unaligned(counter.align_total, counter.align_total - aligned),
                *self._misreadings,
                *output.notes,
            ),
        )


def _open_output(
    archive: Target,
    standing: existing.ExistingFile | None,
    options: AssemblyOptions,
) -> AbstractContextManager[Output]:
    if isinstance(archive, str | os.PathLike):
        return open_place(os.fspath(archive), standing, options.inspect, options.sync)
    refuse_no_file(
        str(getattr(archive, "name", "this output")),
        inspects=options.inspect is not None,
        syncs=options.sync,
    )
    return nullcontext(Output(archive, str(getattr(archive, "name", "-"))))


def note_unaligned(asked: int, compressed: int) -> Iterator[str]:
    """What people should know of members that are not aligned, as they are compressed.

    Args:
        asked: how many were to be aligned, if they are stored.
        compressed: how many of them are not stored.
    """
    if compressed:
        yield (
            f"compressed members are not aligned: {compressed:,} of the {asked:,} that were "
            "to be; --store keeps files as they are"
        )

"""The constants of the model: measured ones, and assumed ones."""

from __future__ import annotations

from typing import NamedTuple


class Measured(NamedTuple):
    """What was measured, by `measuring`; in seconds of CPU time and in bytes.

    Attributes:
        find: to find a member, and to check its name.
        plan: to group a member, and to write it into a question.
        answer: to read a member out of an answer, and to place it in the directory.
        shard: to hand out a shard and to take what came of it, besides its members.
        here: to write a byte here.
        compress: to compress a byte of contents.
        member: to open, make and describe a member.
        known: bytes of memory for each member that is known.
        question: bytes of a member in a question.
        directory: bytes of a member in the directory.
        record: bytes of a member in front of its contents.
    """

    find: float
    plan: float
    answer: float
    shard: float
    here: float
    compress: float
    member: float
    known: int
    question: int
    directory: int
    record: int


EPYC = Measured(
    find=12e-6,
    plan=4.4e-6,
    answer=9.5e-6,
    shard=0.18e-3,
    here=1e-9,
    compress=15.6e-9,
    member=42e-6,
    known=496,
    question=152,
    directory=98,
    record=70,
)
"""Medians of an AMD EPYC at level 6, for who does not measure; `docs/scale.md` tells more."""


class Assumed(NamedTuple):
    """What is elsewhere, and prices in US dollars.

    Attributes:
        read: bytes a second that a worker reads of its files.
        open: seconds until a file answers.
        send: bytes a second that a worker sends to the store, and that are sent from here.
        request: seconds until the store answers.
        hand_out: seconds between the executor's question and its worker, both ways.
        jobs: shards in flight at most; None for any number.
        memory: bytes in flight at most, as `--memory`.
        core_hour: a worker's core, or this process's, for an hour.
        thousand_puts: 1,000 requests.
        gigabyte_month: of 10^9 bytes that are kept for a month.
    """

    read: float = 200e6
    open: float = 0.5e-3
    send: float = 80e6
    request: float = 0.05
    hand_out: float = 2e-3
    jobs: int | None = None
    memory: int = 256 << 20
    core_hour: float = 0.05
    thousand_puts: float = 0.005
    gigabyte_month: float = 0.023

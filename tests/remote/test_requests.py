"""How much is fetched of an archive on a web server, and by how many requests."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import parazip
from parazip.sources import remote
from support.remote_archives import SIZE, choose_ten, make_large_archive, read_contents
from support.web_server import Site

LARGE = make_large_archive()
CONTENTS = read_contents(LARGE)
TEN = choose_ten([*CONTENTS])
OTHERS = tuple(name for name in CONTENTS if name not in TEN)

END = (256 << 10) + (32 << 10)
"""What is fetched of an archive's end, and around its last record."""

FIND, TAIL, LAST = 1, 1, 1
"""Requests to find a file, for its end, and for its last record if that is not in there."""


def test_list_fetches_the_directory_alone(site: Site) -> None:
    url = site.put("/large.zip", LARGE)
    assert [member.name for member in parazip.list_members(url)] == [*CONTENTS]
    assert len(site.requests) <= FIND + TAIL + LAST
    assert site.sent <= END


def test_a_long_directory_takes_one_request_more(site: Site) -> None:
    archive = make_large_archive(6_000, 10)
    url = site.put("/many.zip", archive)
    assert len(parazip.list_members(url)) == 6_000
    assert len(site.requests) <= FIND + TAIL + 1 + LAST
    assert site.sent <= len(archive)


def test_ten_members_are_extracted_by_some_ten_requests(site: Site, tmp_path: Path) -> None:
    url = site.put("/large.zip", LARGE)
    report = parazip.extract(url, tmp_path / "out", parazip.Extraction(members=TEN))
    assert report.members == 10
    assert {name: (tmp_path / "out" / name).read_bytes() for name in TEN} == {
        name: CONTENTS[name] for name in TEN
    }
    assert len(site.requests) <= FIND + TAIL + LAST + 10
    assert site.sent <= END + 10 * (SIZE + 1_000)


def test_ten_members_are_merged_by_some_ten_requests(site: Site, tmp_path: Path) -> None:
    url = site.put("/large.zip", LARGE)
    made = tmp_path / "made.zip"
    selection = parazip.Selection(exclude=OTHERS)
    assert parazip.merge(made, [url], selection=selection).members == 10
    assert read_contents(made.read_bytes()) == {name: CONTENTS[name] for name in TEN}
    assert len(site.requests) <= FIND + TAIL + LAST + 10
    assert site.sent <= END + 10 * (SIZE + 1_000)


def test_all_is_merged_as_from_a_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "large.zip").write_bytes(LARGE)
    parazip.merge(tmp_path / "local.zip", [tmp_path / "large.zip"])
    url = site.put("/large.zip", LARGE)
    parazip.merge(tmp_path / "remote.zip", [url])
    assert (tmp_path / "remote.zip").read_bytes() == (tmp_path / "local.zip").read_bytes()
    assert len(site.requests) <= FIND + TAIL + LAST + 2 + len(LARGE) // (512 << 10)
    assert site.sent <= END + len(LARGE)


def test_neighbours_are_extracted_by_one_request(site: Site, tmp_path: Path) -> None:
    url = site.put("/large.zip", LARGE)
    parazip.extract(url, tmp_path / "out", parazip.Extraction(members=("package/03/",)))
    assert len(list((tmp_path / "out/package/03").iterdir())) == 20
    assert len(site.requests) <= FIND + TAIL + LAST + 1


def test_an_archive_whose_offsets_leave_out_a_prefix_is_read_from_front_to_back(
    site: Site,
) -> None:
    """The strict reader looks at the other place of each record."""
    archive = b"#!/bin/sh\n" + make_large_archive(2_000, 1_000)
    url = site.put("/program", archive)
    assert len(parazip.list_members(url)) == 2_000
    assert len(site.requests) <= 15
    assert site.sent <= 1.1 * len(archive)


def test_verify_reads_each_byte_once(site: Site) -> None:
    url = site.put("/large.zip", LARGE)
    report = parazip.verify(url)
    assert report.is_sound
    assert report.members == len(CONTENTS)
    assert len(site.requests) <= FIND + TAIL + LAST + 4
    assert site.sent <= END + len(LARGE)


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_long_member_is_fetched_in_long_pieces(site: Site, tmp_path: Path, jobs: int) -> None:
    archive = make_large_archive(1, 30 << 20)
    url = site.put("/long.zip", archive)
    settings = parazip.Settings(jobs=jobs)
    parazip.extract(url, tmp_path / "out", settings=settings)
    parazip.merge(tmp_path / "made.zip", [url], settings)
    (name,) = contents = read_contents(archive)
    assert (tmp_path / "out" / name).read_bytes() == contents[name]
    assert read_contents((tmp_path / "made.zip").read_bytes()) == contents
    pieces = -(-len(archive) // remote.LARGEST)
    again = 8  # with more jobs, some of it is searched for places where it can be cut
    assert len(site.requests) <= 2 * (FIND + TAIL + LAST + 1 + pieces) + again


def test_small_files_are_fetched_by_one_request_each(site: Site, tmp_path: Path) -> None:
    urls = [site.put(f"/file-{number}.txt", b"%d" % number * 100) for number in range(50)]
    made = tmp_path / "made.zip"
    assert parazip.create(made, urls).members == 50
    with zipfile.ZipFile(made) as archive:
        assert archive.namelist() == [f"file-{number}.txt" for number in range(50)]
        assert archive.getinfo("file-7.txt").date_time[:3] == (2020, 4, 1)
    assert len(site.requests) == 2 * 50


def test_a_long_file_is_compressed_as_a_local_one_is(site: Site, tmp_path: Path) -> None:
    data = b"".join(b"line %d of some text\n" % number for number in range(300_000))
    (tmp_path / "long.txt").write_bytes(data)
    selection = parazip.Selection(timestamp="epoch", modes="normal")
    parazip.create(tmp_path / "remote.zip", [site.put("/long.txt", data)], selection=selection)
    selection = parazip.Selection(directory=tmp_path, timestamp="epoch", modes="normal")
    parazip.create(tmp_path / "local.zip", ["long.txt"], selection=selection)
    assert (tmp_path / "remote.zip").read_bytes() == (tmp_path / "local.zip").read_bytes()
    assert site.sent <= 1.2 * len(data)


def test_an_empty_file_is_put_in(site: Site, tmp_path: Path) -> None:
    parazip.create(tmp_path / "made.zip", [site.put("/empty", b"")])
    assert read_contents((tmp_path / "made.zip").read_bytes()) == {"empty": b""}


@pytest.mark.parametrize(
    ("pieces", "requests"),
    [
        ([], []),
        ([(5, 5), (9, 3)], []),
        ([(0, 10), (10, 20)], [(0, 20)]),
        ([(500, 600), (0, 10)], [(0, 600)]),
        ([(0, 10), (0, 5), (3, 7)], [(0, 10)]),
        (
            [(0, 10), (remote.GAP + 11, remote.GAP + 20)],
            [(0, 10), (remote.GAP + 11, remote.GAP + 20)],
        ),
        ([(0, 10), (remote.GAP + 10, remote.GAP + 20)], [(0, remote.GAP + 20)]),
        ([(-5, 1 << 40)], [(0, 4 << 20), (4 << 20, 8 << 20), (8 << 20, 10 << 20)]),
    ],
)
def test_pieces_become_few_requests(
    pieces: list[tuple[int, int]], requests: list[tuple[int, int]]
) -> None:
    assert remote.plan_requests(pieces, 10 << 20) == requests

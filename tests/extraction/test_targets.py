"""Where members go: names, patterns, links, and files that are there already."""

from __future__ import annotations

import os
import stat
import subprocess
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import Extraction, Settings
from parazip.extraction import targets
from support.archive_parts import FOLDER
from support.odd_archives import STORED, Item, zipped
from support.paths import list_below, plant_files

FILE, LINK = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777


def write(path: Path, *members: tuple[str, bytes] | tuple[str, bytes, int]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data, *mode in members:
            info = zipfile.ZipInfo("x", (2020, 1, 1, 0, 0, 0))
            info.filename = name
            kind = stat.S_IFDIR | 0o755 if name.endswith("/") else FILE
            info.external_attr = (mode[0] if mode else kind) << 16
            archive.writestr(info, data)
    return path


# Names


@pytest.mark.parametrize(
    "name",
    [
        "../out",
        "/etc/passwd",
        "a/../../b",
        "..\\b",
        "C:\\b",
        "C:b",
        "a/..",
        "//server/share/a",
        "..",
        "a\\..\\..\\b",
    ],
)
def test_names_that_lead_out_are_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    archive = write(tmp_path / "a.zip", ("first", b"1"), (name, b"evil"))
    for strip in 0, 1:
        extraction = Extraction(strip_components=strip)
        with pytest.raises((parazip.NotCopiedError, parazip.BadArchiveError)):
            parazip.extract(archive, tmp_path / "out", extraction)
    assert os.listdir(tmp_path) == ["a.zip"]


@pytest.mark.parametrize(
    ("first", "strip"),
    [
        (Item(b"d/", method=STORED, other_name=b"e/", central={"attributes": FOLDER}), 0),
        (Item(b"d/", method=STORED, before=b"PK", central={"attributes": FOLDER, "offset": 0}), 0),
        (Item(b"left out", b"1", other_name=b"taken in"), 1),
    ],
)
def test_the_record_of_a_member_that_nobody_reads_is_looked_at_too(
    tmp_path: Path, first: Item, strip: int
) -> None:
    """A reader that goes by the records would see another name, or none. Found by fuzzing."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(first, Item(b"d/file", b"2")))
    plant_files(tmp_path / "out", {"d/": b""})
    with pytest.raises(parazip.BadArchiveError) as caught:
        parazip.extract(archive, tmp_path / "out", Extraction(strip_components=strip))
    assert caught.value.id in ("local-header-mismatch", "local-header-missing")
    assert list_below(tmp_path / "out") == {"d": None}


def test_steps_that_are_none_are_dropped(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("./a", b"1"), ("b//c", b"2"), ("d/./e", b"3"))
    parazip.extract(archive, tmp_path / "out")
    assert list_below(tmp_path / "out") == {
        "a": b"1",
        "b": None,
        "b/c": b"2",
        "d": None,
        "d/e": b"3",
    }


@pytest.mark.parametrize(
    ("members", "error", "told"),
    [
        (
            [("a", b"1"), ("a", b"2")],
            parazip.DuplicateMemberError,
            "another member, a, is the same",
        ),
        ([("a", b"1"), ("./a", b"2")], parazip.DuplicateMemberError, "the same file"),
        ([("a", b"1"), ("a/b", b"2")], parazip.BadArchiveError, "need it as a folder"),
        ([("a/b", b"1"), ("a", b"2")], parazip.BadArchiveError, "need it as a folder"),
        ([("a", b"b", LINK), ("a/b", b"2")], parazip.BadArchiveError, "need it as a folder"),
    ],
)
def test_members_that_are_in_each_others_way_are_refused(
    tmp_path: Path, members: Any, error: Any, told: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of two names
        archive = write(tmp_path / "a.zip", *members)
    with pytest.raises(error, match=told):
        parazip.extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_that_only_some_take_for_one_come_out(tmp_path: Path) -> None:
    """Other readers may see one file; here they are two."""
    names = ["\u00e9", "e\u0301", "a;1", "a"]
    plant_files(tmp_path / "t", {name: name.encode() for name in names})
    parazip.create(tmp_path / "a.zip", ["t"], selection=parazip.Selection(directory=tmp_path))
    if len(os.listdir(tmp_path / "t")) < 4:
        pytest.skip("this file system takes them for one")
    parazip.extract(tmp_path / "a.zip", tmp_path / "out")
    found = list_below(tmp_path / "out")
    assert found == {"t": None, **{f"t/{name}": name.encode() for name in names}}
    assert len(parazip.list_members(tmp_path / "a.zip")) == 5


def test_what_cannot_be_extracted_is_told_with_a_way_out(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("a", b"1"), ("p", b"", stat.S_IFIFO | 0o644))
    with pytest.raises(parazip.NotCopiedError, match=r"cannot extract p of .*named pipe; leave it"):
        parazip.extract(archive, tmp_path / "out")
    parazip.extract(archive, tmp_path / "out", Extraction(exclude=("p",)))
    assert list_below(tmp_path / "out") == {"a": b"1"}


def test_a_method_that_is_not_known_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", b"some text" * 99)
    data = (tmp_path / "a.zip").read_bytes()
    unknown = data.replace(b"\x0c\0", b"\x62\0")
    (tmp_path / "a.zip").write_bytes(unknown)
    with pytest.raises(
        parazip.NotCopiedError, match=r"method 98.*or extract it with 7z \[method\]"
    ):
        parazip.extract(tmp_path / "a.zip", tmp_path / "out")


# Patterns


TREE = {"a.txt": b"1", "docs/b.txt": b"2", "docs/c.md": b"3", "src/docs/d.txt": b"4"}


@pytest.mark.parametrize(
    ("extraction", "expected"),
    [
        (Extraction(), {*TREE}),
        (Extraction(members=("*.txt",)), {"a.txt", "docs/b.txt", "src/docs/d.txt"}),
        (Extraction(members=("docs/",)), {"docs/b.txt", "docs/c.md"}),
        (Extraction(members=("docs",)), {"docs/b.txt", "docs/c.md", "src/docs/d.txt"}),
        (Extraction(exclude=("docs",)), {"a.txt"}),
        (Extraction(members=("docs/*",), exclude=("*.md",)), {"docs/b.txt"}),
        (Extraction(strip_components=1), {"b.txt", "c.md", "docs/d.txt"}),
        (Extraction(strip_components=2), {"d.txt"}),
        (Extraction(strip_components=3), set()),
    ],
)
def test_patterns_choose_members(
    tmp_path: Path, extraction: Extraction, expected: set[str]
) -> None:
    archive = write(tmp_path / "a.zip", *TREE.items())
    report = parazip.extract(archive, tmp_path / "out", extraction)
    found = {name for name, data in list_below(tmp_path / "out").items() if data is not None}
    assert found == expected
    assert report.bytes == len(expected)


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", *TREE.items())
    with pytest.raises(parazip.NoSuchMemberError, match="cannot extract nothing from"):
        parazip.extract(archive, tmp_path / "out", Extraction(members=("a.txt", "nothing")))
    assert not (tmp_path / "out").exists()


def test_names_that_are_the_same_without_their_first_steps_are_refused(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("a/x", b"1"), ("b/x", b"2"))
    with pytest.raises(parazip.DuplicateMemberError, match=r"b/x .* another member, a/x"):
        parazip.extract(archive, tmp_path / "out", Extraction(strip_components=1))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"members": "a"}, TypeError),
        ({"exclude": [1]}, TypeError),
        ({"strip_components": -1}, parazip.SettingsError),
        ({"overwrite": "ask"}, parazip.SettingsError),
        ({"modes": "all"}, parazip.SettingsError),
        ({"members": ("",)}, parazip.SettingsError),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_told(fields: dict[str, Any], error: Any) -> None:
    with pytest.raises(error):
        Extraction(**fields)


# Links


INSIDE = {
    "a link beside": [("d/l", "f")],
    "up and down": [("d/e/l", "../../d/f")],
    "the top": [("d/l", "..")],
    "itself": [("d/l", ".")],
    "nothing": [("l", "is/not/there")],
    "through a link": [("l", "d"), ("m", "l/f")],
    "in a circle": [("l", "m"), ("m", "l")],
    "in a circle with a step": [("l", "m/x"), ("m", "l/x")],
}

OUTSIDE = {
    "absolute": [("l", "/etc/passwd")],
    "up": [("l", "..")],
    "up too far": [("d/l", "../../x")],
    "through a link": [("l", "."), ("m", "l/l/../..")],
    "through a deep link": [("d/l", ".."), ("m", "d/l/..")],
    "a drive": [("l", "C:\\x")],
    "a backslash": [("l", "..\\x")],
    "back through a link": [("l", "d/e"), ("m", "l/../f")],
    "back through what may become a link": [("m", "l/../f")],
    "with what is left out": [("d/e/l", "../../../x")],
}


def make_links(path: Path, links: list[tuple[str, str]]) -> Path:
    files = [("d/f", b"file"), ("d/e/g", b"g")]
    return write(path, *files, *((name, target.encode(), LINK) for name, target in links))


@pytest.mark.parametrize("links", INSIDE.values(), ids=INSIDE)
def test_links_that_stay_inside_are_made(tmp_path: Path, links: list[tuple[str, str]]) -> None:
    parazip.extract(make_links(tmp_path / "a.zip", links), tmp_path / "out")
    for name, target in links:
        assert os.readlink(tmp_path / "out" / name) == target
    assert (tmp_path / "out/d/f").read_bytes() == b"file"


@pytest.mark.parametrize("links", OUTSIDE.values(), ids=OUTSIDE)
def test_links_that_lead_out_are_refused(tmp_path: Path, links: list[tuple[str, str]]) -> None:
    archive = make_links(tmp_path / "a.zip", links)
    with pytest.raises(parazip.BadArchiveError, match="cannot extract the link"):
        parazip.extract(archive, tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.zip"]
    names = tuple(name for name, _ in links)
    parazip.extract(archive, tmp_path / "out", Extraction(exclude=names))


def test_links_of_several_archives_do_not_lead_out_together(tmp_path: Path) -> None:
    """Whichever comes first: the one that needs the other to lead out is refused."""
    write(tmp_path / "1.zip", ("y", b".", LINK))
    write(tmp_path / "2.zip", ("x", b"y/../secret", LINK))
    parazip.extract(tmp_path / "1.zip", tmp_path / "out")
    for target in "out", "new":
        with pytest.raises(parazip.BadArchiveError, match="behind a step that may be a link"):
            parazip.extract(tmp_path / "2.zip", tmp_path / target)
    assert os.listdir(tmp_path / "out") == ["y"]


def test_advice_names_what_is_compared(tmp_path: Path) -> None:
    """Patterns are compared with whole names, also where their first steps are taken off."""
    strip = Extraction(strip_components=1)
    write(tmp_path / "l.zip", ("a/b/l", b"../../x", LINK))
    with pytest.raises(parazip.BadArchiveError, match=r"--exclude a/b/l$"):
        parazip.extract(tmp_path / "l.zip", tmp_path / "out", strip)
    write(tmp_path / "t.zip", ("a/x", b"1"), ("b/x", b"2"))
    with pytest.raises(parazip.DuplicateMemberError, match=r"leave one out with --exclude b/x$"):
        parazip.extract(tmp_path / "t.zip", tmp_path / "out", strip)
    parazip.extract(
        tmp_path / "t.zip", tmp_path / "out", Extraction(strip_components=1, exclude=("b/x",))
    )
    assert (tmp_path / "out/x").read_bytes() == b"1"


def test_a_name_is_judged_as_it_is_made(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", ("a/C:x", b"1"))
    with pytest.raises(parazip.NotCopiedError, match="a drive on Windows"):
        parazip.extract(tmp_path / "a.zip", tmp_path / "out", Extraction(strip_components=1))


def test_names_of_many_steps_are_refused_if_they_make_too_many_folders(tmp_path: Path) -> None:
    """Archives of 3 MB made 300,000 folders, which took 700 MB of memory."""
    write(tmp_path / "deep.zip", ("/".join(["d"] * 2000) + "/f", b"1"))
    parazip.extract(tmp_path / "deep.zip", tmp_path / "deep")
    subprocess.run(["rm", "-r", str(tmp_path / "deep")], check=True)  # Python cannot
    names = ["/".join([f"{number}"] * 1000) + "/f" for number in range(100)]
    write(tmp_path / "bomb.zip", *((name, b"") for name in names))
    with pytest.raises(parazip.BadArchiveError, match="so deep that they make more than"):
        parazip.extract(tmp_path / "bomb.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_deep_folder_that_is_not_finished_is_removed(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 2000)
    write(tmp_path / "a.zip", (f"{deep}/f", b"1"), ("z", b"2"))
    data = (tmp_path / "a.zip").read_bytes()
    at = data.rindex(b"z2PK") if b"z2PK" in data else data.index(b"z2")
    (tmp_path / "a.zip").write_bytes(data[: at + 1] + b"3" + data[at + 2 :])
    with pytest.raises(parazip.BadArchiveError, match="CRC"):
        parazip.extract(tmp_path / "a.zip", tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.zip"]


def test_the_archive_itself_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out/a.zip", ("a.zip", b"1"), ("b", b"2"))
    before = (tmp_path / "out/a.zip").read_bytes()
    with pytest.raises(parazip.OutputError, match="it is the archive itself"):
        parazip.extract(tmp_path / "out/a.zip", tmp_path / "out", Extraction(overwrite="all"))
    assert (tmp_path / "out/a.zip").read_bytes() == before
    assert os.listdir(tmp_path / "out") == ["a.zip"]


def test_a_folder_without_a_name_or_below_a_file_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", ("b", b"2"))
    with pytest.raises(parazip.SettingsError, match="is empty"):
        parazip.extract(tmp_path / "a.zip", "")
    with pytest.raises(parazip.OutputError, match=r"a\.zip is no folder"):
        parazip.extract(tmp_path / "a.zip", tmp_path / "a.zip/x")


def test_a_link_that_leads_out_without_its_first_steps_is_refused(tmp_path: Path) -> None:
    archive = make_links(tmp_path / "a.zip", [("d/e/l", "../../d/f")])
    with pytest.raises(parazip.BadArchiveError, match="leads out"):
        parazip.extract(archive, tmp_path / "out", Extraction(strip_components=1))


@pytest.mark.parametrize("where", ["outside", "inside"])
@pytest.mark.parametrize("overwrite", ["error", "all"])
def test_no_link_that_is_there_is_followed(tmp_path: Path, where: str, overwrite: Any) -> None:
    archive = write(tmp_path / "a.zip", ("d/f", b"evil"))
    plant_files(tmp_path, {"elsewhere/f": b"mine", "out/real/f": b"mine"})
    link = tmp_path / "out/d"
    link.symlink_to(tmp_path / "elsewhere" if where == "outside" else "real")
    with pytest.raises(parazip.OutputError, match="link"):
        parazip.extract(archive, tmp_path / "out", Extraction(overwrite=overwrite))
    assert (tmp_path / "elsewhere/f").read_bytes() == b"mine"
    assert (tmp_path / "out/real/f").read_bytes() == b"mine"


def test_a_link_in_the_place_of_a_file_is_replaced_itself(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("f", b"new"))
    plant_files(tmp_path, {"elsewhere": b"mine", "out/": b""})
    (tmp_path / "out/f").symlink_to("../elsewhere")
    parazip.extract(archive, tmp_path / "out", Extraction(overwrite="all"))
    assert not (tmp_path / "out/f").is_symlink()
    assert (tmp_path / "out/f").read_bytes() == b"new"
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


# What is there


@pytest.fixture
def there(tmp_path: Path) -> tuple[Path, Path]:
    """An archive of three files of 2020, and a folder with an older, a newer and no one of them."""
    archive = write(tmp_path / "a.zip", ("old", b"new"), ("d/young", b"new"), ("none", b"new"))
    out = plant_files(tmp_path / "out", {"old": b"was there", "d/young": b"was there"})
    os.utime(out / "old", (10**9, 10**9))
    os.utime(out / "d/young", (2 * 10**9, 2 * 10**9))
    return archive, out


def test_by_default_nothing_is_written_where_something_is_there(
    there: tuple[Path, Path],
) -> None:
    archive, out = there
    before = list_below(out)
    with pytest.raises(parazip.OutputError, match=r"nothing was written; choose .* --overwrite"):
        parazip.extract(archive, out)
    assert list_below(out) == before


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("overwrite", "replaced", "skipped"),
    [("skip", set(), 2), ("newer", {"old"}, 1), ("all", {"old", "d/young"}, 0)],
)
def test_what_is_there_is_left_or_replaced(
    there: tuple[Path, Path], jobs: int, overwrite: Any, replaced: set[str], skipped: int
) -> None:
    archive, out = there
    held = (out / "old").open("rb")
    report = parazip.extract(archive, out, Extraction(overwrite=overwrite), Settings(jobs=jobs))
    assert report.skipped == skipped
    for name in "old", "d/young":
        expected = b"new" if name in replaced else b"was there"
        assert (out / name).read_bytes() == expected
    assert (out / "none").read_bytes() == b"new"
    assert held.read() == b"was there"  # who has it open goes on with what it was
    held.close()
    assert sorted(os.listdir(out)) == ["d", "none", "old"]


def test_newer_leaves_what_was_extracted_before(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("a", b"1"), ("b", b"2"))
    parazip.extract(archive, tmp_path / "out")
    report = parazip.extract(archive, tmp_path / "out", Extraction(overwrite="newer"))
    assert (report.members, report.skipped) == (0, 2)


@pytest.mark.parametrize("overwrite", ["error", "skip", "all"])
def test_a_folder_in_the_place_of_a_file_is_never_replaced(tmp_path: Path, overwrite: Any) -> None:
    archive = write(tmp_path / "a.zip", ("a", b"1"))
    plant_files(tmp_path, {"out/a/b": b"mine"})
    with pytest.raises(parazip.OutputError, match="a folder stands there"):
        parazip.extract(archive, tmp_path / "out", Extraction(overwrite=overwrite))
    assert (tmp_path / "out/a/b").read_bytes() == b"mine"


def test_a_file_in_the_place_of_a_folder_is_never_replaced(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("a/b", b"1"))
    plant_files(tmp_path, {"out/a": b"mine"})
    with pytest.raises(parazip.OutputError):
        parazip.extract(archive, tmp_path / "out", Extraction(overwrite="all"))
    assert (tmp_path / "out/a").read_bytes() == b"mine"


def test_folders_that_are_there_keep_their_permissions_and_times(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("d/", b""), ("e/", b""))
    (tmp_path / "out/d").mkdir(parents=True)
    (tmp_path / "out/d").chmod(0o711)
    parazip.extract(archive, tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/d").stat().st_mode) == 0o711
    assert stat.S_IMODE((tmp_path / "out/e").stat().st_mode) == 0o755 & ~current_umask(tmp_path)


def current_umask(tmp_path: Path) -> int:
    (tmp_path / "probe").mkdir()
    return 0o777 & ~stat.S_IMODE((tmp_path / "probe").stat().st_mode)


def test_a_folder_that_appears_meanwhile_is_left(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("a", b"1"))
    out = tmp_path / "out"

    def appear(progress: parazip.Progress) -> None:
        plant_files(out, {"theirs": b"theirs"})

    with pytest.raises(parazip.OutputError, match="it was not there when extracting began"):
        parazip.extract(archive, out, progress=appear)
    assert list_below(out) == {"theirs": b"theirs"}
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "out"]


@pytest.mark.parametrize("names", [["a", "b/c"], ["x\ny", "z"], ["a:b"], ["a" * 200], ["a", "./b"]])
def test_a_quick_look_at_names_finds_what_a_close_one_would(names: list[str]) -> None:
    entries: Any = [Named(name) for name in names]
    is_odd = any("\n" in name or ":" in name or name.startswith("./") for name in names)
    assert targets._has_odd_names(entries) == is_odd


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("what", ["a file", "a link to nothing", "a link to a file"])
def test_a_target_that_is_no_folder_is_told(tmp_path: Path, what: str) -> None:
    archive = write(tmp_path / "a.zip", ("a", b"1"))
    plant_files(tmp_path, {"file": b"mine"})
    target = tmp_path / "file"
    if what != "a file":
        target = tmp_path / "link"
        target.symlink_to("file" if what == "a link to a file" else "nothing")
    with pytest.raises(parazip.OutputError, match="name a folder, or one that is not there"):
        parazip.extract(archive, target)
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("there", ["file", "link", "folder"])
@pytest.mark.parametrize("overwrite", ["error", "skip", "newer", "all"])
def test_links_obey_the_same_rules_as_files(tmp_path: Path, overwrite: Any, there: str) -> None:
    archive = write(tmp_path / "a.zip", ("a", b"1"), ("l", b"a", LINK))
    out = plant_files(tmp_path / "out", {"l/" if there == "folder" else "mine": b"mine"})
    if there == "file":
        (out / "mine").rename(out / "l")
    elif there == "link":
        (out / "l").symlink_to("elsewhere")
    before = list_below(out)
    extraction = Extraction(overwrite=overwrite)
    if overwrite == "error" or there == "folder":
        with pytest.raises(parazip.OutputError):
            parazip.extract(archive, out, extraction)
        assert list_below(out) == before
        return
    report = parazip.extract(archive, out, extraction)
    assert (out / "a").read_bytes() == b"1"
    replaced = overwrite == "all"
    assert report.skipped == (not replaced)
    if replaced:
        assert os.readlink(out / "l") == "a"
    assert sorted(os.listdir(out)) == sorted({*before, "a"})


def test_a_file_in_the_place_of_an_empty_folder_is_found_before_anything_is_written(
    tmp_path: Path,
) -> None:
    archive = write(tmp_path / "a.zip", ("a/", b""), ("b/", b""), ("c", b"1"))
    plant_files(tmp_path, {"out/b": b"mine"})
    with pytest.raises(parazip.OutputError):
        parazip.extract(archive, tmp_path / "out", Extraction(overwrite="all"))
    assert list_below(tmp_path / "out") == {"b": b"mine"}


def test_a_link_whose_target_has_a_nul_is_refused(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", ("l", b"a\0b", LINK))
    with pytest.raises(parazip.BadArchiveError, match="has a NUL in it"):
        parazip.extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()

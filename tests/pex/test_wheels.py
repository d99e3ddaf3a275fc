"""PEX files out of wheels: what is copied, recalled and compressed, and what never changes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parazip import BadArchiveError
from parazip.codecs import levels
from parazip.engine import copying, keys, plan
from parazip.engine.copying import COPIED
from parazip.model import File, Member, Part, Twin
from parazip.pex.wheels import Distribution, group_by_distribution
from support.archives import compressed_bytes_of
from support.pexes import (
    FILES,
    MODULE,
    NAME,
    STOCK,
    UNMARKED,
    assert_same_zip,
    make_deflated_wheel,
    run_pex,
)

pytest.importorskip("pex.common", reason="pex is not installed")

pytestmark = pytest.mark.once


class WorkWithWheel:
    """A folder with a wheel, a PEX_ROOT and a cache; builds PEXes there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheel = make_deflated_wheel(folder / "wheels")
        self.root = folder / "root"
        self.parts = folder / "parts"
        self.command = UNMARKED

    def hide_wheel(self) -> None:
        """From now on only pex finds the wheel that the command line names."""
        code = "from parazip.pex import wheels; wheels._NAMING = ()\n"
        code += "from parazip.__main__ import main; main()"
        self.command = [sys.executable, "-c", code, "pex", "--mark=none"]

    def build(self, name: str, *args: str, command: list[str] | None = None) -> Path:
        path = self.folder / name
        given = args if "--pex-repository" in args else ("--pre-resolved-dists", "wheels", *args)
        index = [] if "--pex-repository" in args else ["--no-pypi"]
        done = run_pex(
            [*(command or self.command), *index, "thing", "-o", str(path), *given],
            root=self.root,
            cwd=self.folder,
            env={"PARAZIP_CACHE_DIR": str(self.parts)},
        )
        assert done.returncode == 0, done.stderr
        self.said = done.stdout
        return path

    def explained(self, name: str, *args: str) -> dict[str, Any]:
        """What --explain says of the distribution."""
        self.build(name, "--explain=json", *args)
        rows = json.loads(self.said[self.said.index("[") :])
        return next(row for row in rows if row["distribution"] == NAME)

    @property
    def installed(self) -> Path:
        """Where pex installed the wheel."""
        found = list(self.root.glob(f"installed_wheels/*/*/{NAME}"))
        return next(path for path in found if not path.is_symlink())


@pytest.fixture
def work(tmp_path: Path) -> WorkWithWheel:
    return WorkWithWheel(tmp_path)


def test_what_is_the_wheel_s_is_copied_and_the_rest_is_as_stock_pex_has_it(
    work: WorkWithWheel,
) -> None:
    stock = work.build("stock.pex", command=STOCK)
    row = work.explained("fast.pex", "--no-cache")
    assert_same_zip(stock, work.folder / "fast.pex")
    assert (row["how"], row["members"] > row["copied_members"]) == ("copied", True)
    copied = [name for name in FILES if name.startswith("thing/") and FILES[name]]
    for name in copied:
        assert compressed_bytes_of(
            work.folder / "fast.pex", f".deps/{NAME}/{name}"
        ) == compressed_bytes_of(work.wheel, name)
    with zipfile.ZipFile(stock) as archive:
        (moved,) = (name for name in archive.namelist() if name.endswith("/thing.txt"))
    assert compressed_bytes_of(work.folder / "fast.pex", moved) == compressed_bytes_of(
        work.wheel, "thing-1.0.data/data/share/thing.txt"
    )


@pytest.mark.parametrize("layout", ["zipapp", "packed"])
def test_the_cache_changes_no_byte(work: WorkWithWheel, layout: str) -> None:
    def build(name: str, *args: str) -> dict[str, bytes]:
        shutil.rmtree(work.root / "packed_wheels", ignore_errors=True)
        shutil.rmtree(work.root / "bootstrap_zips", ignore_errors=True)
        path = work.build(name, "--layout", layout, *args)
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        return {str(file.relative_to(path)): file.read_bytes() for file in files}

    build("first.pex")
    cold = build("cold.pex", "--no-cache")
    assert build("warm.pex") == cold
    shutil.rmtree(work.parts)
    assert build("cleared.pex") == cold
    assert build("warm again.pex") == cold
    for part in work.parts.glob("parts-*/??/*"):
        data = bytearray(part.read_bytes())
        data[-100] ^= 1
        part.write_bytes(data)
    assert build("damaged.pex") == cold


def test_explain_tells_what_was_done_and_why(work: WorkWithWheel) -> None:
    assert work.explained("1.pex")["how"] == "copied"
    second = work.explained("2.pex")
    assert (second["how"], second["why"]) == (
        "recalled",
        "nothing has changed since it was put into the cache",
    )
    assert work.explained("3.pex", "--no-cache")["how"] == "copied"
    work.build("4.pex", "--explain")
    lines = work.said.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("distribution"))
    assert any(line.startswith(NAME) and " recalled " in line for line in lines[header:])


def test_a_stored_wheel_is_compressed(work: WorkWithWheel) -> None:
    make_deflated_wheel(work.folder / "wheels", zipfile.ZIP_STORED)
    row = work.explained("out.pex")
    assert row["how"] == "compressed"
    assert row["why"] == "nothing in the wheel is deflated and as installed"
    with zipfile.ZipFile(work.folder / "out.pex") as archive:
        info = archive.getinfo(f".deps/{NAME}/thing/module.py")
    assert info.compress_type == zipfile.ZIP_DEFLATED


def test_without_compression_nothing_is_copied(work: WorkWithWheel) -> None:
    assert work.explained("out.pex", "--no-compress")["how"] == "compressed"
    with zipfile.ZipFile(work.folder / "out.pex") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_an_installed_file_that_was_changed_is_not_taken_from_the_wheel(
    work: WorkWithWheel,
) -> None:
    work.build("before.pex")
    module = work.installed / "thing/module.py"
    info = module.stat()
    changed = MODULE.replace(b"NUMBER_7 ", b"NUMBER_X ")
    assert len(changed) == len(MODULE)
    module.write_bytes(changed)
    os.utime(module, ns=(info.st_atime_ns, info.st_mtime_ns + 10**9))
    after = work.build("after.pex")
    with zipfile.ZipFile(after) as archive:
        assert archive.read(f".deps/{NAME}/thing/module.py") == changed


def test_a_wheel_that_turns_out_to_be_damaged_is_done_without(work: WorkWithWheel) -> None:
    with zipfile.ZipFile(work.wheel) as archive:
        info = archive.getinfo("thing/module.py")
    data = bytearray(work.wheel.read_bytes())
    data[info.header_offset + 14] ^= 1  # the CRC in the local header, which zipfile ignores
    work.wheel.write_bytes(data)
    stock = work.build("stock.pex", command=STOCK)
    row = work.explained("fast.pex")
    assert row["how"] == "compressed"
    assert "the wheel is of no use" in row["why"]
    assert_same_zip(stock, work.folder / "fast.pex")


def test_a_repository_is_as_good_as_the_wheel(work: WorkWithWheel) -> None:
    repository = work.build("repository.pex", command=STOCK)
    row = work.explained("out.pex", "--pex-repository", str(repository))
    assert row["how"] == "copied"
    name = f".deps/{NAME}/thing/module.py"
    assert compressed_bytes_of(work.folder / "out.pex", name) == compressed_bytes_of(
        repository, name
    )


SHA = hashlib.sha256(b"whatever").hexdigest()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A distribution as it stands in a PEX_ROOT, reached by the link that pex reaches it by."""
    real = tmp_path / "root/installed_wheels/3" / SHA / NAME
    for name, data in FILES.items():
        if ".data/" not in name:
            path = real / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    link = tmp_path / "chroot/.deps" / NAME
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    return link


def members_of(installed: Path, prefix: str = f".deps/{NAME}/") -> list[Member]:
    members = [Member(prefix, b"", 0o40755 << 16 | 0x10, 0)] if prefix else []
    for path in sorted(installed.rglob("*") if installed.is_dir() else []):
        if path.is_file():
            info = path.stat()
            file = File(str(path), info.st_size, info.st_mtime_ns, info.st_ino)
            name = prefix + str(path.relative_to(installed))
            members.append(Member(name, file, (stat.S_IFREG | 0o644) << 16, 0))
    return members


def twins(found: Distribution) -> set[str]:
    """The last names of those that may be the wheel's."""
    return {m.name.rpartition("/")[2] for m in found.make_members() if isinstance(m.source, Twin)}


def how_made(found: Distribution, name: str) -> str:
    """How one of the members is made when all are compared."""
    members = [member for member in found.make_members() if member.name.endswith(name)]
    (task,) = plan.plan_tasks(members, levels.choose_recipe(6, "auto"), lambda _: True)
    part = copying.copy_batch(task) if isinstance(task, plan.CopyBatch) else None
    assert isinstance(part, Part)
    (how,) = part.tallies
    return how


PLACES: dict[str, Callable[[Path], tuple[Path, list[str]]]] = {
    "downloaded for a lock": lambda top: (top / "root/downloads/2" / SHA, []),
    "downloaded just now": lambda top: (top / "root/downloads/2/.tmp/resolver_download.x/y", []),
    "downloaded flat": lambda top: (top / "root/downloads/2/.tmp/resolver_download.x", []),
    "built": lambda top: (top / "root/built_wheels/0/sdists/thing-1.0.tar.gz/abc/cp311", []),
    "built from a folder": lambda top: (top / "root/built_wheels/0/local_projects/a/b/c", []),
    "named": lambda top: (top / "here", [str(top / "here" / NAME)]),
    "in a named folder": lambda top: (top / "here", ["-f", str(top / "here")]),
    "in a folder named with =": lambda top: (top / "here", [f"--find-links={top / 'here'}"]),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_wheels_are_found_where_they_may_be(
    tmp_path: Path, installed: Path, place: Callable[[Path], tuple[Path, list[str]]]
) -> None:
    folder, arguments = place(tmp_path)
    folder.mkdir(parents=True)
    make_deflated_wheel(folder)
    (found,) = group_by_distribution(members_of(installed), arguments)
    assert {"__init__.py", "module.py", "large.txt"} <= twins(found)
    assert "empty.py" not in twins(found)


def test_a_zip_of_a_packed_pex_is_one_distribution(tmp_path: Path, installed: Path) -> None:
    make_deflated_wheel(tmp_path / "here")
    (found,) = group_by_distribution(members_of(installed, ""), ["-f", str(tmp_path / "here")])
    assert found.name == NAME
    assert twins(found)


def test_where_no_wheel_is_all_is_compressed(installed: Path) -> None:
    members = members_of(installed)
    (found,) = group_by_distribution(members, [])
    assert found.make_members() == members
    assert found.explain_rest(0) == "no wheel found"


@pytest.mark.parametrize("size", [0, 10, 500])
def test_a_wheel_that_is_no_archive_is_done_without(
    tmp_path: Path, installed: Path, size: int
) -> None:
    wheel = make_deflated_wheel(tmp_path / "here")
    os.truncate(wheel, size)
    members = members_of(installed)
    (found,) = group_by_distribution(members, ["-f", str(tmp_path / "here")])
    recipes = (levels.choose_recipe(6, "auto"), levels.choose_recipe(7, "auto"))
    section = found.make_section(*recipes, True)
    with pytest.raises(BadArchiveError) as caught:
        section.members()
    assert found.drop_wheel(caught.value)
    again = found.make_section(*recipes, True)
    assert again.members() == members
    assert again.key not in ("", section.key)
    assert f"the wheel is of no use: {wheel}" in found.explain_rest(0)


def test_another_wheel_takes_the_place_of_one_that_is_only_half_there(
    tmp_path: Path, installed: Path
) -> None:
    download = tmp_path / "root/downloads/2/.tmp/resolver_download.x"
    download.mkdir(parents=True)
    half = make_deflated_wheel(download)
    os.truncate(half, 500)
    make_deflated_wheel(tmp_path / "here")
    (found,) = group_by_distribution(members_of(installed), ["-f", str(tmp_path / "here")])
    recipes = (levels.choose_recipe(6, "auto"), levels.choose_recipe(7, "auto"))
    with pytest.raises(BadArchiveError) as caught:
        found.make_section(*recipes, True).members()
    assert caught.value.archive == str(half)
    assert found.drop_wheel(caught.value)
    assert {"module.py", "large.txt"} <= twins(found)
    assert not found.drop_wheel(caught.value)


def test_only_the_same_bytes_are_copied(tmp_path: Path, installed: Path) -> None:
    make_deflated_wheel(tmp_path / "here")
    (installed / "thing/module.py").write_bytes(MODULE[:-1] + b"#")
    (found,) = group_by_distribution(members_of(installed), ["-f", str(tmp_path / "here")])
    assert {"module.py", "large.txt"} <= twins(found)
    assert how_made(found, "module.py") == str(levels.choose_recipe(6, "auto").whole)
    assert how_made(found, "large.txt") == COPIED


def test_the_key_of_a_distribution_is_that_of_its_files_and_its_wheel(
    tmp_path: Path, installed: Path
) -> None:
    def key(arguments: list[str], level: int = 6) -> str:
        (found,) = group_by_distribution(members_of(installed), arguments)
        recipe = levels.choose_recipe(level, "auto")
        return found.make_section(recipe, recipe, True).key

    here = ["-f", str(tmp_path / "here")]
    without = key(here)
    make_deflated_wheel(tmp_path / "here")
    with_wheel = key(here)
    assert key(here) == with_wheel
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert key(["-f", str(tmp_path / "there")]) == with_wheel
    others = {key(here, level=5), without}
    os.utime(installed / "thing/module.py", ns=(1, 1))
    others.add(key(["-f", str(tmp_path / "there")]))
    assert len({with_wheel, *others}) == 4
    assert "" not in others


def test_a_distribution_of_just_now_is_kept(tmp_path: Path, installed: Path) -> None:
    """pex installs a wheel in one step and then leaves it alone."""
    (found,) = group_by_distribution(members_of(installed), [])
    recipe = levels.choose_recipe(6, "auto")
    assert found.make_section(recipe, recipe, True).key
    assert not keys.make_key(members_of(installed), recipe, identity=keys.identify_by_stat)


def test_a_forged_wheel_is_not_copied(work: WorkWithWheel) -> None:
    """Of the same name, names, sizes and CRCs as the one that was installed, but not the same."""
    stock = work.build("stock.pex", command=STOCK)
    assert work.explained("before.pex", "--no-cache")["how"] == "copied"
    with zipfile.ZipFile(work.wheel) as archive:
        info = archive.getinfo("thing/module.py")
    data = bytearray(work.wheel.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 1
    downloads = work.root / "downloads/2" / work.installed.parent.name
    downloads.mkdir(parents=True)
    (downloads / NAME).write_bytes(data)
    honest = work.explained("honest.pex", "--no-cache")
    assert honest["copied_members"] > 0
    assert_same_zip(stock, work.folder / "honest.pex")
    work.hide_wheel()
    for name in ("cold.pex", "warm.pex"):
        row = work.explained(name)
        assert_same_zip(stock, work.folder / name)
    assert row["how"] == "recalled"
    assert row["copied_members"] == 0


def test_a_forged_wheel_is_not_copied_either_where_the_cache_is_damaged(
    work: WorkWithWheel,
) -> None:
    stock = work.build("stock.pex", command=STOCK)
    downloads = work.root / "downloads/2" / work.installed.parent.name
    downloads.mkdir(parents=True)
    wheel = Path(shutil.copy(work.wheel, downloads))
    assert work.explained("cold.pex")["how"] == "copied"
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo("thing/module.py")
    for path, at in [
        (wheel, info.header_offset + 30 + len(info.filename) + info.compress_size // 2),
        *((part, -100) for part in work.parts.glob("parts-*/??/*")),
    ]:
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
    work.build("again.pex")
    assert_same_zip(stock, work.folder / "again.pex")


@pytest.mark.parametrize("size", [0, 500, -3])
def test_what_was_made_without_a_wheel_is_not_recalled_when_it_is_whole_again(
    work: WorkWithWheel, size: int
) -> None:
    work.build("first.pex", "--no-cache")
    downloads = work.root / "downloads/2" / work.installed.parent.name
    downloads.mkdir(parents=True)
    whole = work.wheel.read_bytes()
    (downloads / NAME).write_bytes(whole[:size])
    work.hide_wheel()
    row = work.explained("damaged.pex")
    assert (row["how"], "the wheel is of no use" in row["why"]) == ("compressed", True)
    (downloads / NAME).write_bytes(whole)
    warm = work.build("warm.pex").read_bytes()
    assert warm == work.build("plain.pex", "--no-cache").read_bytes()
    assert work.explained("again.pex")["copied_members"] > 0


def test_a_damaged_repository_is_done_without(work: WorkWithWheel) -> None:
    repository = work.build("repository.pex", command=STOCK)
    stock = work.build("stock.pex", "--pex-repository", str(repository), command=STOCK)
    with zipfile.ZipFile(repository) as archive:
        info = archive.getinfo(f".deps/{NAME}/thing/module.py")
    data = bytearray(repository.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 1
    repository.write_bytes(data)
    row = work.explained("out.pex", "--pex-repository", str(repository))
    assert "the wheel is of no use" in row["why"]
    assert_same_zip(stock, work.folder / "out.pex")


def test_explained_json_is_alone_on_standard_output(work: WorkWithWheel) -> None:
    work.build("out.pex", "--explain=json")
    assert {row["distribution"] for row in json.loads(work.said)} >= {NAME}

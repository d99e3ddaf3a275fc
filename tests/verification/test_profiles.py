"""Profiles: what the readers that they are named after do not take."""

from __future__ import annotations

import bz2
import io
from pathlib import Path

import pytest

import parazip
from parazip.verification.faults import RULES
from parazip.verification.profiles import PROFILES
from support.archive_parts import (
    LAST,
    PLAIN,
    TEXT,
    A,
    B,
    make_streamed,
    make_with_first,
    make_with_zip64,
)
from support.hostile_cases import SATURATED
from support.odd_archives import (
    ENCRYPTED,
    UTF8,
    Item,
    deflate,
    descriptor,
    end_records64,
    extra64,
    unicode_path,
    zipped,
)
from support.readers import programs, pythons, run_reader

FOLDER = Item(b"d/", method=0, both={"attributes": 0o40755 << 16})

WIDE = {"packed": 0xFFFFFFFF, "size": 0xFFFFFFFF}

CAFE = "caf\u00e9"


def make_wide_member() -> bytes:
    field = extra64(len(TEXT), len(deflate(TEXT)))
    return make_with_first(both=WIDE, local_extra=field, central_extra=field)


def make_with_a_path() -> bytes:
    field = unicode_path(b"q_.txt", "q\u00fc.txt".encode())
    return zipped(A, Item(b"q_.txt", TEXT, local_extra=field, central_extra=field), LAST)


def make_of_mode(mode: int, contents: bytes = b"") -> bytes:
    return zipped(A, Item(b"odd", contents, method=0, central={"attributes": mode << 16}), LAST)


def name_members(*names: str | bytes, flags: int = UTF8) -> bytes:
    raw = [name if isinstance(name, bytes) else name.encode() for name in names]
    odd = [Item(name, TEXT, both={"flags": flags}) for name in raw]
    return zipped(A, *odd, LAST)


TRAITS: dict[str, bytes] = {
    "prefix": zipped(A, B, LAST, front=b"#!/usr/bin/env python3\n"),
    "zip64": make_with_zip64(),
    "zip64 ": make_wide_member(),
    "member-comment": make_with_first(comment=b"says something"),
    "data-descriptor": make_streamed(descriptor(TEXT, deflate(TEXT))),
    "method": zipped(A, Item(b"packed", TEXT, 12, packed=bz2.compress(TEXT)), LAST),
    "encrypted": zipped(A, Item(b"secret", TEXT, both={"flags": ENCRYPTED}), LAST),
    "folder-twice": zipped(A, FOLDER, B, FOLDER, LAST),
    "name-without-flag": name_members(CAFE, flags=0),
    "name-in-code-page": name_members(b"caf\x82", flags=0),
    "name-backslash": name_members("d\\e"),
    "name-control": name_members("tab\there"),
    "name-windows": name_members("what?"),
    "name-version": name_members("a.txt;1"),
    "name-device": name_members("aux.txt"),
    "name-ending": name_members("end."),
    "name-step": name_members("d//e"),
    "folder-without-slash": zipped(A, Item(b"d", method=0, central=FOLDER.both), LAST),
    "name-case": name_members("readme", "README"),
    "name-in-extra-field": make_with_a_path(),
    "special-file": make_of_mode(0o20644),
    "link-leads-out": make_of_mode(0o120777, b"/etc/passwd"),
    "link-leads-out ": make_of_mode(0o120777, b"d/../../passwd"),
    "gap": zipped(A, LAST._replace(after=bytes(7))),
    "local-extra-field": make_with_first(local_extra=bytes(3)),
    "local-zip64-field": make_with_first(
        local={"size": 0xFFFFFFFF}, local_extra=extra64(len(TEXT))
    ),
    "zip64-counts": make_with_zip64(here=1),
    "zip64-counts ": zipped(end=SATURATED, wide=end_records64(0, 0, 0)),
    "local-date": make_with_first(local={"date": 0x5A21}),
    "contents-unchecked": zipped(A, Item(b"odd", TEXT, 98, packed=b"?" * 99), LAST),
}
"""An archive for each rule that profiles name; some rules have two."""

NO_MEMBER_OF_ITS_OWN = {"name-form"}
"""Told beside `name-in-two-forms`, which is an error for all."""


def verify_bytes(folder: Path, data: bytes, *profiles: str) -> parazip.VerifyReport:
    path = folder / "a.zip"
    path.write_bytes(data)
    return parazip.verify(path, profiles=profiles)


def test_each_rule_of_a_profile_is_one_and_has_an_archive_here() -> None:
    named = set().union(*(profile.rules for profile in PROFILES.values()))
    assert named <= {*RULES}
    assert named - {name.strip() for name in TRAITS} == NO_MEMBER_OF_ITS_OWN
    assert {rule for rule in RULES if RULES[rule].severity != "error"} == named


@pytest.mark.parametrize("name", TRAITS)
def test_a_trait_is_told_and_an_error_only_for_those_who_do_not_take_it(
    tmp_path: Path, name: str
) -> None:
    rule = name.strip()
    report = verify_bytes(tmp_path, TRAITS[name])
    assert rule in {fault.id for fault in report.faults}
    assert report.is_sound
    told = {fault.id for fault in report.faults}
    for profile, (_, rules) in PROFILES.items():
        against = verify_bytes(tmp_path, TRAITS[name], profile)
        assert against.is_sound is not bool(told & rules)
        errors = {fault.id for fault in against.faults if fault.severity == "error"}
        assert errors == told & rules
        if profile != "strict":
            assert report.unfit.get(profile, ()) == tuple(sorted(told & rules))
    every = verify_bytes(tmp_path, TRAITS[name], *PROFILES)
    assert {fault.severity for fault in every.faults} == {"error"}


def test_a_plain_archive_is_for_everybody(tmp_path: Path) -> None:
    report = verify_bytes(tmp_path, PLAIN, *PROFILES)
    assert (report.is_sound, report.faults, report.unfit) == (True, (), {})


def test_an_archive_with_an_error_is_for_nobody(tmp_path: Path) -> None:
    report = verify_bytes(tmp_path, PLAIN + b"?")
    assert {*report.unfit} == {*PROFILES} - {"strict"}
    assert {*report.unfit.values()} == {("bytes-behind-archive",)}


def test_a_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(parazip.SettingsError, match="choose from zipfile, zipimport"):
        verify_bytes(tmp_path, PLAIN, "zipfiel")


MENDED = [name for name in TRAITS if "parazip merge" in RULES[name.strip()].advice]


@pytest.mark.parametrize("name", MENDED)
def test_merge_makes_an_archive_without(tmp_path: Path, name: str) -> None:
    (tmp_path / "odd.zip").write_bytes(TRAITS[name])
    merged = io.BytesIO()
    parazip.merge(merged, [tmp_path / "odd.zip"])
    report = verify_bytes(tmp_path, merged.getvalue(), "pypi", "uv", "strict")
    assert (report.is_sound, report.faults) == (True, ())


NOT_IMPORTABLE = {
    "encrypted",
    "contents-unchecked",
    "name-without-flag",
    "name-in-extra-field",
    "zip64-counts ",
}
IMPORTABLE = [name for name in TRAITS if name not in NOT_IMPORTABLE]
"""Where an import of `a` tells: what another member is like does not matter to it."""


@pytest.mark.once
@pytest.mark.parametrize("python", pythons())
def test_zipimport_takes_what_its_profile_takes(tmp_path: Path, python: str) -> None:
    minor = int(python.rpartition(".")[2])
    if python == "python2.7" or minor < 8:
        pytest.skip("the profiles are of Pythons from 3.8 on")
    for name in IMPORTABLE:
        data = TRAITS[name]
        if name == "method":  # of the module itself, or it does not matter
            packed = bz2.compress(TEXT)
            data = zipped(A._replace(method=12, packed=packed), LAST)
        path = tmp_path / f"{name.strip()}.zip"
        path.write_bytes(data)
        # 3.13.0 looks for struct in the very archive that it needs struct for.
        program = f"import struct, sys; sys.path.insert(0, {str(path)!r}); import a"
        done = run_reader([pythons()[python].command, "-I", "-c", program])
        report = parazip.verify(path)
        is_unfit = "zipimport-3.13" if minor >= 13 else "zipimport"
        assert (done.returncode != 0) is (is_unfit in report.unfit), (name, done.stdout)


@pytest.mark.once
@pytest.mark.skipif("jar" not in programs(), reason="jar is not installed")
@pytest.mark.parametrize("name", TRAITS)
def test_java_takes_what_its_profile_takes(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(TRAITS[name])
    done = run_reader([programs()["jar"].command, "--list", "--file", path])
    misread = {"folder-without-slash", "name-in-extra-field"}
    refused = {*parazip.verify(path).unfit.get("java", ())} - misread
    assert (done.returncode != 0) is bool(refused), done.stdout

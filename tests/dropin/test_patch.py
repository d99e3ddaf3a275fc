"""`parazip.ZipFile` in the place of `zipfile.ZipFile`, beside those who knew the other one."""

from __future__ import annotations

import abc
import collections.abc
import copy
import functools
import inspect
import io
import os
import pickle
import threading
import typing
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import FunctionType, new_class
from typing import Any, Generic, Protocol, TypeVar

import pytest

import parazip
from parazip.dropin.standing_in import Override
from parazip.dropin.writing import Writing
from parazip.dropin.zip_file import STANDS_FOR

Early = zipfile.ZipFile

EarlyPy = zipfile.PyZipFile

STOCK = Early, EarlyPy

OURS = parazip.ZipFile, parazip.PyZipFile

T = TypeVar("T")


class Derived(Early):
    """As wheel's `WheelFile`, if wheel was imported before."""


class DerivedPy(EarlyPy):
    pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Early(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/a", b"contents")
    return tmp_path / "a.zip"


@pytest.fixture
def patched() -> Iterator[None]:
    with parazip.patch():
        yield


def in_zipfile() -> tuple[type, type]:
    return zipfile.ZipFile, zipfile.PyZipFile


# Putting in place and back


def test_patching_and_back() -> None:
    with parazip.patch():
        assert in_zipfile() == OURS
        with parazip.patch():
            assert in_zipfile() == OURS
        assert in_zipfile() == OURS
        with zipfile.ZipFile(io.BytesIO(), "w") as archive:
            assert isinstance(archive, parazip.ZipFile)
    assert in_zipfile() == STOCK
    parazip.patch()
    with parazip.patch():
        pass
    assert in_zipfile() == OURS
    parazip.unpatch()
    assert in_zipfile() == STOCK
    parazip.unpatch()
    assert in_zipfile() == STOCK


def test_blocks_need_not_end_in_turn() -> None:
    """As on threads."""
    first, second, third = parazip.patch(), parazip.patch(), parazip.patch()
    for block in second, first:
        with block:
            pass
        assert in_zipfile() == OURS
    with third:
        pass
    assert in_zipfile() == STOCK
    with first:
        assert in_zipfile() == OURS
    assert in_zipfile() == STOCK
    with first:
        parazip.unpatch()
    assert in_zipfile() == STOCK


def test_many_threads_patch() -> None:
    start = threading.Barrier(8)
    wrong: list[Any] = []

    def use() -> None:
        start.wait()
        for _ in range(50):
            with parazip.patch():
                if in_zipfile() != OURS or not isinstance(Early(io.BytesIO(), "w"), OURS[0]):
                    wrong.append(in_zipfile())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert in_zipfile() == STOCK


def test_what_others_put_in_the_place_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(Early):
        pass

    monkeypatch.setattr(zipfile, "ZipFile", Theirs)
    with parazip.patch():
        assert in_zipfile() == OURS
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(zipfile, "ZipFile", Theirs)
            with parazip.patch():
                assert in_zipfile() == OURS
            assert zipfile.ZipFile is Theirs
        assert in_zipfile() == OURS
    assert zipfile.ZipFile is Theirs
    parazip.unpatch()
    assert zipfile.ZipFile is Theirs


def test_what_was_opened_meanwhile_goes_on(tmp_path: Path) -> None:
    with parazip.patch():
        archive = zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED)
        archive.writestr("a", bytes(3 << 20))
    archive.writestr("b", b"contents")
    archive.close()
    with Early(tmp_path / "a.zip") as stock:
        assert stock.testzip() is None
        assert stock.namelist() == ["a", "b"]


# Who is an instance, and a subclass

ARCHIVES: dict[str, Any] = {
    "stock": Early,
    "derived": Derived,
    "python": EarlyPy,
    "python-derived": DerivedPy,
    "path": lambda path: vars(zipfile.Path(str(path)))["root"],
    "ours": parazip.ZipFile,
}


@pytest.mark.parametrize("open_archive", ARCHIVES.values(), ids=ARCHIVES)
def test_any_archive_is_an_instance(path: Path, open_archive: Callable[[Path], Any]) -> None:
    with open_archive(path) as archive:
        kind = type(archive)
        was_ours = kind is parazip.ZipFile
        for _ in range(2):
            assert isinstance(archive, parazip.ZipFile) == was_ours
            with parazip.patch():
                assert isinstance(archive, zipfile.ZipFile)
                assert isinstance(archive, (str, zipfile.ZipFile))
                assert isinstance(archive, typing.cast("Any", zipfile.ZipFile | None))
                assert issubclass(kind, zipfile.ZipFile)
                assert isinstance(archive, zipfile.PyZipFile) == isinstance(archive, EarlyPy)
                match archive:
                    case zipfile.PyZipFile():
                        assert isinstance(archive, EarlyPy)
                    case zipfile.ZipFile():
                        assert not isinstance(archive, EarlyPy)
                    case _:
                        pytest.fail("matches nothing")
            assert isinstance(archive, zipfile.ZipFile)
            assert isinstance(archive, parazip.ZipFile) == was_ours
            assert issubclass(kind, parazip.ZipFile) == was_ours


@pytest.mark.usefixtures("patched")
def test_what_is_no_archive_is_no_instance() -> None:
    class Late(zipfile.ZipFile):
        pass

    assert not isinstance("a.zip", zipfile.ZipFile)
    assert not issubclass(zipfile.ZipInfo, zipfile.ZipFile)
    with Early(io.BytesIO(), "w") as archive:
        assert not isinstance(archive, Late)  # which it never was
        assert not isinstance(archive, zipfile.PyZipFile)
    assert isinstance(Late(io.BytesIO(), "w"), zipfile.ZipFile)


@pytest.mark.parametrize("open_archive", ARCHIVES.values(), ids=ARCHIVES)
@pytest.mark.usefixtures("patched")
def test_zipfile_path_takes_any(path: Path, open_archive: Callable[[Path], Any]) -> None:
    with open_archive(path) as archive:
        root = zipfile.Path(archive)
        assert (root / "folder" / "a").read_bytes() == b"contents"
        assert (root / "folder").is_dir()
        assert [one.name for one in root.iterdir()] == ["folder"]
        complete: Any = vars(zipfile)["CompleteDirs"]
        assert complete.make(archive) is archive
        assert isinstance(archive, zipfile.ZipFile)
    assert zipfile.Path(str(path)).joinpath("folder/a").read_text() == "contents"


@pytest.mark.parametrize("is_before", [True, False])
def test_dispatch_and_abstract_classes(path: Path, is_before: bool) -> None:
    class Archive(abc.ABC):  # noqa: B024 # classes are registered with it
        pass

    @functools.singledispatch
    def kind_of(archive: Any) -> str:
        return "other"

    def register() -> None:
        kind_of.register(zipfile.ZipFile, lambda archive: "zip")
        Archive.register(zipfile.ZipFile)

    archives = [Early(path), Derived(path), parazip.ZipFile(path)]
    if is_before:
        register()
    else:
        assert [kind_of(archive) for archive in archives] == ["other"] * 3
    with parazip.patch():
        if not is_before:
            register()
        archives += [zipfile.ZipFile(path), vars(zipfile.Path(str(path)))["root"]]
        assert [kind_of(archive) for archive in archives] == ["zip"] * 5
        assert all(isinstance(archive, Archive) for archive in archives)
    assert [kind_of(archive) for archive in archives[2:4]] == ["zip"] * 2
    for archive in archives:
        archive.close()


@pytest.mark.usefixtures("patched")
def test_types_and_pickles() -> None:
    def opened(archive: zipfile.ZipFile, other: zipfile.ZipFile | None) -> None: ...

    hints = typing.get_type_hints(opened)
    assert hints["archive"] is zipfile.ZipFile
    assert hints["other"] == typing.Optional[zipfile.ZipFile]  # noqa: UP045 # the other spelling
    assert list[zipfile.ZipFile].__args__ == OURS[:1]  # type: ignore[attr-defined] # it is there
    for kind in OURS:
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert copy.deepcopy(kind) is kind
    assert zipfile.ZipFile is parazip.ZipFile


class Sized(Protocol):
    def size(self) -> int: ...


class Meta(abc.ABCMeta):
    pass


class OfMeta(metaclass=Meta):
    pass


OfAny: Any = Generic.__class_getitem__(T)  # what Generic[T] is

BASES = [
    (abc.ABC,),
    (collections.abc.Mapping,),
    (Sized,),
    (OfAny,),
    (OfAny, abc.ABC),
    (OfMeta,),
    (io.IOBase,),
]


@pytest.mark.parametrize("others", BASES, ids=str)
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("base", ["ZipFile", "PyZipFile"])
@pytest.mark.usefixtures("patched")
def test_a_class_may_have_other_bases(
    path: Path, others: tuple[Any, ...], is_first: bool, base: str
) -> None:
    class Methods:
        def __getitem__(self, name: str) -> bytes:
            archive: Any = self
            return bytes(archive.read(name))

        def __iter__(self) -> Iterator[str]:
            archive: Any = self
            return iter(archive.namelist())

        def __len__(self) -> int:
            return 1

        def __enter__(self) -> Any:
            return self

        size = __len__

    ours = (getattr(zipfile, base),)
    if others == (io.IOBase,):
        others = (collections.abc.Iterable,)
    kind: Any = new_class("Both", (Methods, *(ours + others if is_first else others + ours)))
    with kind(path) as archive:
        assert zipfile.ZipFile in type(archive).__mro__
        assert archive["folder/a"] == b"contents"
        assert list(archive) == ["folder/a"]


@pytest.mark.usefixtures("patched")
def test_a_protocol_of_typing_extensions(path: Path) -> None:
    extensions = pytest.importorskip("typing_extensions", reason="its protocols are its own")

    class Named(extensions.Protocol):  # type: ignore[misc, name-defined] # known at run time
        filename: Any

    class Both(zipfile.ZipFile, Named):
        pass

    with Both(path) as archive:
        assert archive.read("folder/a") == b"contents"


# Classes that were derived before, and call ours by name


class ByName(Early):
    """Looks up `zipfile.ZipFile` at each call, and gets the one that stands there then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        zipfile.ZipFile.__init__(self, *args, **kwargs)
        self.calls: list[str] = ["__init__"]

    def __del__(self) -> None:
        zipfile.ZipFile.__del__(self)

    def __getattribute__(self, name: str) -> Any:
        if name in ("calls", "__class__", "__dict__") or name not in METHODS:
            return super().__getattribute__(name)
        vars(self).setdefault("calls", []).append(name)
        return functools.partial(getattr(zipfile.ZipFile, name), self)


METHODS = [
    *("open", "read", "extract", "extractall", "testzip", "write", "writestr", "mkdir", "close"),
    *("getinfo", "namelist", "infolist", "setpassword", "_open_to_write", "_extract_member"),
]


def use_all(archive: Any, place: Path) -> None:
    place.mkdir()
    (place / "file").write_bytes(b"contents\n" * 100)
    os.utime(place / "file", (1e9, 1e9))
    info = zipfile.ZipInfo("info", (2020, 2, 3, 4, 5, 6))
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, b"contents" * 50)
    folder = zipfile.ZipInfo("made/", (2020, 2, 3, 4, 5, 6))
    folder.CRC = folder.compress_size = 0
    archive.mkdir(folder)
    archive.write(place / "file", "file")
    with archive.open("opened", "w") as member:
        member.write(b"contents")
    assert archive.read("opened") == b"contents"
    assert archive.testzip() is None
    archive.extractall(place / "out")
    archive.extract("file", place / "one")
    assert (place / "out" / "file").read_bytes() == (place / "one" / "file").read_bytes()
    archive.close()


@pytest.mark.parametrize("how", ["patch", "by hand"])
def test_a_class_derived_before_calls_by_name(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for place in ("stock", "ours"):
        if place == "ours" and how == "patch":
            monkeypatch.setattr(zipfile, "ZipFile", parazip.ZipFile)
            monkeypatch.setattr(zipfile, "PyZipFile", parazip.PyZipFile)
        elif place == "ours":
            monkeypatch.setattr(zipfile, "ZipFile", parazip.ZipFile)
        output = io.BytesIO()
        archive = ByName(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
        use_all(archive, tmp_path / place)
        made.append((output.getvalue(), archive.calls[:], set(vars(archive))))
    assert made[0] == made[1]


@pytest.mark.parametrize("kind", [Writing, *OURS])
def test_each_override_leaves_other_archives_to_the_stock_class(kind: type) -> None:
    """Whatever becomes one some day."""
    stock = STANDS_FOR.get(kind, Early)
    names = [name for name in vars(kind) if callable(getattr(stock, name, None))]
    functions = [name for name in names if isinstance(vars(kind)[name], FunctionType)]
    assert functions
    for name in functions:
        assert type(vars(kind)[name]) is Override
        by_name = getattr(kind, name)
        assert type(by_name) is FunctionType
        assert by_name is getattr(kind, name)
        assert by_name.__name__ == name
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stock, name, lambda *args, **kwargs: (args, kwargs), raising=False)
            other: Any = object.__new__(stock)
            assert by_name(other, 1, two=2) == ((other, 1), {"two": 2})


def test_methods_look_like_functions() -> None:
    for name in ("__init__", "write", "extractall", "mkdir", "close"):
        assert inspect.isfunction(vars(zipfile.ZipFile)[name])
        method: Any = getattr(parazip.ZipFile, name)
        assert inspect.isfunction(method)
        expected = list(inspect.signature(getattr(Early, name)).parameters)
        assert list(inspect.signature(method).parameters)[: len(expected)] == expected
        assert inspect.getsourcefile(inspect.unwrap(method)) != inspect.getsourcefile(Override)
    assert "level" in inspect.signature(parazip.ZipFile).parameters
    assert parazip.ZipFile.write.__doc__ == Writing.write.__doc__


def test_a_name_twice_is_warned_of_where_it_was_given() -> None:
    with parazip.ZipFile(io.BytesIO(), "w") as archive:
        archive.mkdir("a")
        with pytest.warns(UserWarning, match="Duplicate name: 'a/'") as warned:
            archive.mkdir("a")
        assert warned[0].filename == __file__
        with pytest.warns(UserWarning, match="Duplicate name: 'a/'") as warned:
            archive.writestr("a/", b"")
        assert warned[0].filename == inspect.getsourcefile(Early)


# Archives that were not made in the usual way


@pytest.mark.usefixtures("patched")
def test_an_archive_that_was_never_opened() -> None:
    archive: Any = zipfile.ZipFile.__new__(zipfile.ZipFile)
    assert archive.fp is None
    archive.close()
    archive.__del__()
    assert not hasattr(archive, "filelist")
    with pytest.raises(ValueError, match="mode"):
        zipfile.ZipFile("a.zip", "q")  # type: ignore[call-overload] # to be refused


@pytest.mark.usefixtures("patched")
def test_a_class_that_opens_by_itself(path: Path, tmp_path: Path) -> None:
    template = Early(io.BytesIO(), "w")
    template.close()
    template.__dict__["_fileRefCnt"] = 1

    class Own(zipfile.ZipFile):
        def __init__(self, file: Any, mode: str) -> None:
            attributes: Any = self
            attributes.own = "mine"
            attributes.fp = file
            attributes.mode = mode
            attributes.__dict__.update(
                {
                    name: value
                    for name, value in vars(template).items()
                    if name not in ("fp", "mode")
                }
            )
            if mode == "r":
                attributes._RealGetContents()
            attributes.compression = zipfile.ZIP_DEFLATED

    archive: Any
    file: Any
    with path.open("rb") as file, Own(file, "r") as archive:
        assert archive.read("folder/a") == b"contents"
        archive.extractall(tmp_path / "out")
    with (tmp_path / "b.zip").open("wb") as file, Own(file, "w") as archive:
        archive.filelist, archive.NameToInfo = [], {}
        archive.writestr("a", b"contents")
        archive.write(path, "b")
    with Early(tmp_path / "b.zip") as stock:
        assert stock.namelist() == ["a", "b"]
        assert stock.testzip() is None


@pytest.mark.parametrize("kind", ["stock", "ours"])
def test_opening_twice(tmp_path: Path, kind: str) -> None:
    archive: Any = {"stock": Early, "ours": parazip.ZipFile}[kind](io.BytesIO(), "w")
    archive.writestr("a", b"contents")
    archive.__init__(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED)
    archive.writestr("b", b"contents")
    archive.close()
    with Early(tmp_path / "b.zip") as stock:
        assert stock.namelist() == ["b"]
        assert stock.testzip() is None


@pytest.mark.parametrize("kind", ["stock", "ours"])
def test_a_copy(path: Path, kind: str) -> None:
    Kind: Any = {"stock": Early, "ours": parazip.ZipFile}[kind]  # noqa: N806 # a class
    with Kind(path) as archive:
        assert copy.copy(archive).read("folder/a") == b"contents"
    output = io.BytesIO()
    archive = Kind(output, "w", zipfile.ZIP_DEFLATED)
    archive.writestr("a", bytes(3 << 20))
    copied = copy.copy(archive)
    copied.writestr("b", b"contents")
    copied.close()
    assert type(copied) is Kind
    assert Early(output).namelist() == ["a", "b"]
    assert Early(output).testzip() is None
    archive.fp = None
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(copied)


@pytest.mark.parametrize("by_name", [True, False])
def test_an_archive_is_given_a_class_that_was_derived_meanwhile(path: Path, by_name: bool) -> None:
    """As `zipfile.Path` does it."""
    early = Early(path, "a")
    with parazip.patch():

        class Late(zipfile.ZipFile):
            def first(self) -> bytes:
                return self.read(self.namelist()[0])

        early.__class__ = Late
        late: Any = early
        assert late.first() == b"contents"
        if by_name:
            zipfile.ZipFile.writestr(late, "b", b"contents")
        else:
            late.writestr("b", b"contents")
        late.close()
    with Early(path) as stock:
        assert stock.namelist() == ["folder/a", "b"]
        assert stock.testzip() is None


@pytest.mark.parametrize("is_patched", [True, False])
def test_an_archive_is_given_one_class_after_the_other(path: Path, is_patched: bool) -> None:
    """As by `zipfile.Path`, and by zipp, which is the same; and its first class again."""

    class Late(parazip.ZipFile):
        pass

    with parazip.patch() if is_patched else nullcontext(), Late(path) as archive:
        archive_: Any = archive
        for kind in (Derived, vars(zipfile)["CompleteDirs"], DerivedPy, Derived, ByName):
            archive_.__class__ = kind
            assert isinstance(archive, kind)
            assert isinstance(archive, Late)
            assert [one for one in (Derived, DerivedPy) if isinstance(archive, one)] in (
                [kind],
                [],
            )
        for kind in (Early, Late):
            archive_.__class__ = kind
            assert type(archive) is Late
        archive_.__class__ = parazip.ZipFile
        assert type(archive) is parazip.ZipFile
        assert archive.read("folder/a") == b"contents"

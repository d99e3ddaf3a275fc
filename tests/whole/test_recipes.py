"""The commands of docs/recipes.md are run, and the tools that have the rules judge the archives."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.patience import HUNG
from support.places import DOCS
from support.readers import ENVIRONMENT, run_reader

PAGE = (DOCS / "recipes.md").read_text()

TEXT = b"".join(b"line %d of a text that shrinks\n" % i for i in range(3000))

pytestmark = pytest.mark.once


def section_of_recipes(title: str) -> str:
    """What the page says under a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def commands(title: str) -> list[list[str]]:
    """The commands under a heading, those of parazip by this Python."""
    lines = re.findall(r"^    (parazip .*)$", section_of_recipes(title), re.MULTILINE)
    return [[sys.executable, "-m", *shlex.split(line)] for line in lines]


def follow(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=HUNG, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def needs(tool: str) -> str:
    """The path of a tool, or a skip."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"there is no {tool} here")
    return path


def test_each_recipe_has_a_test() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert titles == [
        "EPUB", "OpenDocument", "Jars", "Android", "USDZ", "NumPy arrays, mapped", "AWS Lambda",
        "Wheels", "Bazel", "What other tools do",
    ]  # fmt: skip


# --- EPUB ------------------------------------------------------------------------------------

CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>
"""

PACKAGE = """<?xml version="1.0" encoding="UTF-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:12345678-1234-4234-8234-123456789abc</dc:identifier>
<dc:title>A book</dc:title><dc:language>en</dc:language>
<meta property="dcterms:modified">2026-01-01T00:00:00Z</meta>
</metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/>
</manifest>
<spine><itemref idref="one"/></spine>
</package>
"""

PAGE_OF_BOOK = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
<head><title>A book</title></head><body>{}</body></html>
"""

NAVIGATION = '<nav epub:type="toc" id="toc"><ol><li><a href="one.xhtml">One</a></li></ol></nav>'


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The folder with the folder of a book."""
    book = tmp_path / "book"
    (book / "META-INF").mkdir(parents=True)
    (book / "OEBPS").mkdir()
    (book / "mimetype").write_bytes(b"application/epub+zip")
    (book / "META-INF" / "container.xml").write_text(CONTAINER)
    (book / "OEBPS" / "content.opf").write_text(PACKAGE)
    (book / "OEBPS" / "nav.xhtml").write_text(PAGE_OF_BOOK.format(NAVIGATION))
    (book / "OEBPS" / "one.xhtml").write_text(PAGE_OF_BOOK.format("<p>One.</p>" * 100))
    return tmp_path


@pytest.mark.parametrize("number", [0, 1])
def test_epub(book: Path, number: int) -> None:
    follow(commands("EPUB")[number], book)
    data = (book / "book.epub").read_bytes()
    assert data[:4] == b"PK\3\4"
    assert data[6:10] == bytes(4), "neither flags nor compression"
    assert data[28:30] == bytes(2), "no extra field"
    assert data[30:58] == b"mimetypeapplication/epub+zip"
    with zipfile.ZipFile(book / "book.epub") as archive:
        assert archive.testzip() is None
        assert archive.getinfo("OEBPS/one.xhtml").compress_type == zipfile.ZIP_DEFLATED


@pytest.mark.slow
def test_epubcheck(book: Path) -> None:
    epubcheck = Path(needs("epubcheck"))
    start = [needs("java"), "-jar"] if epubcheck.read_bytes().startswith(b"PK") else []
    follow(commands("EPUB")[0], book)
    done = run_reader([*start, epubcheck, book / "book.epub"])
    assert done.returncode == 0, done.stdout
    assert "No errors or warnings detected" in done.stdout


# --- OpenDocument ----------------------------------------------------------------------------


def test_opendocument(tmp_path: Path) -> None:
    file = needs("file")
    sheet = tmp_path / "sheet"
    (sheet / "META-INF").mkdir(parents=True)
    (sheet / "mimetype").write_bytes(b"application/vnd.oasis.opendocument.spreadsheet")
    (sheet / "META-INF" / "manifest.xml").write_bytes(TEXT)
    (sheet / "content.xml").write_bytes(TEXT)
    (command,) = commands("OpenDocument")
    follow(command, tmp_path)
    assert "`OpenDocument Spreadsheet`" in section_of_recipes("OpenDocument")
    assert (
        run_reader([file, "--brief", tmp_path / "sheet.ods"]).stdout == "OpenDocument Spreadsheet\n"
    )


# --- Jars ------------------------------------------------------------------------------------

LAUNCHER = """
package org;

import java.util.jar.*;
import java.util.zip.ZipEntry;

/** Opens the jars in its own jar where they are, which takes that they are stored. */
public class Launcher {
    public static void main(String[] args) throws Exception {
        String path = new java.io.File(
            Launcher.class.getProtectionDomain().getCodeSource().getLocation().toURI()).getPath();
        try (JarFile jar = new JarFile(path)) {
            for (JarEntry entry : java.util.Collections.list(jar.entries())) {
                if (!entry.getName().endsWith(".jar")) continue;
                if (entry.getMethod() != ZipEntry.STORED) {
                    throw new IllegalStateException(entry + " has been compressed");
                }
                try (JarInputStream nested = new JarInputStream(jar.getInputStream(entry))) {
                    System.out.println(entry + ": " + nested.getNextJarEntry());
                }
            }
        }
        try (JarInputStream jar = new JarInputStream(new java.io.FileInputStream(path))) {
            System.out.println(jar.getManifest().getMainAttributes().getValue("Main-Class"));
        }
    }
}
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder with the folder of a program that has jars in it."""
    javac = needs("javac")
    app = tmp_path / "app"
    for folder in ("META-INF", "BOOT-INF/lib", "org"):
        (app / folder).mkdir(parents=True)
    (app / "META-INF" / "MANIFEST.MF").write_text(
        "Manifest-Version: 1.0\nMain-Class: org.Launcher\n"
    )
    (app / "org" / "notes.txt").write_bytes(TEXT)
    with zipfile.ZipFile(app / "BOOT-INF" / "lib" / "small.jar", "w") as nested:
        for i in range(50):
            nested.writestr(f"com/example/of/some/package/Class{i}.class", b"")
    (tmp_path / "Launcher.java").write_text(LAUNCHER)
    done = run_reader([javac, "-d", app, tmp_path / "Launcher.java"])
    assert done.returncode == 0, done.stdout
    return tmp_path


def test_jar_with_nested_jars(app: Path) -> None:
    create, merge = commands("Jars")
    follow(create, app)
    done = run_reader([needs("java"), "-jar", app / "app.jar"])
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines() == [
        "BOOT-INF/lib/small.jar: com/example/of/some/package/Class0.class",
        "org.Launcher",
    ]
    follow([argument for argument in create if argument not in ("--store", "*.jar")], app)
    assert "has been compressed" in run_reader([needs("java"), "-jar", app / "app.jar"]).stdout
    with zipfile.ZipFile(app / "plain.jar", "w") as plain:
        for name in ("META-INF/MANIFEST.MF", "META-INF/X.SF", "META-INF/X.RSA", "Plain.class"):
            plain.writestr(name, b"")
    follow(merge, app)
    with zipfile.ZipFile(app / "all.jar") as archive:
        names = archive.namelist()
        assert b"Launcher" in archive.read("META-INF/MANIFEST.MF")
    assert "Plain.class" in names
    assert not any(name.endswith((".SF", ".RSA")) for name in names)


# --- Android and USDZ ------------------------------------------------------------------------


def begin_of(path: Path, name: str) -> int:
    """Where the contents of a member begin that must be stored."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
        assert info.compress_type == zipfile.ZIP_STORED
        assert archive.testzip() is None
    data = path.read_bytes()
    lengths = data[info.header_offset + 26 : info.header_offset + 30]
    extra = int.from_bytes(lengths[2:], "little")
    return info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + extra


@pytest.fixture
def apk(tmp_path: Path) -> Path:
    """The folder with the folder of an app."""
    apk = tmp_path / "apk"
    (apk / "lib" / "arm64-v8a").mkdir(parents=True)
    (apk / "AndroidManifest.xml").write_bytes(TEXT)
    (apk / "classes.dex").write_bytes(TEXT * 30)
    (apk / "lib" / "arm64-v8a" / "libx.so").write_bytes(b"\x7fELF" + TEXT * 20)
    (apk / "res.png").write_bytes(os.urandom(999))
    (apk / "resources.arsc").write_bytes(TEXT)
    return tmp_path


def test_android(apk: Path) -> None:
    for command in commands("Android"):
        follow(command, apk)
    for name in ("app.apk", "aligned.apk"):
        for member in ("resources.arsc", "res.png"):
            assert begin_of(apk / name, member) % 4 == 0
        assert begin_of(apk / name, "lib/arm64-v8a/libx.so") % 16384 == 0


def test_zipalign_verifies_it(apk: Path) -> None:
    needs("zipalign")
    for command in commands("Android"):
        follow(command, apk)
    verify = re.findall(r"`(zipalign .*?)`", section_of_recipes("Android"))
    assert len(verify) == 1
    done = run_reader(shlex.split(verify[0]), cwd=apk)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("(OK)") >= 3
    with zipfile.ZipFile(apk / "app.apk", "w") as archive:
        for file in sorted((apk / "apk").rglob("*")):
            archive.write(file, file.relative_to(apk / "apk"))
    assert run_reader(["zipalign", "-c", "-p", "4", "app.apk"], cwd=apk).returncode == 1


def test_apksigner_keeps_the_padding(apk: Path) -> None:
    apksigner, keytool = needs("apksigner"), needs("keytool")
    for command in commands("Android"):
        follow([*command[:4], "--align", "64:res.png", *command[4:]], apk)
    password = "password"
    keys = ["-keystore", "keys", "-storepass", password, "-keypass", password, "-alias", "me"]
    made = run_reader([keytool, "-genkeypair", *keys, "-keyalg", "RSA", "-dname", "CN=me"], cwd=apk)
    assert made.returncode == 0, made.stdout
    sign = ["sign", "--ks", "keys", "--ks-pass", f"pass:{password}", "--min-sdk-version", "24"]
    done = run_reader([apksigner, *sign, "aligned.apk"], cwd=apk)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(apk / "aligned.apk") as archive:
        assert "META-INF/MANIFEST.MF" in archive.namelist()
    assert begin_of(apk / "aligned.apk", "resources.arsc") % 4 == 0
    assert begin_of(apk / "aligned.apk", "res.png") % 64 == 0
    assert begin_of(apk / "aligned.apk", "lib/arm64-v8a/libx.so") % 16384 == 0


LAYER = """#usda 1.0
(
  defaultPrim = "Root"
  metersPerUnit = 1
  upAxis = "Y"
)
def Xform "Root" {
}
"""


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """The folder with the folder of a scene."""
    (tmp_path / "scene" / "textures").mkdir(parents=True)
    (tmp_path / "scene" / "scene.usda").write_text(LAYER)
    (tmp_path / "scene" / "textures" / "wood.png").write_bytes(TEXT)
    return tmp_path


def test_usdz(scene: Path) -> None:
    (command,) = commands("USDZ")
    follow(command, scene)
    path = scene / "scene.usdz"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["scene.usda", "textures/wood.png"]
    for name in ("scene.usda", "textures/wood.png"):
        assert begin_of(path, name) % 64 == 0


def test_usdz_is_what_openusd_asks_for(scene: Path) -> None:
    validation: Any = pytest.importorskip("pxr.UsdValidation", reason="there is no usd-core here")
    usd: Any = pytest.importorskip("pxr.Usd")
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    names = [validator.GetMetadata().name for validator in validators]
    assert any(name.endswith("UsdzPackageValidator") for name in names)

    def faults(path: Path) -> set[str]:
        stage = usd.Stage.Open(str(path))
        return {
            error.GetName() for error in validation.ValidationContext(validators).Validate(stage)
        }

    (command,) = commands("USDZ")
    follow(command, scene)
    assert faults(scene / "scene.usdz") == set()
    at = command.index("scene.usdz")
    textures = [*command[:at], "folder.usdz", "scene.usda", "textures"]
    follow(textures, scene)
    assert faults(scene / "folder.usdz") == {"UnsupportedFileExtensionInPackage"}
    unaligned = [word for word in command if word not in ("--align", "64")]
    follow(unaligned, scene)
    assert faults(scene / "scene.usdz") == {"ByteMisalignment"}


# --- Arrays ----------------------------------------------------------------------------------


@pytest.fixture
def mapped() -> Callable[[Path, str], Any]:
    """The function that the page shows."""
    pytest.importorskip("numpy", reason="there is no numpy here")
    (code,) = re.findall(
        r"```python\n(.*?)```", section_of_recipes("NumPy arrays, mapped"), re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(code, names)
    function: Callable[[Path, str], Any] = names["mapped"]
    return function


def test_arrays_are_mapped(tmp_path: Path, mapped: Callable[[Path, str], Any]) -> None:
    numpy: Any = pytest.importorskip("numpy", reason="there is no numpy here")
    (tmp_path / "arrays" / "deep").mkdir(parents=True)
    arrays = {
        "x": numpy.arange(300_000, dtype="<f8").reshape(300, 1000),
        "deep/y": numpy.asfortranarray(numpy.arange(12).reshape(3, 4)),
        "fields": numpy.ones(3, [(f"field number {i}", "<i2") for i in range(200)]),
        "empty": numpy.zeros((0, 3)),
    }
    for name, array in arrays.items():
        numpy.save(tmp_path / "arrays" / f"{name}.npy", array)
    numpy.savez(tmp_path / "arrays.npz", **arrays)
    create, merge = commands("NumPy arrays, mapped")
    follow(create, tmp_path)
    follow(merge, tmp_path)
    for archive in ("arrays.zip", "aligned.npz"):
        for name, array in arrays.items():
            found = mapped(tmp_path / archive, f"{name}.npy")
            assert isinstance(found, numpy.memmap)
            assert found.ctypes.data % 64 == 0
            assert found.dtype == array.dtype
            assert (found == array).all()
            assert found.flags.f_contiguous == array.flags.f_contiguous
    with numpy.load(tmp_path / "aligned.npz") as loaded:
        assert (loaded["x"] == arrays["x"]).all()
    follow([*create[:3], "create", "-C", "arrays", "compressed.zip", "."], tmp_path)
    with pytest.raises(ValueError, match="--store"):
        mapped(tmp_path / "compressed.zip", "x.npy")


# --- Python packages -------------------------------------------------------------------------


def test_lambda(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    handler = tmp_path / "build" / "handler.py"
    handler.write_text("def handle(event, context):\n    return event\n")
    handler.chmod(0o600)
    (command,) = commands("AWS Lambda")
    made = []
    for moment in (10**9, 2 * 10**9):
        os.utime(handler, (moment, moment))
        follow(command, tmp_path)
        made.append((tmp_path / "lambda.zip").read_bytes())
    assert made[0] == made[1]
    with zipfile.ZipFile(tmp_path / "lambda.zip") as archive:
        assert archive.getinfo("handler.py").external_attr >> 16 == 0o100644
    code = "import handler; print(handler.handle(14, None))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path / "lambda.zip")},
        capture_output=True,
        check=True,
    )
    assert done.stdout.strip() == b"14"


def test_wheel(tmp_path: Path) -> None:
    pytest.importorskip("wheel", reason="there is no wheel here")
    info = tmp_path / "unpacked" / "x-1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "unpacked" / "x.py").write_bytes(TEXT)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (info / "RECORD").write_text("")
    (command,) = commands("Wheels")
    follow(command, tmp_path)
    with zipfile.ZipFile(tmp_path / "x-1-py3-none-any.whl") as archive:
        assert b"x.py,sha256=" in archive.read("x-1.dist-info/RECORD")


# --- What other tools do ---------------------------------------------------------------------


def test_other_tools_take_our_archives_further(tmp_path: Path) -> None:
    """What the page says of Info-ZIP and 7-Zip."""
    needs("zip")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "noise").write_bytes(os.urandom(300_000))
    follow([sys.executable, "-m", "parazip", "create", "archive.zip", "files"], tmp_path)
    (tmp_path / "comment.txt").write_text("a comment")
    done = run_reader(["zip", "-z", "archive.zip"], cwd=tmp_path, stdin=tmp_path / "comment.txt")
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        assert archive.comment == b"a comment"
    done = run_reader(["zip", "-s", "100k", "archive.zip", "--out", "pieces.zip"], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "pieces.z01").stat().st_size >= 64 << 10
    done = run_reader(["zip", "-s", "0", "pieces.zip", "--out", "whole.zip"], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(tmp_path / "whole.zip") as archive:
        assert archive.read("files/noise") == (tmp_path / "files" / "noise").read_bytes()


def test_encryption_by_7_zip(tmp_path: Path) -> None:
    seven = needs("7z")
    (tmp_path / "files").write_bytes(TEXT)
    done = run_reader(
        [seven, "a", "-tzip", "-mem=AES256", "-psecret", "secret.zip", "files"], cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(tmp_path / "secret.zip") as archive:
        assert archive.infolist()[0].flag_bits & 1


# --- Bazel -----------------------------------------------------------------------------------

ZIPPER = """
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
    for line in open(sys.argv[1]):
        name, path = line.strip().split("|")
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        with open(path, "rb") as source, archive.open(info, "w") as target:
            shutil.copyfileobj(source, target)
print(zipfile.ZipFile.__module__)
"""


def test_two_lines_at_the_head_of_a_script_make_it_zip_on_all_cores(tmp_path: Path) -> None:
    (lines,) = re.findall(r"^    (import parazip)\n    (parazip\.patch\(\))$", PAGE, re.MULTILINE)
    (tmp_path / "file").write_bytes(TEXT)
    (tmp_path / "manifest").write_text("a|file\nb|file\n")
    for head, module in ("", "zipfile"), ("\n".join(lines), "parazip.dropin.zip_file"):
        (tmp_path / "zipper.py").write_text(head + ZIPPER)
        command = [sys.executable, "zipper.py", "manifest", f"{module}.zip"]
        told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == module
        with zipfile.ZipFile(tmp_path / f"{module}.zip") as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == {
                "a": TEXT,
                "b": TEXT,
            }

"""The packages whose suites are run: one row each."""

from __future__ import annotations

from typing import NamedTuple

SDIST = "sdist"
WHEEL = "wheel"


class Neighbour(NamedTuple):
    """A package that uses zipfile, and those of its tests that make or read archives.

    Attributes:
        name: as the package index has it.
        version: the one that is installed and whose tests are run.
        tests: the arguments of pytest that choose the tests.
        needs: what is installed beside it.
        tests_in: where the tests are: `SDIST`; `WHEEL`, which has them installed; or a repository
            and its tag, as in `owner/name@v1`.
        left_out: tests that cannot be run, each (all that begin so) with the reason.
    """

    name: str
    version: str
    tests: tuple[str, ...]
    needs: tuple[str, ...] = ()
    tests_in: str = SDIST
    left_out: tuple[tuple[str, str], ...] = ()


_TIMED = "asserts a time"
_IMPORTLIB = "--import-mode=importlib"

NEIGHBOURS = (
    Neighbour(
        "zipp",
        "4.1.2",
        ("tests",),
        ("jaraco.itertools", "jaraco.functools", "jaraco.test", "more_itertools", "big-O"),
        left_out=(("tests/test_complexity.py", _TIMED),),
    ),
    Neighbour("importlib_resources", "7.1.0", ("importlib_resources",), ("zipp", "jaraco.test")),
    Neighbour("importlib_metadata", "10.2.0", ("tests",), ("packaging", "pyfakefs")),
    Neighbour("wheel", "0.48.0", ("tests",), ("setuptools",)),
    Neighbour(
        "setuptools",
        "84.2.1",
        (
            _IMPORTLIB,
            "setuptools/tests/test_wheel.py",
            "setuptools/tests/test_bdist_wheel.py",
            "setuptools/tests/test_bdist_egg.py",
            "setuptools/tests/test_archive_util.py",
            "setuptools/tests/test_build_meta.py",
            "setuptools/tests/test_sdist.py",
            "setuptools/_distutils/tests",
        ),
        ("pip", "wheel", "virtualenv", "build[virtualenv]", "filelock", "jaraco.envs")
        + ("jaraco.path", "jaraco.test", "ini2toml[lite]", "tomli-w", "pytest-home")
        + ("pytest-subprocess", "pytest-timeout", "docutils", "jaraco.text", "more_itertools"),
    ),
    Neighbour("flit", "4.2.0", ("tests", "flit_core"), ("testpath", "responses", "tomli")),
    Neighbour(
        "poetry-core",
        "2.5.0",
        ("tests",),
        ("pytest-mock", "build", "setuptools", "tomli-w", "trove-classifiers", "virtualenv"),
    ),
    Neighbour(
        "build",
        "1.6.1",
        ("tests",),
        ("pytest-mock", "filelock", "wheel", "setuptools", "setuptools_scm", "virtualenv"),
    ),
    Neighbour("shiv", "1.0.8", ("test",)),
    Neighbour("XlsxWriter", "3.2.9", ("xlsxwriter/test",), tests_in="jmcnamara/XlsxWriter@RELEASE_3.2.9"),
    Neighbour("python-docx", "1.2.0", ("tests",), ("pyparsing",)),
    Neighbour("python-pptx", "1.0.2", ("tests",), ("pyparsing",)),
    Neighbour("odfpy", "1.4.1", ("-o", "python_files=test*.py", "tests")),
    Neighbour("EbookLib", "0.20", ("tests",)),
    Neighbour("pyexcel-io", "0.6.8", ("tests",), ("pyexcel", "SQLAlchemy", "chardet")),
    Neighbour("fonttools", "4.68.0", ("Tests/misc", "Tests/ufoLib"), ("fs",)),
    Neighbour(
        "numpy",
        "2.3.5",
        ("--pyargs", "numpy.lib.tests.test_io", "numpy.lib.tests.test_format"),
        ("hypothesis",),
        tests_in=WHEEL,
    ),
    Neighbour(
        "pandas",
        "2.3.3",
        (
            "--pyargs",
            "pandas.tests.io.test_compression",
            "pandas.tests.io.test_pickle",
            "pandas.tests.io.test_common",
            "pandas.tests.io.test_stata",
            "pandas.tests.io.parser.test_compression",
            "pandas.tests.io.parser.test_network",
            "pandas.tests.io.json.test_compression",
            "pandas.tests.io.formats.test_to_csv",
            "pandas.tests.io.xml",
            "pandas.tests.io.excel",
            "pandas.tests.frame.methods.test_to_csv",
            "pandas.tests.series.methods.test_to_csv",
        ),
        ("hypothesis", "openpyxl", "xlsxwriter", "odfpy", "lxml", "python-calamine"),
        tests_in=WHEEL,
    ),
    Neighbour(
        "fsspec",
        "2026.7.0",
        (
            "fsspec/implementations/tests/test_zip.py",
            "fsspec/implementations/tests/test_archive.py",
            "fsspec/implementations/tests/test_cached.py",
            "fsspec/implementations/tests/test_local.py",
            "fsspec/implementations/tests/test_reference.py",
            "fsspec/tests",
        ),
        ("aiohttp", "numpy", "requests", "pytest-mock", "pytest-asyncio", "pytest-recording")
        + ("pytest-benchmark", "pytest-rerunfailures", "cloudpickle", "libarchive-c"),
        tests_in="fsspec/filesystem_spec@2026.7.0",
    ),
    Neighbour(
        "remotezip",
        "0.12.5",
        ("test_remotezip.py",),
        ("requests-mock",),
        tests_in="gtsystem/python-remotezip@v0.12.5",
    ),
    Neighbour(
        "smart_open",
        "8.0.0",
        ("tests/test_smart_open.py", "tests/test_compression.py", "tests/test_http.py"),
        ("responses", "moto[server]", "boto3", "requests", "numpy", "lz4", "pytest-timeout")
        + ("pytest_benchmark", "pytest-rerunfailures", "zstandard", "paramiko"),
        tests_in="piskvorky/smart_open@v8.0.0",
    ),
    Neighbour("zipstream-ng", "1.9.3", ("tests",)),
    Neighbour(
        "stream-zip",
        "0.0.84",
        ("test_stream_zip.py",),
        ("stream-unzip", "pyzipper"),
        tests_in="uktrade/stream-zip@v0.0.84",
    ),
    Neighbour(
        "pyzipper",
        "0.3.6",
        ("test/test_zipfile_aes.py", "test/test_zipfile2.py", "test/test_zipfile.py"),
        tests_in="danifus/pyzipper@v0.3.6",
    ),
)

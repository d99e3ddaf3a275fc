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
        tests: the arguments of pytest that choose the tests, as on a command line.
        needs: what is installed beside it, with spaces between.
        tests_in: where the tests are: `SDIST`; `WHEEL`, which has them installed; or a repository
            and its tag, as in `owner/name@v1`.
        left_out: tests that cannot be run, each (all that begin so) with the reason.
        variables: of the environment, that the tests need.
    """

    name: str
    version: str
    tests: str
    needs: str = ""
    tests_in: str = SDIST
    left_out: tuple[tuple[str, str], ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


_TIMED = "asserts a time"
_NETWORK = "needs the network"

NEIGHBOURS = (
    Neighbour(
        "zipp",
        "4.1.2",
        "--doctest-modules --import-mode=importlib zipp tests",
        "jaraco.itertools jaraco.functools jaraco.test more_itertools big-O",
        left_out=(("tests/test_complexity.py", _TIMED),),
    ),
    Neighbour(
        "importlib_resources",
        "7.1.0",
        "--doctest-modules --import-mode=importlib importlib_resources",
        "zipp jaraco.test",
    ),
    Neighbour("importlib_metadata", "10.2.0", "tests", "packaging pyfakefs"),
    Neighbour("wheel", "0.48.0", "tests", "setuptools"),
    Neighbour(
        "setuptools",
        "84.2.1",
        "--doctest-modules --import-mode=importlib setuptools/tests/test_wheel.py"
        " setuptools/tests/test_bdist_wheel.py setuptools/tests/test_bdist_egg.py"
        " setuptools/tests/test_archive_util.py setuptools/tests/test_build_meta.py"
        " setuptools/tests/test_sdist.py setuptools/_distutils/tests/test_archive_util.py",
        "pip wheel virtualenv build[virtualenv] filelock jaraco.envs jaraco.path jaraco.test"
        " ini2toml[lite] tomli-w pytest-home pytest-subprocess pytest-timeout docutils jaraco.text"
        " more_itertools coverage",
    ),
    Neighbour(
        "flit",
        "4.2.0",
        "tests flit_core",
        "testpath responses tomli",
        left_out=(
            ("tests/test_config.py::test_invalid_classifier", _NETWORK),
            ("tests/test_install.py::InstallTests::test_install_module_pep621", _NETWORK),
            ("tests/test_install.py::InstallTests::test_install_reqs_my_python", _NETWORK),
            ("tests/test_install.py::InstallTests::test_symlink_module_pep621", _NETWORK),
            ("tests/test_install.py::test_test_writable_dir_win", "fails as root"),
            ("tests/test_validate.py::test_validate_classifiers_private", _NETWORK),
        ),
        variables=(("FLIT_ROOT_INSTALL", "1"),),
    ),
    Neighbour(
        "poetry-core",
        "2.5.0",
        "tests/masonry tests/integration tests/utils",
        "pytest-mock build setuptools tomli-w trove-classifiers virtualenv",
    ),
    Neighbour(
        "build",
        "1.6.1",
        "tests/test_projectbuilder.py",
        "pytest-mock pytest-rerunfailures filelock wheel setuptools setuptools_scm virtualenv",
        left_out=(("tests/test_projectbuilder.py::test_init_permission_error", "fails as root"),),
    ),
    Neighbour("shiv", "1.0.8", "test"),
    Neighbour(
        "XlsxWriter",
        "3.2.9",
        "xlsxwriter/test",
        tests_in="jmcnamara/XlsxWriter@RELEASE_3.2.9",
    ),
    Neighbour("python-docx", "1.2.0", "tests", "pyparsing<3.3"),
    Neighbour("python-pptx", "1.0.2", "tests", "pyparsing<3.3"),
    Neighbour("odfpy", "1.4.1", "-o python_files=test*.py tests"),
    Neighbour("EbookLib", "0.20", "tests", tests_in="aerkalov/ebooklib@v0.20"),
    Neighbour(
        "pyexcel-io",
        "0.6.8",
        "tests",
        "pyexcel SQLAlchemy chardet",
        left_out=(("tests/test_issues.py::test_issue_43", _NETWORK),),
    ),
    Neighbour("fonttools", "4.68.0", "Tests/misc Tests/ufoLib", "fs"),
    Neighbour(
        "numpy",
        "2.3.5",
        "numpy/lib/tests/test_io.py numpy/lib/tests/test_format.py -k 'Savez or npz or zip'",
        "hypothesis",
        tests_in=WHEEL,
    ),
    Neighbour(
        "pandas",
        "2.3.3",
        "pandas/tests/io/test_compression.py pandas/tests/io/test_pickle.py"
        " pandas/tests/io/test_stata.py pandas/tests/io/excel/test_writers.py"
        " pandas/tests/io/parser/test_compression.py pandas/tests/io/parser/test_network.py"
        " pandas/tests/io/json/test_compression.py pandas/tests/io/xml/test_to_xml.py"
        " pandas/tests/io/formats/test_to_csv.py pandas/tests/frame/methods/test_to_csv.py"
        " pandas/tests/series/methods/test_to_csv.py -k 'compress or zip or .xlsx or .ods'"
        " --no-strict-data-files",
        "hypothesis openpyxl xlsxwriter odfpy lxml pytest-xdist pytest-localserver",
        tests_in=WHEEL,
    ),
    Neighbour(
        "fsspec",
        "2026.7.0",
        "fsspec/implementations/tests/test_zip.py fsspec/implementations/tests/test_archive.py"
        " fsspec/implementations/tests/test_cached.py fsspec/implementations/tests/test_local.py"
        " fsspec/implementations/tests/test_reference.py fsspec/tests",
        "aiohttp numpy requests pytest-mock pytest-asyncio pytest-recording pytest-benchmark"
        " pytest-rerunfailures cloudpickle libarchive-c",
        tests_in="fsspec/filesystem_spec@2026.7.0",
        left_out=(
            (
                "fsspec/implementations/tests/test_reference.py::test_async_cat_file_ranges",
                _NETWORK,
            ),
        ),
    ),
    Neighbour(
        "remotezip",
        "0.12.5",
        "test_remotezip.py",
        "requests-mock",
        tests_in="gtsystem/python-remotezip@v0.12.5",
    ),
    Neighbour(
        "smart_open",
        "8.0.0",
        "tests/test_smart_open.py tests/test_compression.py tests/test_http.py",
        "responses moto[server] boto3 requests numpy lz4 pytest-timeout pytest_benchmark"
        " pytest-rerunfailures backports.zstd paramiko",
        tests_in="piskvorky/smart_open@v8.0.0",
        left_out=(("tests/test_smart_open.py::ParseUriTest", "needs the clients of all clouds"),),
    ),
    Neighbour("zipstream-ng", "1.9.3", "tests"),
    Neighbour(
        "stream-zip",
        "0.0.84",
        "test_stream_zip.py -k zipfile",
        "stream-unzip pyzipper",
        tests_in="uktrade/stream-zip@v0.0.84",
    ),
    Neighbour(
        "pyzipper",
        "0.3.6",
        "test/test_zipfile_aes.py test/test_zipfile2.py test/test_zipfile.py",
        tests_in="danifus/pyzipper@v0.3.6",
    ),
)

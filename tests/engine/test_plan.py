"""Members are cut into blocks, and small ones share a batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parazip.codecs import levels
from parazip.codecs.levels import STORE, Coder, Recipe
from parazip.codecs.sizes import BLOCK
from parazip.engine import plan
from parazip.errors import DuplicateMemberError, MemberNameError
from parazip.model import File, Member

RECIPE = Recipe(Coder("libdeflate", 6), Coder("zlib-ng", 6), 4 << 20)

BOUNDARIES = [0, 1, plan.BATCH - 1, plan.BATCH, plan.BATCH + 1, RECIPE.cut, RECIPE.cut + 1]


def make_member_of_size(size: int, name: str = "m", store: bool = False) -> Member:
    return Member(name, File(name, size, 0, 0), 0, 0, store)


def tasks_of(
    members: list[Member], recipe: Recipe, shrinks: Callable[[Member], bool]
) -> list[plan.Batch | plan.BlockTask]:
    tasks = list(plan.plan_tasks(members, recipe, shrinks))
    return [task for task in tasks if isinstance(task, plan.Batch | plan.BlockTask)]


def sizes_of(tasks: list[plan.Batch | plan.BlockTask]) -> list[int]:
    """The members' sizes as the tasks tell them, cut members put together again."""
    sizes: list[int] = []
    for task in tasks:
        if isinstance(task, plan.Batch):
            assert task.size == sum(m.size for m in task.members)
            sizes += [m.size for m in task.members]
        elif task.is_first:
            sizes.append(task.length)
        else:
            assert task.start == sizes[-1]
            sizes[-1] += task.length
    return sizes


@given(
    st.lists(st.one_of(st.sampled_from(BOUNDARIES), st.integers(0, 3000)), max_size=400),
    st.booleans(),
)
def test_every_member_is_planned_once_in_order(sizes: list[int], verdict: bool) -> None:
    members = [make_member_of_size(size) for size in sizes]
    tasks = tasks_of(members, RECIPE, lambda m: verdict)
    assert sizes_of(tasks) == sizes
    for task in tasks:
        if isinstance(task, plan.Batch):
            assert 0 < len(task.members) <= plan.BATCH_MEMBERS
            assert task.size <= plan.BATCH or len(task.members) == 1
            assert task.recipe == RECIPE
            assert max(m.size for m in task.members) <= RECIPE.cut
        else:
            assert 0 < task.length <= BLOCK
            assert task.coder == (RECIPE.block if verdict else STORE)
            assert task.member.size > RECIPE.cut


def test_only_large_members_are_asked_whether_they_shrink() -> None:
    asked: list[int] = []

    def shrinks(m: Member) -> bool:
        asked.append(m.size)
        return True

    members = [make_member_of_size(size) for size in (0, 5, RECIPE.cut, RECIPE.cut + 1)]
    list(plan.plan_tasks(members, RECIPE, shrinks))
    assert asked == [RECIPE.cut + 1]


def never(m: Member) -> bool:
    raise AssertionError(m)


@pytest.mark.parametrize("plain", [STORE, Coder("zlib", 0)])
def test_at_level_0_all_get_the_plain_coder_unasked(plain: Coder) -> None:
    stored = RECIPE._replace(whole=STORE, block=STORE, plain=plain)
    tasks = tasks_of([make_member_of_size(RECIPE.cut + 1)], stored, never)
    assert {task.coder for task in tasks if isinstance(task, plan.BlockTask)} == {plain}


def test_what_is_to_be_stored_is_so_unasked_where_its_header_can_be_filled_in() -> None:
    tasks = tasks_of([make_member_of_size(RECIPE.cut + 1, store=True)], RECIPE, never)
    assert {task.coder for task in tasks if isinstance(task, plan.BlockTask)} == {STORE}


def test_what_is_to_be_stored_or_aligned_is_not_cut_where_no_header_can_be_filled_in() -> None:
    recipe = RECIPE._replace(plain=Coder("zlib", 0))
    large = make_member_of_size(RECIPE.cut + 1)
    stored, aligned = large._replace(store=True), large._replace(align=64)
    assert list(plan.plan_tasks([stored], recipe, never)) == [plan.StoredTask(stored)]
    assert list(plan.plan_tasks([aligned], recipe, lambda m: False)) == [plan.StoredTask(aligned)]
    tasks = tasks_of([aligned], recipe, lambda m: True)
    assert {task.coder for task in tasks if isinstance(task, plan.BlockTask)} == {recipe.block}


def test_one_block_more_than_a_whole_number_of_blocks() -> None:
    size = 5 * BLOCK
    for extra, count in ((0, 5), (1, 6)):
        cuts = list(plan.cut_into_blocks(make_member_of_size(size + extra), RECIPE.block))
        assert len(cuts) == count
        assert [cut.is_first for cut in cuts] == [True] + [False] * (count - 1)
        assert [cut.is_last for cut in cuts] == [False] * (count - 1) + [True]


@pytest.mark.parametrize(
    ("short", "long", "wanted"),
    [(500, 0, False), (501, 0, True), (501, 501, False), (600, 599, True), (0, 0, False)],
)
def test_help_is_wanted_for_many_members_that_are_mostly_short(
    short: int, long: int, wanted: bool
) -> None:
    members = [make_member_of_size(32 << 10)] * short + [make_member_of_size((32 << 10) + 1)] * long
    assert plan.are_mostly_short(members) == wanted


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "has 0 bytes"),
        ("a" * 65_536, "has 65536 bytes"),
        ("\N{SNOWMAN}" * 21_846, "has 65538 bytes"),
        ("bad\udcff", "not valid UTF-8"),
    ],
)
def test_names_that_no_archive_can_hold(name: str, complaint: str) -> None:
    with pytest.raises(MemberNameError, match=complaint) as caught:
        list(plan.check_names([make_member_of_size(1, name)]))
    assert isinstance(caught.value, ValueError)
    assert caught.value.member == name


def test_the_longest_name_is_fine() -> None:
    members = [make_member_of_size(1, "a" * 65_535), make_member_of_size(1, "\N{SNOWMAN}" * 21_845)]
    assert list(plan.check_names(members)) == members


@pytest.mark.parametrize("second", ["same", "same/"])
def test_duplicate_names_are_told_with_both_sources(second: str) -> None:
    members = [
        Member("same", File("one/same", 1, 0, 0), 0, 0),
        Member(second, File("two/same", 1, 0, 0), 0, 0),
    ]
    with pytest.raises(DuplicateMemberError, match="one/same and two/same"):
        list(plan.check_names(members))


def test_what_is_to_be_as_zipfile_makes_it_is_not_cut() -> None:
    cut = levels.AS_ZIPFILE.cut
    members = [
        make_member_of_size(1),
        make_member_of_size(cut),
        make_member_of_size(cut + 1),
        make_member_of_size(cut + 1, store=True),
        make_member_of_size(0),
    ]
    tasks = list(plan.plan_tasks(members, levels.AS_ZIPFILE, lambda member: False))
    first, second, stream, *cuts, last = tasks
    assert isinstance(first, plan.Batch)
    assert isinstance(second, plan.Batch)
    assert stream == plan.StreamTask(members[2], levels.AS_ZIPFILE.block)
    assert all(isinstance(task, plan.BlockTask) and task.coder == STORE for task in cuts)
    assert isinstance(last, plan.Batch)
    assert stream.cost < cut

"""The expiry heap: each key once, at its last-set time, whatever the wall clock does."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.controller.expiry import ExpiryHeap
from tests.fakes import NOON, FakeClock
from tests.virtual_time import LoopClock, in_background, in_virtual_time


def after(seconds: float):
    return NOON + timedelta(seconds=seconds)


@asynccontextmanager
async def firing(heap: ExpiryHeap[str]):
    """Run the heap; yields the list of (key, seconds since the start) as they fire."""
    fired: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()
    async with in_background(heap.run(lambda key: fired.append((key, loop.time())))):
        yield fired


@in_virtual_time
async def test_keys_fire_at_their_times_in_order():
    heap = ExpiryHeap(LoopClock())
    heap.set("late", after(300))
    heap.set("soon", after(10.5))

    async with firing(heap) as fired:
        await asyncio.sleep(600)

    assert fired == [("soon", pytest.approx(10.5, abs=0.01)), ("late", pytest.approx(300, abs=0.01))]


@in_virtual_time
async def test_an_earlier_time_that_is_set_during_the_sleep_wakes_it():
    heap = ExpiryHeap(LoopClock(), poll_seconds=30)
    heap.set("late", after(25))
    async with firing(heap) as fired:
        await asyncio.sleep(1)
        heap.set("soon", after(2))
        await asyncio.sleep(5)

    assert fired == [("soon", pytest.approx(2, abs=0.01))]


@in_virtual_time
async def test_the_time_that_was_set_last_is_the_one_that_counts():
    heap = ExpiryHeap(LoopClock())
    heap.set("a", after(5))
    heap.set("a", after(50))
    heap.set("b", after(50))
    heap.set("b", after(5))

    async with firing(heap) as fired:
        await asyncio.sleep(100)

    assert fired == [("b", pytest.approx(5, abs=0.01)), ("a", pytest.approx(50, abs=0.01))]


@in_virtual_time
async def test_a_discarded_key_never_fires():
    heap = ExpiryHeap(LoopClock())
    heap.set("a", after(5))
    heap.discard("a")
    heap.discard("unknown")

    async with firing(heap) as fired:
        await asyncio.sleep(10)

    assert fired == []
    assert len(heap) == 0


@in_virtual_time
async def test_a_key_whose_time_has_passed_fires_at_once():
    heap = ExpiryHeap(LoopClock())
    async with firing(heap) as fired:
        await asyncio.sleep(0.25)
        heap.set("a", after(-3600))
        await asyncio.sleep(0.01)

    assert fired == [("a", 0.25)]


@in_virtual_time
async def test_a_wall_clock_that_jumps_is_noticed_within_one_poll():
    clock = LoopClock()
    heap = ExpiryHeap(clock, poll_seconds=1.0)
    heap.set("a", after(3600))
    async with firing(heap) as fired:
        await asyncio.sleep(10.3)
        clock.jump(3600)
        await asyncio.sleep(1.0)

    assert fired == [("a", pytest.approx(11.0, abs=0.01))]


def test_setting_a_key_again_and_again_does_not_make_the_heap_grow():
    heap = ExpiryHeap(FakeClock())

    for turn in range(10_000):
        heap.set("a", after(turn))

    assert len(heap) == 1
    assert len(heap._heap) < 100


@given(
    changes=st.lists(st.tuples(st.integers(0, 8), st.none() | st.integers(-50, 50)), max_size=120),
    now=st.integers(-60, 60),
)
def test_exactly_the_keys_that_are_due_are_taken_earliest_first(changes, now):
    clock = FakeClock()
    heap = ExpiryHeap(clock)
    wanted: dict[int, int] = {}
    for key, at in changes:
        wanted.pop(key, None)
        heap.discard(key) if at is None else heap.set(key, after(at))
        wanted |= {} if at is None else {key: at}
    clock.jump(now)

    taken = heap.take_due()

    assert sorted(taken) == sorted(key for key, at in wanted.items() if at <= now)
    assert [wanted[key] for key in taken] == sorted(wanted[key] for key in taken)
    assert len(heap) == len(wanted) - len(taken)
    assert heap.take_due() == []

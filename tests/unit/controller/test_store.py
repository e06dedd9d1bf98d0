"""The store: what counts as a change, and what is too old to be one."""

from dataclasses import dataclass, field, replace

import pytest

from tallystick.controller.store import Store, is_older

KEY = ("edge", "press-1")


@dataclass(frozen=True, slots=True)
class Seen:
    namespace: str = "edge"
    name: str = "press-1"
    uid: str = "u1"
    resource_version: str = field(default="10", compare=False)
    generation: int = 1
    owner: str = ""


def a_store(*records: Seen) -> Store[Seen]:
    store = Store[Seen](index=lambda record: record.owner)
    for record in records:
        store.observe("ADDED", record)
    return store


@pytest.mark.parametrize(
    ("record", "changed"),
    [
        pytest.param(Seen(resource_version="11", generation=2), True, id="its spec changed"),
        pytest.param(Seen(resource_version="11"), False, id="only its version changed: an echo"),
        pytest.param(Seen(resource_version="10"), False, id="told twice"),
        pytest.param(Seen(resource_version="9", generation=7), False, id="an older event"),
        pytest.param(Seen(resource_version="abc", generation=2), True, id="versions that cannot be compared"),
        pytest.param(Seen(uid="u2", resource_version="11"), True, id="re-created"),
        pytest.param(Seen(uid="u0", resource_version="9"), False, id="an older event of an earlier object of the name"),
        pytest.param(Seen(name="press-2"), True, id="another object"),
    ],
)
def test_an_event_asks_for_work_if(record, changed):
    store = a_store(Seen())

    assert store.observe("MODIFIED", record) is changed


@pytest.mark.parametrize("event_type", ["ADDED", None])
def test_what_is_added_has_come_whatever_the_versions_say(event_type):
    store = a_store(Seen())

    assert store.observe(event_type, Seen(uid="u2", resource_version="9")) is True


def test_an_object_made_again_stays_though_the_end_of_the_earlier_one_is_reported_later():
    store = a_store(Seen(resource_version="10"))
    again = Seen(uid="u2", resource_version="13")
    store.observe("ADDED", again)

    store.observe("MODIFIED", Seen(resource_version="11", generation=2))
    store.observe("DELETED", Seen(resource_version="12", generation=2))

    assert store.get(KEY) == again


def test_the_first_listing_is_news():
    assert Store[Seen]().observe(None, Seen()) is True


def test_versions_are_compared_as_numbers_not_as_text():
    store = a_store(Seen(resource_version="9"))

    store.observe("MODIFIED", Seen(resource_version="10", generation=2))

    assert store.get(KEY) == Seen(generation=2)


def test_an_echo_moves_the_version_on_so_that_older_events_stay_out():
    store = a_store(Seen())
    store.observe("MODIFIED", Seen(resource_version="20"))

    assert store.observe("MODIFIED", Seen(resource_version="15", generation=9)) is False
    assert store.get(KEY).generation == 1


def test_a_deletion_forgets_the_object_and_its_index():
    store = a_store(Seen(owner="o1"))

    changed = store.observe("DELETED", Seen(resource_version="11", owner="o1"))

    assert changed is True
    assert store.get(KEY) is None
    assert store.by_index("o1") == []
    assert len(store) == 0


def test_a_late_deletion_of_an_earlier_object_leaves_its_successor_alone():
    store = a_store(Seen(uid="u2"))

    assert store.observe("DELETED", Seen(uid="u1")) is False
    assert store.get(KEY) == Seen(uid="u2")


def test_records_are_found_by_their_owner_and_move_with_it():
    first, second = Seen(name="a", owner="o1"), Seen(name="b", owner="o1")
    store = a_store(first, second, Seen(name="c"))
    assert store.by_index("o1") == [("edge", "a"), ("edge", "b")]

    store.observe("MODIFIED", replace(first, owner="o2"))

    assert store.by_index("o1") == [("edge", "b")]
    assert store.by_index("o2") == [("edge", "a")]
    assert store.by_index("") == []


def test_what_was_not_observed_again_in_a_block_is_reported():
    store = a_store(Seen(name="a"), Seen(name="b"))

    with store.noting() as not_observed_since:
        store.observe("MODIFIED", Seen(name="b"))
        store.observe("ADDED", Seen(name="c"))
        found = not_observed_since()

    assert found == [(("edge", "a"), "u1")]


@pytest.mark.parametrize(
    ("version", "other", "older"),
    [
        ("9", "10", True),
        ("10", "9", False),
        ("10", "10", False),
        ("", "10", False),
        ("9", "x", False),
        ("-1", "2", False),
    ],
)
def test_a_version_is_older_only_where_both_are_decimal(version, other, older):
    assert is_older(version, other) is older

"""What the leader remembers of ConnectionConfigurations: what went with one that is gone, and how old tokens are."""

from datetime import timedelta

import pytest

from tallystick.connections.domain.reminders import Rotation
from tallystick.connections.feature import FEATURE, readings
from tallystick.connections.services.configuration_index import ConfigurationIndex
from tallystick.objects.context import Context
from tallystick.objects.server_clock import ServerClock
from tallystick.runtime.metrics import make_metrics
from tallystick.schema.times import rfc3339
from tests.builders import OTHER_UID, UID
from tests.fakes import NOON, FakeClock, MemoryAudit, MemoryEvents
from tests.worlds.connection_world import a_connection, a_token


class Counting:
    """A census, and what it tells."""

    def __init__(self):
        self.clock, self.audit, self.events = FakeClock(), MemoryAudit(), MemoryEvents()
        self.index = ConfigurationIndex(Context(self.clock, ServerClock(self.clock), self.audit, self.events))

    def note(self, *tokens, name="dc-west", uid=UID, **changes):
        self.index.note(a_connection(name=name, uid=uid, status={"lastSerial": 9, "tokens": list(tokens)}, **changes))

    def counts(self):
        return {rotation.value: self.index.count(rotation) for rotation in Rotation}

    def ended(self):
        return [(line.facts["uid"], line.facts["token_id"]) for line in self.audit.lines]


@pytest.fixture
def counting():
    return Counting()


def issued(days_ago, **more):
    return a_token(issuedTime=rfc3339(NOON - timedelta(days=days_ago)), **more)


def test_active_tokens_are_revoked_with_the_object_and_reported_once(counting):
    counting.note(a_token("b", 2), a_token("a", 1, state="Pending"), a_token("x", 3, state="Revoked"))

    counting.index.gone("edge", "dc-west")
    counting.index.gone("edge", "dc-west")

    assert [(line.action, line.outcome, line.facts["reason"]) for line in counting.audit.lines] == [
        ("revoke", "ok", "ConfigurationDeleted")
    ] * 2
    assert counting.ended() == [(UID, "id-2"), (UID, "id-1")]
    (event,) = counting.events.warnings
    assert event.message == "the object was deleted; tokens id-2, id-1 are revoked"
    assert (event.kind, event.namespace, event.name) == ("ConnectionConfiguration", "edge", "dc-west")


def test_one_token_is_reported_in_the_singular(counting):
    counting.note(a_token())

    counting.index.gone("edge", "dc-west")

    assert [event.message for event in counting.events.warnings] == ["the object was deleted; token id-1 is revoked"]


@pytest.mark.parametrize("tokens", [(), (a_token(state="Revoked"),)], ids=["none", "revoked"])
def test_nothing_is_reported_of_an_object_without_an_active_token(counting, tokens):
    counting.note(*tokens)

    counting.index.gone("edge", "dc-west")

    assert (counting.audit.lines, counting.events.warnings) == ([], [])


def test_nothing_is_reported_of_an_object_that_was_never_seen(counting):
    counting.note(a_token(), name="another")

    counting.index.gone("edge", "dc-west")

    assert (counting.audit.lines, counting.events.warnings) == ([], [])


def test_an_object_that_was_made_again_between_two_looks_has_ended_the_tokens_of_the_one_before(counting):
    counting.note(a_token(tokenID="old"))

    counting.note(a_token(tokenID="new"), uid=OTHER_UID)
    counting.note(a_token(tokenID="new"), uid=OTHER_UID)

    assert counting.ended() == [(UID, "old")]


def test_what_counts_is_the_last_look(counting):
    counting.note(a_token("a", 1))
    counting.note(a_token("b", 2), a_token("a", 1, state="Revoked"))

    counting.index.gone("edge", "dc-west")

    assert counting.ended() == [(UID, "id-2")]


def test_r19_the_age_is_that_of_the_newest_token_of_the_object_where_it_is_oldest(counting):
    nothing = counting.index.oldest_age()
    counting.note(issued(3, serial=2), issued(400, serial=1), name="rotated")
    counting.note(issued(10), name="old")
    counting.note(name="without")

    found = counting.index.oldest_age()
    counting.clock.advance(60)

    assert nothing == 0.0
    assert found == timedelta(days=10).total_seconds()
    assert counting.index.oldest_age() == found + 60


def test_an_age_is_never_negative(counting):
    counting.note(issued(-1))

    assert counting.index.oldest_age() == 0.0


def test_objects_are_counted_by_how_urgent_a_rotation_is(counting):
    counting.note(issued(0), name="young")
    counting.note(issued(200), name="half")
    counting.note(issued(300), name="more")
    counting.note(issued(400), name="year")
    counting.note(issued(400, state="Revoked"), name="ended")

    assert counting.counts() == {"current": 1, "recommended": 2, "overdue": 1}
    counting.index.gone("edge", "year")
    assert counting.counts() == {"current": 1, "recommended": 2, "overdue": 0}


def test_the_metrics_report_what_is_counted_when_they_are_read(counting):
    metrics = make_metrics(gauges=FEATURE.gauges)
    metrics.read_gauges(readings(counting.index))
    counting.note(issued(200))

    def value(name, **labels):
        return metrics.registry.get_sample_value(name, labels)

    assert value("tallystick_connection_token_age_seconds") == timedelta(days=200).total_seconds()
    assert value("tallystick_connection_configurations", rotation="recommended") == 1.0
    assert value("tallystick_connection_configurations", rotation="current") == 0.0

"""The kopf edge: it only watches, and returns nothing that kopf could store."""

import kopf
import pytest

from tallystick.controller.watches import SILENT_SECONDS, configure, register
from tallystick.registry import KINDS


class Listener:
    """Keeps what it is told, and knows objects with n = 0 already."""

    def __init__(self):
        self.observed = []

    def is_news(self, resource, event_type, body):
        return body["n"] > 0

    def observe(self, resource, event_type, body):
        self.observed.append((resource, event_type, body))


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def registry(listener):
    registry = kopf.OperatorRegistry()
    register(registry, listener, KINDS)
    return registry


def handlers_of(registry, kind):
    return list(getattr(registry, kind)._handlers)


def test_kopf_watches_and_does_nothing_else(registry):
    # Any other kind of handler writes annotations or finalizers, or copies a Secret's data into an annotation.
    assert len(handlers_of(registry, "_watching")) == len(KINDS)
    assert [handlers_of(registry, kind) for kind in ("_changing", "_spawning", "_indexing", "_webhooks")] == [[]] * 4


async def test_a_handler_hands_its_event_on_and_returns_none(registry, listener):
    returned = [
        await handler.fn(event={"type": "ADDED", "object": {"n": number}})
        for number, handler in enumerate(handlers_of(registry, "_watching"))
    ]

    # kopf copies a returned value into the status of the object.
    watched = [kind.resource for kind in KINDS]
    assert returned == [None] * len(watched)
    assert listener.observed == [(resource, "ADDED", {"n": number}) for number, resource in enumerate(watched)]


def test_kopf_asks_whether_an_event_is_news_before_it_calls(registry):
    asked = [
        handler.when(event={"type": "MODIFIED", "object": {"n": number}}, body=None)
        for number, handler in enumerate(handlers_of(registry, "_watching"))
    ]

    assert asked == [False] + [True] * (len(KINDS) - 1)


def test_a_watch_that_has_lost_its_connection_is_given_up_soon():
    settings = kopf.OperatorSettings()

    configure(settings)

    # A healthy one ends by itself before that, so that silence is proof.
    watching = settings.watching
    assert watching.server_timeout < watching.inactivity_timeout == SILENT_SECONDS <= 20


def test_kopf_is_alone_and_silent():
    settings = kopf.OperatorSettings()

    configure(settings)

    # A foreign peering object could freeze us, and its events are not counted.
    assert settings.peering.standalone
    assert not settings.posting.enabled


def test_kopf_keeps_no_copy_of_an_object():
    settings = kopf.OperatorSettings()
    configure(settings)
    body = kopf.Body({"metadata": {"name": "s"}, "data": {"token": "AAAA"}})

    storage = settings.persistence.diffbase_storage

    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) is None

"""The kopf edge: one watch for each kind, one line of work each.

Only `@kopf.on.event` is used: level-triggered, no annotations, no finalizers, no writes of kopf's own. Handlers return
None, because kopf copies a returned value into the status.
"""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import kopf

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.api.core import SECRETS
from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.meta import Resource
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.domain.names import KIND_LABEL, MANAGED_BY, MANAGER
from tallystick.handlers.storages import NoDiffBase, NoProgress

# What the Secrets that are watched carry; the API server filters, so no other Secret reaches this process.
SECRET_SELECTOR = f"{MANAGED_BY}={MANAGER},{KIND_LABEL}"

# A watch ends by itself after so long, so that one which lasts longer without a word has lost its connection. Then it
# is given up and begun anew where it was: nobody waits longer for an event than this. (A bookmark comes once a minute.)
WATCH_SECONDS = 15
SILENT_SECONDS = 20.0

WATCHED = (PAIRING_TOKENS, MASTER_TOKENS, CONNECTION_CONFIGURATIONS, SECRETS)


class Observer(Protocol):
    """Who is told of events."""

    def is_news(self, resource: Resource, event_type: str | None, body: Mapping[str, Any]) -> bool:
        """Tell whether an event says anything that is not known yet."""
        ...

    def observe(self, resource: Resource, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Take in one event; its type is None for an initial listing."""
        ...


def register(registry: kopf.OperatorRegistry, observer: Observer) -> None:
    """Hand every event of our kinds, and of the Secrets with our label, to an observer."""
    for resource in WATCHED:
        _watch(resource, registry, observer)


def _watch(resource: Resource, registry: kopf.OperatorRegistry, observer: Observer) -> None:
    # Most events are echoes of what we have written. kopf asks before it prepares a call, which costs it more than
    # all that we do with an event.
    def is_news(event: kopf.RawEvent, **_: object) -> bool:
        return observer.is_news(resource, event["type"], event["object"])

    @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, when=is_news)
    async def handle(event: kopf.RawEvent, **_: object) -> None:
        observer.observe(resource, event["type"], event["object"])


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf up as a watcher and nothing else (reference: its own critique of annotations and peering)."""
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.posting.level = logging.CRITICAL
    # kopf runs a task for each object that it has just seen, and lists as fast as it can: small pages and short lives
    # keep few of them alive at once.
    settings.queueing.idle_timeout = 0.05
    settings.watching.chunk_size = 100
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.inactivity_timeout = SILENT_SECONDS
    settings.watching.connect_timeout = 10
    settings.watching.label_selectors["v1", "secrets"] = SECRET_SELECTOR
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = [1, 1, 2, 3, 5, 8, 13, 21, 30, 30]

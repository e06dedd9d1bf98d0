"""The kopf edge: three watches, one line of work each.

Only `@kopf.on.event` is used: level-triggered, no annotations, no finalizers, no writes of kopf's own. Handlers return
None, because kopf copies a returned value into the status.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import kopf

from tallystick.api.core import SECRETS
from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.meta import GROUP, VERSION, Resource
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.domain.names import KIND_LABEL, MANAGED_BY, MANAGER
from tallystick.handlers.storages import NoDiffBase, NoProgress

# What the Secrets that are watched carry; the API server filters, so no other Secret reaches this process.
SECRET_SELECTOR = f"{MANAGED_BY}={MANAGER},{KIND_LABEL}"

Observer = Callable[[Resource, str | None, Mapping[str, Any]], None]


def register(registry: kopf.OperatorRegistry, observe: Observer) -> None:
    """Hand every event of our kinds, and of the Secrets with our label, to `observe`."""

    @kopf.on.event(GROUP, VERSION, PAIRING_TOKENS.plural, registry=registry)
    async def pairing_token(event: kopf.RawEvent, **_: object) -> None:
        observe(PAIRING_TOKENS, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, MASTER_TOKENS.plural, registry=registry)
    async def master_token(event: kopf.RawEvent, **_: object) -> None:
        observe(MASTER_TOKENS, event["type"], event["object"])

    @kopf.on.event("", "v1", SECRETS.plural, registry=registry)
    async def secret(event: kopf.RawEvent, **_: object) -> None:
        observe(SECRETS, event["type"], event["object"])


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf up as a watcher and nothing else (reference: its own critique of annotations and peering)."""
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.posting.level = logging.CRITICAL
    settings.queueing.idle_timeout = 0.2
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 290
    settings.watching.connect_timeout = 10
    settings.watching.label_selectors["v1", "secrets"] = SECRET_SELECTOR
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = [1, 1, 2, 3, 5, 8, 13, 21, 30, 30]

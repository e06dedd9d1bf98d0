"""W3's limit for the controller: a bare kopf operator that receives the same events, and does nothing.

KUBECONFIG=... python -m tests.bench.fleet.watch
"""

import asyncio
from typing import Any

import kopf

GROUP, VERSION = "tallystick.dev", "v1alpha1"
KINDS = ("devices", "pairingtokens", "tokenrotations")


def register(registry: kopf.OperatorRegistry) -> None:
    """Watch the kinds of a fleet, with a handler that does nothing."""

    @kopf.on.login(registry=registry)
    def login(**given: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**given)

    for plural in KINDS:

        @kopf.on.event(GROUP, VERSION, plural, registry=registry)
        async def observe(**_: object) -> None:
            """Do nothing."""


def main() -> None:
    registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
    register(registry)
    settings.posting.enabled = False
    settings.scanning.disabled = True
    asyncio.run(kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True))


if __name__ == "__main__":
    main()

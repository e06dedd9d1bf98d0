"""The cluster and the namespace of `tallystick rotation`, and the objects of one rotation."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tallystick.errors import TallystickError
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.fleet.domain.facts import DeviceFacts, RotationFacts, Target
from tallystick.fleet.domain.readings import device_facts, device_selector, pairing_token_of, rotation_facts, target_of
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.kube.sources import namespace_of
from tallystick.objects.labels import CLI_MANAGER
from tallystick.objects.ports import Cluster, NotFoundError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken


class RotationError(TallystickError):
    """The command cannot go on, or the rotation did not succeed. The text has the next action."""


@dataclass(frozen=True, slots=True)
class Access:
    """Which cluster, as which user.

    Attributes:
        namespace: The namespace of the rotation; None for that of the context, or `default`.
        kubeconfig: The kubeconfig file; None for the usual one.
        context: Its context; None for the current one.
    """

    namespace: str | None
    kubeconfig: Path | None
    context: str | None

    def cluster(self) -> KubeCluster:
        """Return a client of the cluster, to be entered; raises InvalidSettingError."""
        return KubeCluster(Connection(kubeconfig=self.kubeconfig, context=self.context), field_manager=CLI_MANAGER)

    def chosen_namespace(self) -> str:
        """Return the namespace of the rotation; raises InvalidSettingError."""
        return self.namespace or namespace_of(self.kubeconfig, self.context, os.environ)


async def target_named(cluster: Cluster, namespace: str, name: str) -> Target:
    """Read a PairingToken; raises RotationError if it does not exist."""
    try:
        return target_of(PairingToken.model_validate(await cluster.get(PAIRING_TOKENS, namespace, name)))
    except NotFoundError as error:
        raise RotationError(
            f"PairingToken {namespace}/{name} does not exist; create it, or correct spec.targetRef.name"
        ) from error


async def devices_of(cluster: Cluster, target: Target) -> AsyncIterator[tuple[DeviceFacts, str]]:
    """Yield the Devices of a PairingToken, each with its name for people; '' for none."""
    async for body in cluster.list(DEVICES, target.namespace, field_selector=device_selector(target.name)):
        if pairing_token_of(body)[1] == target.uid:
            yield device_facts(body), body["spec"].get("displayName") or ""


async def rotations_of(cluster: Cluster, target: Target) -> list[RotationFacts]:
    """Return all TokenRotations of a PairingToken."""
    selector = f"spec.targetRef.name={target.name}"
    return [
        rotation_facts(TokenRotation.model_validate(body))
        async for body in cluster.list(TOKEN_ROTATIONS, target.namespace, field_selector=selector)
    ]

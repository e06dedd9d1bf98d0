"""A Device and a TokenRotation of a `RotationWorld`, for the contract of all reconcilers."""

from typing import Any

from tallystick.fleet.api.device import DEVICES, Device
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.objects.result import Result
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.meta import Resource
from tests.worlds.fleet_world import NAMESPACE, TOKEN
from tests.worlds.rotation_world import ROTATION, RotationWorld

Json = dict[str, Any]


class _World:
    """One object of a `RotationWorld`. It has the clock, the cluster and the logs of that world."""

    RESOURCE: Resource

    def __init__(self) -> None:
        self.fleet = RotationWorld()
        self.clock, self.cluster = self.fleet.clock, self.fleet.cluster
        self.audit, self.events = self.fleet.audit, self.fleet.events
        self.writes, self.restart = self.fleet.writes, self.fleet.restart
        self.name = "none"

    async def reconcile(self) -> Result:
        """One look of the controller at the object, whose watches have caught up."""
        self.fleet.watch()
        self.clock.advance(1)  # a rotation is looked at once a second
        return await self.fleet.reconcilers[self.RESOURCE].reconcile(NAMESPACE, self.name)

    def edit(self, **spec: Any) -> Json:
        return self.cluster.edit(self.RESOURCE, NAMESPACE, self.name, lambda body: body["spec"].update(spec))

    def said(self) -> dict[str, tuple[str, str]]:
        return {one.type: (one.status.value, one.reason) for one in self.object().status.conditions}

    def object(self) -> Any:
        raise NotImplementedError

    async def _a_fleet(self) -> None:
        self.fleet.project()
        self.fleet.enrolled([1])
        await self.fleet.run(1)
        self.fleet.count_devices()
        await self.fleet.run(1)


class DeviceWorld(_World):
    """A Device that is revoked with its PairingToken."""

    RESOURCE = DEVICES

    async def settle(self) -> None:
        await self._a_fleet()
        (self.name,) = self.fleet.sims
        self.fleet.edit_token(revoked=True)
        await self.fleet.run(1)
        self.cluster.calls.clear()

    async def obstruct(self) -> None:
        """Revoke the Device: only a user can delete it."""
        await self._a_fleet()
        (self.name,) = self.fleet.sims
        self.edit(revoked=True)

    def object(self) -> Device:
        return self.fleet.stored_device(self.name)


class TokenRotationWorld(_World):
    """A TokenRotation that has succeeded."""

    RESOURCE = TOKEN_ROTATIONS

    async def settle(self) -> None:
        await self._a_fleet()
        self.fleet.rotate()
        self.name = ROTATION
        await self.fleet.run(10, each_second=self.fleet.check_in_all)
        self.cluster.calls.clear()

    async def obstruct(self) -> None:
        """Create a rotation of a token that cannot be rotated."""
        body: Json = {
            "metadata": {"name": TOKEN, "namespace": NAMESPACE, "generation": 1},
            "spec": {"purpose": "Service", "useCase": "mission-control", "serial": 1, "requestedBy": "alice"},
        }
        self.cluster.put(PAIRING_TOKENS, body)
        self.fleet.rotate()
        self.name = ROTATION

    def object(self) -> TokenRotation:
        return self.fleet.rotation()

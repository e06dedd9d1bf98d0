"""Describe a Device: the part of its status that follows from the rest of the object."""

from datetime import datetime

from tallystick.fleet.api.device import Device, DeviceState
from tallystick.fleet.api.reasons import DeviceReason
from tallystick.fleet.domain.device_messages import IS_REVOKED, in_use_text
from tallystick.objects.conditions import Description, ended, ready


def describe_device(device: Device, _: datetime) -> Description:
    """Describe a device by its state. The exchange writes the same conditions when it writes the state."""
    if device.status.state is DeviceState.REVOKED:
        return Description(ended(DeviceReason.REVOKED, IS_REVOKED))
    generation = device.status.generation or device.spec.generation
    return Description(ready(DeviceReason.ACTIVE, in_use_text(generation)))

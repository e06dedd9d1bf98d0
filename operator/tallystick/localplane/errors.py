"""What can go wrong with the local control plane. Every text says what to do next."""

from tallystick.domain.errors import TallystickError


class BinariesError(TallystickError):
    """The control plane's binaries are missing or could not be built."""


class PlaneError(TallystickError):
    """The control plane could not start: a port, a folder, a lock, or a child that ended."""

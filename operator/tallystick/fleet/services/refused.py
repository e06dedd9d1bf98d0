"""The error of a device whose request the exchange rejects."""

from tallystick.errors import TallystickError


class DeviceRefusedError(TallystickError):
    """The exchange rejects the request of a device, with an error code and a text for it.

    Attributes:
        code: The error code.
        description: The text.
        verified: Whether the exchange issued the token, so that the device cannot have guessed it.
        retry_after: Seconds until the device may try again. 0: another try does not help.
    """

    def __init__(self, code: str, description: str, *, verified: bool = True, retry_after: int = 0) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.verified = verified
        self.retry_after = retry_after

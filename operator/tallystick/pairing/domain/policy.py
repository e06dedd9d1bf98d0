"""The settings that apply to pairing tokens. The `iss` of all tokens is that of their signer."""

from dataclasses import dataclass

from tallystick.pairing.domain.requester import RequesterMode
from tallystick.pairing.domain.use_cases import UseCases


@dataclass(frozen=True, slots=True)
class PairingPolicy:
    """The choices of this installation.

    Attributes:
        external_urls: The public URLs of the exchange: at least one, of which the first is the default.
        use_cases: The use cases that it offers.
        requester: The identity that a pairing token carries as its requester.
    """

    external_urls: tuple[str, ...]
    use_cases: UseCases
    requester: RequesterMode

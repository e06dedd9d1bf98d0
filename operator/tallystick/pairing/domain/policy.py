"""The settings that apply to pairing tokens."""

from dataclasses import dataclass

from tallystick.pairing.domain.requester import RequesterMode
from tallystick.pairing.domain.use_cases import UseCases
from tallystick.tokens.policy import IssuancePolicy


@dataclass(frozen=True, slots=True)
class PairingPolicy(IssuancePolicy):
    """The use cases that this installation offers, and the identity that a pairing token carries as its requester."""

    use_cases: UseCases
    requester: RequesterMode

"""The two modes of the requester of a pairing token (docs/rules.md#r86)."""

from enum import StrEnum


class RequesterMode(StrEnum):
    """The identity that is the subject of a pairing token: the requester, or a ServiceAccount."""

    POLICY = "Policy"
    SERVICE_ACCOUNT = "ServiceAccount"

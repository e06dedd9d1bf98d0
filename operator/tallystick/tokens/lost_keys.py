"""The error for signing keys that are lost, and the texts of the status of each object that it affects.

A lost key cannot be made again: without it, the tokens that it signed can be neither verified nor signed again.
"""

from collections.abc import Set

from tallystick.errors import NotYetError
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.objects.reasons import SharedReason

MOST_NAMED = 3
_HOW = "Restore it from a backup (docs/backup.md), or start over: tallystick signing-keys new-keyring."


class KeysLostError(NotYetError):
    """Signing keys are lost. An administrator restores them; the work then continues without a restart.

    Attributes:
        lost: The reason of the conditions.
    """

    def __init__(self, lost: SharedReason, message: str) -> None:
        super().__init__(lost.value, message, retry_after=5)
        self.lost = lost

    def again(self) -> "KeysLostError":
        """Return a new error of the same content. An error that is raised twice keeps the traces of both."""
        return KeysLostError(self.lost, self.message)


def keyring_missing(namespace: str) -> KeysLostError:
    """Return the error for a Secret that does not exist."""
    return KeysLostError(
        SharedReason.KEYRING_MISSING,
        f"Secret {namespace}/{KEYRING_SECRET} with the signing keys does not exist. {_HOW}",
    )


def another_issuer_text(namespace: str, *, stored: str, issuer: str) -> str:
    """Return the message for a process whose setting names another issuer than the keyring."""
    return (
        f"the keyring in Secret {namespace}/{KEYRING_SECRET} has issuer {stored}, not {issuer}; "
        f"start with --issuer {stored}, because its tokens are invalid with any other issuer"
    )


def keyring_of_another_issuer(namespace: str, *, stored: str, issuer: str) -> KeysLostError:
    """Return the error for a keyring that a process with another issuer cannot use."""
    return KeysLostError(SharedReason.KEYRING_UNUSABLE, another_issuer_text(namespace, stored=stored, issuer=issuer))


def keyring_unusable(namespace: str, problem: str) -> KeysLostError:
    """Return the error for a Secret that holds no keys of this installation."""
    return KeysLostError(
        SharedReason.KEYRING_UNUSABLE,
        f"Secret {namespace}/{KEYRING_SECRET} holds no usable signing keys: {problem}. {_HOW}",
    )


def signing_keys_missing(key_ids: Set[str]) -> KeysLostError:
    """Return the error for a keyring that lacks keys."""
    keys, are = ("Signing key", "is") if len(key_ids) == 1 else ("Signing keys", "are")
    return KeysLostError(
        SharedReason.SIGNING_KEY_MISSING,
        f"{keys} {', '.join(sorted(key_ids))} {are} not in Secret {KEYRING_SECRET} of the operator. "
        "Restore the Secret from a backup (docs/backup.md).",
    )


def missing_keys_text(key_ids: Set[str]) -> str:
    """Return the message for keys that valid tokens name and that the keyring lacks, at most three of them."""
    more = f" and {len(key_ids) - MOST_NAMED} more" if len(key_ids) > MOST_NAMED else ""
    return (
        f"Valid tokens name signing keys that Secret {KEYRING_SECRET} lacks: "
        f"{', '.join(sorted(key_ids)[:MOST_NAMED])}{more}. The exchange rejects these tokens. "
        "Restore the Secret from a backup, or issue the tokens again (docs/backup.md)."
    )


def lost_keys_text(loss: KeysLostError, key_ids: Set[str], renew: str) -> str:
    """Return the message for an object whose tokens were signed with lost keys.

    Args:
        loss: The keys that are lost.
        key_ids: The keys that the valid tokens of the object name.
        renew: How a user gets a new token, as a verb phrase.
    """
    if loss.lost is SharedReason.SIGNING_KEY_MISSING:
        return f"{loss.message} Without a backup, {renew}."
    return f"{loss.message} The tokens of this object need signing key {', '.join(sorted(key_ids))}."

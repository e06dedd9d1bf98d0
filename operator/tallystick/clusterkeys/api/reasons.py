"""The reasons of conditions and events of MasterKey and JoinKey, beside `SharedReason`.

Reasons are part of the API: never rename one.
"""

from enum import StrEnum


class MasterKeyReason(StrEnum):
    """Reasons of the conditions Ready, Stalled and Reconciling of a MasterKey."""

    KEY_STORED = "KeyStored"
    """The Secret holds the key."""

    KEY_IN_MEMORY = "KeyInMemory"
    """The key is in the memory of the leading controller, and no Secret holds it."""

    REMOVAL_PENDING = "RemovalPending"
    """The key is in memory. Its Secret is deleted as soon as every join key of this master key is Ready."""

    WAITING_FOR_NEW_KEY = "WaitingForNewKey"
    """`spec.serial` requests a new key, and the Secret still holds the old one."""

    ROTATING = "Rotating"
    """Some join keys are sealed with the previous key."""

    WAITING_FOR_KEY = "WaitingForKey"
    """The Secret that `spec.secretRef` names does not exist yet."""

    WRONG_SECRET_TYPE = "WrongSecretType"  # noqa: S105 - a reason
    """The Secret that `spec.secretRef` names has another type, so the controller does not read it."""

    KEY_MISSING = "KeyMissing"
    """The Secret has no data key for the key."""

    INVALID_KEY = "InvalidKey"
    """The data key does not hold 32 or 64 hexadecimal characters."""

    KEY_SIZE_MISMATCH = "KeySizeMismatch"
    """The key does not have the size of `spec.keySize`."""

    WEAK_KEY = "WeakKey"
    """The key is not random."""

    KEY_LOST = "KeyLost"
    """The Secret with the generated key was deleted."""

    MASTER_KEY_CHANGED = "MasterKeyChanged"
    """The Secret holds another key than the one that the join keys are sealed with."""

    MASTER_KEY_REQUIRED = "MasterKeyRequired"
    """The external key is not in memory, and no Secret holds it."""

    MASTER_KEY_MISMATCH = "MasterKeyMismatch"
    """The Secret holds another key than the external one that is required."""


class JoinKeyReason(StrEnum):
    """Reasons of the conditions Ready, Stalled and Reconciling of a JoinKey, and of the entries of its targets."""

    SHARED = "Shared"
    """Every Secret holds the key."""

    REPLACING_KEY = "ReplacingKey"
    """The key is being replaced. Every Secret holds the old key and the new one."""

    WAITING_FOR_MASTER_KEY = "WaitingForMasterKey"
    """The MasterKey does not exist, or it is not Ready."""

    WAITING_FOR_KEY = "WaitingForKey"
    """The Secret that `spec.secretRef` names does not exist yet."""

    WRONG_SECRET_TYPE = "WrongSecretType"  # noqa: S105 - a reason
    """The Secret that `spec.secretRef` names has another type, so the controller does not read it."""

    KEY_MISSING = "KeyMissing"
    """The Secret has no data key for the key."""

    INVALID_KEY = "InvalidKey"
    """The data key does not hold 32 or 64 hexadecimal characters."""

    KEY_SIZE_MISMATCH = "KeySizeMismatch"
    """The key does not have the size of `spec.keySize`."""

    WEAK_KEY = "WeakKey"
    """The key is not random."""

    PROPAGATING = "Propagating"
    """Some Secrets do not hold the key yet."""

    KEY_REUSE = "KeyReuse"
    """The join key has the bytes of the master key."""

    KEY_LOST = "KeyLost"
    """No Secret holds the key, and the sealed copy cannot be opened."""

    MASTER_KEY_REQUIRED = "MasterKeyRequired"
    """The external master key is not in memory, and the next step needs it."""

    MASTER_KEY_MISMATCH = "MasterKeyMismatch"
    """The sealed copy was made with another master key."""

    TARGET_NAMESPACE_NOT_FOUND = "TargetNamespaceNotFound"
    """The namespace of a target does not exist."""

    TARGET_NAMESPACE_TERMINATING = "TargetNamespaceTerminating"
    """The namespace of a target is being deleted."""

    TARGET_NOT_WATCHED = "TargetNotWatched"
    """The operator does not serve the namespace of a target."""

    JOIN_KEY_DELETED = "JoinKeyDeleted"
    """The object is being deleted, and the controller deletes its copies in other namespaces."""


class KeyEventReason(StrEnum):
    """Reasons of Warning events about a MasterKey or JoinKey that no condition has."""

    JOIN_KEY_DRIFT = "JoinKeyDrift"
    """A Secret with the key was edited or deleted, and the controller restored it."""

    JOIN_KEY_REPLACED = "JoinKeyReplaced"
    """Another key signs now."""

    MASTER_KEY_ROTATED = "MasterKeyRotated"
    """Another master key seals now."""

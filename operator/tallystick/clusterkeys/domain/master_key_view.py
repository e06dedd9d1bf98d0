"""The observations about one MasterKey from which its next step and its status follow."""

from dataclasses import dataclass, field
from datetime import datetime

from tallystick.clusterkeys.api.master_key import MasterKey
from tallystick.clusterkeys.domain.join_key_facts import JoinKeySummary
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.domain.master_key_secret import Absent, Found, Held


@dataclass(frozen=True, slots=True)
class Memory:
    """An external key in the memory of this controller.

    Attributes:
        newest: The key that seals.
        previous: The key before it, which only opens; None if it is not needed or not known.
        identity: The name of this controller.
        loaded_time: The time at which it read the newest key.
        secret_uid: The uid of the Secret from which it read the newest key.
        removed: Whether that Secret is gone, by a GET.
    """

    newest: ClusterKey
    previous: ClusterKey | None
    identity: str
    loaded_time: datetime
    secret_uid: str
    removed: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """The observations about one MasterKey.

    Attributes:
        found: The content of its Secret.
        memory: The external key in memory; None if there is none, or if the key is not external.
        join_keys: The join keys that name it.
        holds_counts: Whether the status keeps the number of join keys that it has now, to be written later.
    """

    found: Found = field(default_factory=Absent)
    memory: Memory | None = None
    join_keys: JoinKeySummary = field(default_factory=JoinKeySummary)
    holds_counts: bool = False

    def available(self, key: MasterKey) -> ClusterKey | None:
        """Return the key that is on record; None if the controller lacks it."""
        held = self.memory if key.spec.external else self.found
        if not isinstance(held, Held | Memory) or held.newest.fingerprint != key.status.fingerprint:
            return None
        return held.newest

    def previous(self, key: MasterKey) -> ClusterKey | None:
        """Return the previous key, if the controller has it and join keys may be sealed with it."""
        held = self.memory if key.spec.external else self.found
        return held.previous if isinstance(held, Held | Memory) else None

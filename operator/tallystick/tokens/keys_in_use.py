"""Find the signing keys that valid tokens name, by a fresh listing of every kind."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import ValidationError

from tallystick.errors import NotYetError
from tallystick.objects.kind import Kind
from tallystick.objects.ports import Cluster, ClusterError

# The text of a ValidationError holds values of the object.
UNREADABLE = "an object does not have the form of this version"


class UncountedError(NotYetError):
    """The objects of a kind cannot be listed or read, so any signing key may be in use."""

    def __init__(self, plural: str, problem: str) -> None:
        super().__init__(
            "KeysInUseUnknown", f"{plural} cannot be listed, so any signing key may be in use: {problem}", retry_after=5
        )


async def keys_in_use(
    cluster: Cluster, kinds: Iterable[Kind], now: datetime, *, namespaces: Sequence[str] = ("",)
) -> Counter[str]:
    """Return how many objects have valid tokens of each key.

    Args:
        cluster: The API server.
        kinds: All kinds. One without tokens is not listed.
        now: The time.
        namespaces: The namespaces to list; '' means all.

    Raises:
        UncountedError: A kind cannot be listed. Then any key may be in use.
    """
    found: Counter[str] = Counter()
    for kind in kinds:
        if kind.signing_keys is None:
            continue
        try:
            for namespace in namespaces:
                async for body in cluster.list(kind.resource, namespace):
                    found.update(kind.signing_keys(body, now))
        except ClusterError as error:
            raise UncountedError(kind.resource.plural, str(error)) from error
        except ValidationError as error:
            raise UncountedError(kind.resource.plural, UNREADABLE) from error
    return found

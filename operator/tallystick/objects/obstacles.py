"""Say why the controller cannot take the next step for an object, in the words of the API server, and what to do.

A rejection lasts until its cause is removed, so the object reports it. A request without a response is repeated first:
the object reports it only if the API server fails again and again.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from tallystick.errors import NotYetError
from tallystick.objects.ports import ClusterError, NamespaceTerminatingError, RefusedError, UnavailableError
from tallystick.objects.reasons import SharedReason
from tallystick.objects.redaction import one_line

# A condition holds 1,024 characters and an event 1,024 bytes. The advice must fit, too.
WORDS_BYTES = 640
# Responses with status 500 or a denial by RBAC in a row, before an object reports them. An API server that restarts
# sends fewer: until it has read the roles, it denies what they permit.
MOST_FAILURES = 3
REMEMBERED = 10_000

_BY_RBAC = r'User "[^"]*" cannot '
# The words of Kubernetes for each cause, and the next action. The first one that matches counts.
_ADVICE = (
    (
        r"exceeded quota|insufficient quota|failed quota|unknown for quota",
        "raise the quota, or delete objects that it counts",
    ),
    (
        r"admission webhook|calling webhook|AdmissionPolicy|admission plugin",
        "change this policy or webhook so that it permits the ServiceAccounts of the operator",
    ),
    (
        _BY_RBAC,
        "grant the permission again: apply the output of tallystick manifests",
    ),
    (r"too large|too long|must have at most", "make the object smaller"),
)
_OTHERWISE = "remove the cause that the API server names"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The reason why the controller cannot take the next step for an object now.

    Attributes:
        reason: The reason of the condition.
        message: The cause, and what to do.
        retry_after: The minimum number of seconds before the next attempt.
        is_reported: False if a report would be noise, because the object is about to be deleted.
    """

    reason: StrEnum
    message: str
    retry_after: float = 0.0
    is_reported: bool = True


def words_of(error: ClusterError) -> str:
    """Return the text of the API server on one line, bounded and without a token."""
    return one_line(str(error), WORDS_BYTES)


def rejection_text(error: ClusterError) -> str:
    """Return the message for a request that the API server rejects: its words, and the next action."""
    words = words_of(error)
    advice = next((advice for pattern, advice in _ADVICE if re.search(pattern, words)), _OTHERWISE)
    return f"the API server rejects a request of the operator for this object: {words.rstrip('.')}; {advice}"


class Obstacles:
    """Recognizes the errors that an object reports. It counts the failures of each object in a row."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, int] = OrderedDict()

    def found(self, uid: str, error: ClusterError | NotYetError) -> Obstacle | None:
        """Return the obstacle that an error shows; None if the next attempt may find none."""
        match error:
            case NotYetError():
                # Any other reason is that of a response of the exchange, or of a state that lasts for seconds.
                return _of_reason(error.reason, error) if isinstance(error.reason, StrEnum) else None
            case RefusedError() if re.search(_BY_RBAC, str(error)):
                return self._failure(uid, error)
            case RefusedError():
                is_reported = not isinstance(error, NamespaceTerminatingError)
                return Obstacle(SharedReason.WRITE_REJECTED, _retried(rejection_text(error)), is_reported=is_reported)
            case UnavailableError() if error.is_failure:
                return self._failure(uid, error)
            case _:
                return None

    def passed(self, uid: str) -> None:
        """Forget the failures of an object for which all requests have succeeded."""
        self._failures.pop(uid, None)

    def _failure(self, uid: str, error: ClusterError) -> Obstacle | None:
        count = self._failures.pop(uid, 0) + 1
        self._failures[uid] = count
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
        if count < MOST_FAILURES:
            return None
        retry_after = error.retry_after if isinstance(error, UnavailableError) else 0.0
        return Obstacle(SharedReason.WRITE_REJECTED, _retried(rejection_text(error)), retry_after)


def _of_reason(reason: StrEnum, error: NotYetError) -> Obstacle:
    return Obstacle(reason, error.message, error.retry_after)


def _retried(text: str) -> str:
    return f"{text}. The controller tries again within a minute."

"""What was written to the API server, by whom: read from its own audit log, which no client can talk its way around."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tallystick.install.installation import CONTROLLER, Installation
from tests.harness.api import Api
from tests.harness.objects import a_pairing_token, wait_for_state

Json = dict[str, Any]

ASKED = "RequestReceived"
ANSWERED_WITHIN = 5.0
CONTROLLER_USER = Installation().service_account(CONTROLLER)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, in the words of the log (RFC 3339, microseconds), and a place before which nothing later is written.

    The place alone would not do: a request is answered before its line is written, so that what is over may still
    be missing from the log.
    """

    moment: str = ""
    place: int = 0


BEGINNING = Mark()


@dataclass(frozen=True, slots=True)
class Trail:
    """The audit log of a plane, which runs on this machine and so has our clock.

    Attributes:
        log: The file.
        start: What was asked for before is never listed.
    """

    log: Path
    start: Mark = BEGINNING

    @classmethod
    def from_now(cls, log: Path) -> "Trail":
        """Leave out what earlier tests have done on the same plane: it is long, and nothing here is about it."""
        return cls(log, cls(log).mark())

    def mark(self) -> Mark:
        """Return this moment; `writes` can begin with what is asked from now on."""
        now = datetime.now(UTC)
        return Mark(f"{now:%Y-%m-%dT%H:%M:%S.%fZ}", self.log.stat().st_size)

    def writes(self, namespace: str, *, since: Mark | None = None, user: str = CONTROLLER_USER) -> list[str]:
        """List what a user has written in a namespace, in order: `create secrets site-a`; a failure ends in `(409)`.

        What was asked for has a line at once, and what became of it gets one a little after the answer: so this waits
        for those that are missing, though not for ever. What a killed API server has left has no answer.
        """
        deadline = time.monotonic() + ANSWERED_WITHIN
        while True:
            lines = [line for line in self._lines(since or self.start) if _is_by(line, user, namespace)]
            answered = {line["auditID"]: line for line in lines if line["stage"] != ASKED}
            if answered.keys() >= {line["auditID"] for line in lines} or time.monotonic() > deadline:
                return [_written(line) for line in answered.values()]
            time.sleep(0.02)  # a poll that may end without the last answers

    def settled(self, api: Api, namespace: str, *, since: Mark | None = None) -> list[str]:
        """List the controller's writes in a namespace, once it has had the occasion for all that it wants to write.

        What happened before a new object was made has reached the controller before that object did. So when that
        is issued, whatever is missing from the log is not to come. Counts of other objects are the exception: they are
        written up to some seconds after those, so whoever counts writes waits for the counts first.
        """
        name = f"sentinel-{self.mark().place}"
        body = a_pairing_token(namespace, name, ttl="24h")  # it must not expire during a long test
        api.create(body).must_succeed()
        wait_for_state(api, body, "Active")
        return [write for write in self.writes(namespace, since=since) if name not in write]

    def _lines(self, since: Mark) -> Iterator[Json]:
        with self.log.open("rb") as stream:
            stream.seek(since.place)
            # The last line may still be in the making.
            lines = (json.loads(line) for line in stream if line.endswith(b"\n"))
            yield from (line for line in lines if line["requestReceivedTimestamp"] >= since.moment)


def _is_by(line: Json, user: str, namespace: str) -> bool:
    return (
        line["user"]["username"] == user
        and line["objectRef"].get("namespace") == namespace
        and "dryRun=" not in line["requestURI"]
    )


def _written(line: Json) -> str:
    reference, code = line["objectRef"], line["responseStatus"]["code"]
    resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
    refused = f" ({code})" if code >= HTTPStatus.BAD_REQUEST else ""
    return f"{line['verb']} {resource} {reference.get('name', '')}{refused}"

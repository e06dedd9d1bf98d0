"""Bad clients in the background: connections that are held by sending next to nothing, and a flood of bad requests."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Self

from tallystick.exchange.transport import MOST_PER_SOURCE
from tests.harness.raw_http import GET_DOCUMENT, Line, Place, a_source

# As much as a head may have, nearly: what the exchange keeps of it is part of the price.
SLOW_HEAD = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"a" * 7_500 + b"\r\n") * 2 + b"X: "
BROKEN = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"
GUESS = (
    b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 16\r\n\r\ngrant_type=guess"
)
GUESSES_OF_A_SOURCE = 30


class Abuse:
    """What the bad clients have done so far.

    Attributes:
        held: How many slow connections were open at once.
        opened: How many were opened, because the exchange cuts them off.
        bad: How many bad requests were answered, with 400 or 429.
    """

    def __init__(self, place: Place) -> None:
        self.held = self.opened = self.bad = 0
        self._place = place
        self._over, self.begun = threading.Event(), threading.Event()

    def end(self) -> None:
        self._over.set()

    def hold(self, sources: int) -> None:
        """Take all connections that so many sources may have, send heads byte by byte, open anew what is cut off."""
        lines: dict[tuple[str, int], Line] = {}
        places = [
            (source, number) for source in [a_source() for _ in range(sources)] for number in range(MOST_PER_SOURCE)
        ]
        try:
            while not self._over.is_set():
                for place in places:
                    self._drip(lines, place)
                self.held = max(self.held, len(lines))
                self.begun.set()
                self._over.wait(1.0)
        finally:
            for line in lines.values():
                line.close()

    def _drip(self, lines: dict[tuple[str, int], Line], place: tuple[str, int]) -> None:
        try:
            if place in lines:
                lines[place].send(b"a")
            elif not self._over.is_set():
                lines[place] = self._place.open(place[0])
                lines[place].send(SLOW_HEAD)
                self.opened += 1
        except OSError:
            with suppress(KeyError):
                lines.pop(place).close()

    def flood(self) -> None:
        """Guess until told to wait and further, then send broken HTTP, and begin again as another source."""
        while not self._over.is_set():
            source, requests = a_source(), [BROKEN, *[GUESS] * GUESSES_OF_A_SOURCE]
            while requests:
                with self._place.connected(source) as line:
                    self._ask(line, requests)

    def _ask(self, line: Line, requests: list[bytes]) -> None:
        """Send requests, the last one first, until none is left or the answer ends the connection."""
        answer = None
        while requests and (answer is None or answer.header("Connection") != "close"):
            answer = line.ask(requests.pop())
            assert answer.status in (400, 429)
            self.bad += 1


class Held:
    """Connections that sources hold. The exchange bounds how long each may last, so `refill` opens anew what has ended.

    A busy machine may take longer to open many than the first of them last. A test therefore refills and asks until
    the answer is the one that a full exchange gives.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._wanted: list[tuple[str, bool]] = []
        self._lines: dict[int, Line] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines.values():
            line.close()

    def want(self, source: str, *, served: int = 0, silent: int = 0) -> None:
        """Hold more connections of a source.

        Args:
            source: its address.
            served: how many have one request answered.
            silent: how many send not even the first byte of TLS.
        """
        self._wanted += [(source, True)] * served + [(source, False)] * silent

    def refill(self) -> None:
        """Open each connection that is not open."""
        for number, (source, is_served) in enumerate(self._wanted):
            line = self._lines.get(number)
            if line is not None and not line.is_over:
                continue
            if line is not None:
                line.close()
            with suppress(OSError):  # its place is not free yet: the next refill tries again
                self._lines[number] = self._place.open(source, tls=is_served)
                if is_served:
                    self._lines[number].ask(GET_DOCUMENT)


@contextmanager
def abuse_of(place: Place, *, sources: int) -> Iterator[Abuse]:
    """Abuse an exchange until the end of the block, which begins when all connections are held."""
    abuse = Abuse(place)
    with ThreadPoolExecutor(2) as threads:
        work = [threads.submit(abuse.hold, sources), threads.submit(abuse.flood)]
        try:
            assert abuse.begun.wait(60.0)
            yield abuse
        finally:
            abuse.end()
        for one in work:
            one.result()

"""Connect to each place of a list, and print as JSON those that accept the connection.

    connect.py PLACES.json

A place is `HOST:PORT`; an IPv6 address stands in brackets. A NetworkPolicy drops packets, so that a connection that it
does not permit is not answered.
"""

import asyncio
import json
import sys
from pathlib import Path

SECONDS = 5


async def accepts(place: str) -> bool:
    """Return whether a place accepts a connection within the time."""
    host, _, port = place.rpartition(":")
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True


async def main(places: list[str]) -> list[str]:
    """Return the places that accept a connection."""
    accepted = await asyncio.gather(*(accepts(place) for place in places))
    return [place for place, is_open in zip(places, accepted, strict=True) if is_open]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))))

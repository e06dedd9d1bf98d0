"""The event loop of a test that reads the API server in its own process."""

import asyncio

TURN_SECONDS = 0.01


async def connections_closed() -> None:
    """Wait until this loop has no open connection.

    TLS closes a connection in both directions (RFC 8446, 6.1). That of a canceled request stays open until the server
    has responded, and aiohttp does not wait for it. asyncio ends the wait after 30 seconds.
    """
    files = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined] # no public way to list them
    while len(files) > 1:  # noqa: ASYNC110 - the loop has no event for it; its own wake-up is one of the files
        await asyncio.sleep(TURN_SECONDS)

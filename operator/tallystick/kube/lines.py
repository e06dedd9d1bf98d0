"""The lines of a stream that arrives in pieces."""

from collections.abc import AsyncIterator


async def lines_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield each line as soon as it is complete, whatever its length. A line that is cut off by the end is dropped."""
    begun: list[bytes] = []
    async for piece in pieces:
        *complete, last = piece.split(b"\n")
        for line in complete:
            yield b"".join((*begun, line)) if begun else line
            begun = []
        if last:
            begun.append(last)

"""Redeem pairing tokens from inside the cluster, as `tallystick pair` does, and print what came out as JSON.

    redeem.py TOKENS.json ISSUER CA.crt SECONDS_BETWEEN

A Pod of the operator's image runs it. Each token has a key of its own, so that a lost answer can be asked for again.
The values of the tokens are printed nowhere.
"""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import aiohttp

from tallystick.crypto.keys import SigningKey
from tallystick.kube.tls import TlsSettings, client_context
from tallystick.pairing.client.files import PairError
from tallystick.pairing.client.pair import HttpSender, Trust
from tallystick.pairing.client.pairing import Pairing, PairRequest, Response
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.ids import RandomIds

AT_ONCE = 8


class Counting:
    """A sender that counts the statuses of the responses; 0 is a connection that failed or was lost."""

    def __init__(self, sender: HttpSender) -> None:
        self._sender = sender
        self.statuses: Counter[int] = Counter()

    async def __call__(self, method: str, url: str, **more: object) -> Response:
        """Send one request."""
        response = await self._sender(method, url, **more)  # type: ignore[arg-type]
        self.statuses[response.status] += 1
        return response


async def main(tokens: list[str], issuer: str, ca_file: Path, pause: float) -> dict[str, object]:
    """Redeem all tokens, a few at a time, and return the counts."""
    settings = TlsSettings("issuer", "ca.crt", ca_given=True, ca_hint="")
    failures: list[str] = []
    masters: set[str] = set()
    places = asyncio.Semaphore(AT_ONCE)
    # A connection for each request: so each one goes to any of the pods.
    connector = aiohttp.TCPConnector(ssl=client_context(ca_file=ca_file), force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20)) as session:
        send = Counting(HttpSender(session, Trust(client_context(ca_file=ca_file), settings, None)))

        async def redeem(token: str) -> None:
            async with places:
                request = PairRequest(token, issuer, SigningKey.generate("ES256"))
                try:
                    pairing = Pairing(request, send, clock=SystemClock(), ids=RandomIds(), sleep=asyncio.sleep)
                    masters.add(await pairing.master_token())
                except PairError as error:
                    failures.append(str(error))
                await asyncio.sleep(pause)

        await asyncio.gather(*(redeem(token) for token in tokens))
    return {"masters": len(masters), "failures": failures, "statuses": dict(send.statuses)}


if __name__ == "__main__":
    file, issuer_url, ca, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(main(json.loads(Path(file).read_text()), issuer_url, Path(ca), float(seconds)))))

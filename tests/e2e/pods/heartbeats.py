"""Send a heartbeat of one instance every second, each over a new connection, so that all exchange pods see it.

heartbeats.py HEARTBEAT-URL-FILE TOKEN-FILE CA.crt
"""

import asyncio
import sys
from pathlib import Path

import aiohttp

from tallystick.kube.tls import client_context

BODY = {"instance_id": "inside", "deployment_type": "Kubernetes"}


async def main(url: str, token: str, ca_file: Path) -> None:
    """Send heartbeats until the Pod ends. A pod of the exchange that ends meanwhile costs one heartbeat."""
    connector = aiohttp.TCPConnector(ssl=client_context(ca_file=ca_file), force_close=True)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as session:
        while True:
            try:
                async with session.post(url, json=BODY, headers=headers) as response:
                    print(response.status, flush=True)
            except (aiohttp.ClientError, TimeoutError) as error:
                print(type(error).__name__, flush=True)
            await asyncio.sleep(1)


if __name__ == "__main__":
    url_file, token_file, ca = map(Path, sys.argv[1:])
    asyncio.run(main(url_file.read_text(), token_file.read_text(), ca))

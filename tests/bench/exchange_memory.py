"""wM: the memory of the exchange when it has started, and after it has redeemed many tokens.

The requests and limits of memory in the chart come from these figures and those of the controller.
"""

import time
from typing import Any

from tallystick.install.installation import EXCHANGE
from tests.bench.measure import Figure, peak_bytes, resident_bytes
from tests.bench.stage import Stage, bare
from tests.bench.workloads import SETTLE_SECONDS, Say, Size

Json = dict[str, Any]

# Few enough that each is redeemed before it expires.
AT_ONCE = 1000


def exchange_memory(stage: Stage, size: Size, say: Say) -> list[Figure]:
    """Redeem as many tokens as W7 has stored at most, and read the memory before and after."""
    total = max(size.stored)
    with stage.operator() as up:
        pid = up.children[EXCHANGE].pid
        time.sleep(SETTLE_SECONDS)  # the measurement itself: memory at rest
        empty = resident_bytes(pid)
        for done in range(0, total, AT_ONCE):
            namespace, count = stage.namespace(), min(AT_ONCE, total - done)
            bare("create", kubeconfig=stage.kubeconfig, namespace=namespace, count=count)
            issued: Json = bare("collect", kubeconfig=stage.kubeconfig, namespace=namespace)["tokens"]
            bare("post", url=up.url, ca_file=str(up.ca_file), tokens=list(issued.values()))
            say(f"wM {done + count} of {total} redemptions: {resident_bytes(pid) / 1e6:.0f} MB")
        time.sleep(SETTLE_SECONDS)
        after, peak = resident_bytes(pid), peak_bytes(pid)
    return [
        Figure.reported("wM", "empty exchange, MB", [empty / 1e6]),
        Figure.reported("wM", f"after {total} redemptions, MB", [after / 1e6]),
        Figure.reported("wM", "peak, MB", [peak / 1e6]),
    ]

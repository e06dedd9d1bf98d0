"""A controller whose kind Device is missing for some time: it serves the others, and then reads the Devices."""

from tallystick.fleet.api.device import DEVICES
from tallystick.install.installation import EXCHANGE, Installation
from tests.harness.connections import a_connection, wait_for_active
from tests.harness.controllers import Controllers, controllers
from tests.harness.installed import new_namespace
from tests.harness.processes import poll
from tests.harness.rule_cases import with_every_right
from tests.live.fleet.fleet_plane import a_device
from tests.live.platform.test_process_ends import without

__all__ = ["controllers"]


def test_devices_whose_kind_was_away_are_read_when_it_is_back(controllers: Controllers) -> None:
    admin = controllers.admin
    exchange = with_every_right(admin, Installation(), EXCHANGE)
    namespace = new_namespace(admin, "kind")
    first, second = (a_device("d-" + letter * 26, namespace, revoked=True) for letter in "ab")
    configuration = a_connection(namespace, "others")

    def is_reconciled(device: dict[str, object]) -> bool:
        return bool(admin.get(device).get("status", {}).get("state") == "Revoked")

    with without(admin, DEVICES), controllers.leading() as process:
        # It was not installed when the process began.
        poll(lambda: "does not serve Device;" in process.get("/readyz"))
        admin.create(configuration).must_succeed()
        wait_for_active(admin, configuration, ["default"])
        process.child.stop(grace=45.0)
        assert process.child.exit_status == 0, process.child.exit_text()
    with controllers.leading() as process:
        poll(lambda: exchange.create(first).succeeded)
        poll(lambda: is_reconciled(first))
        with without(admin, DEVICES):
            poll(lambda: "does not serve Device;" in process.get("/readyz"))
        poll(lambda: exchange.create(second).succeeded)
        poll(lambda: is_reconciled(second))
        poll(lambda: "does not serve" not in process.get("/readyz"))
        assert process.child.running

"""The test that fails if a permission of the chart is taken away. `make permissions` verifies each row.

A permission is its component, its place (`home` is the namespace of the release, `served` each namespace that it
serves), its resource and its verb.
"""

_HERE = "chart/live/test_permissions.py::test_"
_AT_HOME = "chart/live/test_permissions_at_home.py::test_"
_START = f"{_HERE}the_first_start_makes_the_keys_and_the_admin_token"
_PAIRED = f"{_HERE}a_pairing_token_is_redeemed_introspected_and_revoked_by_its_holder"
_RESTORED = f"{_HERE}a_pairing_token_is_restored_and_revoked_in_both_objects"
_EDITED = f"{_HERE}a_master_token_is_revoked_by_its_editor"
_STALLED = f"{_HERE}the_controller_writes_an_event_of_a_token_that_it_cannot_issue"
_CONNECTED = f"{_HERE}a_connection_token_is_issued_restored_and_counted"
_ROTATED = f"{_HERE}a_device_enrolls_and_is_rotated"
_REVOKED = f"{_HERE}a_device_is_revoked"
_REQUESTED = f"{_HERE}a_service_requests_a_pairing_token_by_http"
_SHARED = f"{_HERE}a_join_key_is_shared_restored_and_deleted"
_LOST = f"{_HERE}a_master_key_is_rotated_and_a_lost_one_is_named_and_put_back"
_MISSED = f"{_HERE}an_object_of_each_kind_that_a_watch_has_missed_is_read"
_ISSUED = f"{_AT_HOME}the_release_issues_in_the_namespace_that_it_serves"

NEEDED_BY: dict[str, str] = {
    "controller home configmaps delete": _START,
    "controller home configmaps get": _START,
    "controller home configmaps list": _CONNECTED,
    "controller home events create": f"{_AT_HOME}an_event_reports_a_trigger_that_is_ignored",
    "controller home joinkeys.tallystick.dev create": _START,
    "controller home leases.coordination.k8s.io create": _START,
    "controller home leases.coordination.k8s.io get": _START,
    "controller home leases.coordination.k8s.io update": f"{_HERE}the_leader_renews_its_lease",
    "controller home masterkeys.tallystick.dev create": _START,
    "controller home mastertokens.tallystick.dev create": _START,
    "controller home pairingtokens.tallystick.dev create": _PAIRED,
    "controller home secrets create": _ISSUED,
    "controller home secrets get": _ISSUED,
    "controller home secrets update": f"{_AT_HOME}the_certificate_is_replaced_for_a_further_host",
    "controller served connectionconfigurations.tallystick.dev get": _CONNECTED,
    "controller served connectionconfigurations.tallystick.dev list": _CONNECTED,
    "controller served connectionconfigurations.tallystick.dev watch": _CONNECTED,
    "controller served connectionconfigurations/status.tallystick.dev update": _CONNECTED,
    "controller served devices.tallystick.dev get": _MISSED,
    "controller served devices.tallystick.dev list": _ROTATED,
    "controller served devices.tallystick.dev watch": _REVOKED,
    "controller served devices/status.tallystick.dev update": _REVOKED,
    "controller served events create": _STALLED,
    "controller served joinkeys.tallystick.dev get": _MISSED,
    "controller served joinkeys.tallystick.dev list": _SHARED,
    "controller served joinkeys.tallystick.dev update": _SHARED,
    "controller served joinkeys.tallystick.dev watch": _SHARED,
    "controller served joinkeys/status.tallystick.dev update": _SHARED,
    "controller served masterkeys.tallystick.dev get": _MISSED,
    "controller served masterkeys.tallystick.dev list": _LOST,
    "controller served masterkeys.tallystick.dev watch": _LOST,
    "controller served masterkeys/status.tallystick.dev update": _LOST,
    "controller served mastertokens.tallystick.dev get": _MISSED,
    "controller served mastertokens.tallystick.dev list": _EDITED,
    "controller served mastertokens.tallystick.dev watch": _EDITED,
    "controller served mastertokens/status.tallystick.dev update": _EDITED,
    "controller served pairingtokens.tallystick.dev delete": (
        "live/bootstrap/test_policies_requests.py"
        "::test_the_controller_deletes_only_what_the_exchange_made_and_what_expired"
    ),
    "controller served pairingtokens.tallystick.dev get": _RESTORED,
    "controller served pairingtokens.tallystick.dev list": _PAIRED,
    "controller served pairingtokens.tallystick.dev watch": _PAIRED,
    "controller served pairingtokens/status.tallystick.dev update": _PAIRED,
    "controller served secrets create": _PAIRED,
    "controller served secrets delete": _PAIRED,
    "controller served secrets get": _SHARED,
    "controller served secrets list": _START,
    "controller served secrets update": _CONNECTED,
    "controller served secrets watch": _RESTORED,
    "controller served tokenrotations.tallystick.dev get": _MISSED,
    "controller served tokenrotations.tallystick.dev list": _ROTATED,
    "controller served tokenrotations.tallystick.dev watch": _ROTATED,
    "controller served tokenrotations/status.tallystick.dev update": _ROTATED,
    "exchange home configmaps create": _CONNECTED,
    "exchange home configmaps get": _CONNECTED,
    "exchange home configmaps update": _CONNECTED,
    "exchange home secrets get": _PAIRED,
    "exchange served connectionconfigurations.tallystick.dev get": _CONNECTED,
    "exchange served devices.tallystick.dev create": _ROTATED,
    "exchange served devices.tallystick.dev get": _ROTATED,
    "exchange served devices/status.tallystick.dev update": _ROTATED,
    "exchange served events create": _PAIRED,
    "exchange served mastertokens.tallystick.dev create": _PAIRED,
    "exchange served mastertokens.tallystick.dev get": _PAIRED,
    "exchange served mastertokens/status.tallystick.dev update": _PAIRED,
    "exchange served pairingtokens.tallystick.dev create": _REQUESTED,
    "exchange served pairingtokens.tallystick.dev get": _PAIRED,
    "exchange served pairingtokens/status.tallystick.dev update": _PAIRED,
    "exchange served subjectaccessreviews.authorization.k8s.io create": _PAIRED,
    "exchange served tokenreviews.authentication.k8s.io create": _PAIRED,
    "exchange served tokenrotations.tallystick.dev get": _ROTATED,
    "exchange served usecases.tallystick.dev use": _REQUESTED,
}

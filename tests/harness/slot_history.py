"""What must hold from one observation of a ConnectionConfiguration to the next, whatever happened between."""

import copy
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tallystick.connections.domain.tokens import connection_token_id
from tests.harness.slot_states import active_of, deleting, last_serial_of, over, slots_of, tokens_of, vacant_of

Json = dict[str, Any]

REASONS = {"Manual", "LicenseExpired", "ConfigurationDeleted"}


class History:
    """What was observed of the objects of one name, in order. Whatever breaks a promise raises AssertionError."""

    def __init__(self) -> None:
        self.made: dict[str, Json] = {}
        self.ended: set[str] = set()
        self.refused: set[str] = set()
        self.reasons: Counter[str] = Counter()
        self.good: set[str] = set()
        self._before: Json | None = None

    def observe(self, body: Json | None, now: datetime) -> None:
        """Compare what is on record with what was."""
        before = self._before
        if before is not None and (body is None or body["metadata"]["uid"] != before["metadata"]["uid"]):
            self.ended |= {token["tokenID"] for token in tokens_of(before)}  # S24: for ever
            before = None
        if body is not None:
            self._bounds(body)
            self._compare(before, body, now)
        self._before = copy.deepcopy(body)

    def hear(self, answers: Mapping[str, str]) -> set[str]:
        """Take in what the exchange says to each id, "good", "pending" or "refused", and return those that are good."""
        good = {token_id for token_id, answer in answers.items() if answer == "good"}
        assert not good & self.refused, "what was refused once is good again"
        self.refused |= {token_id for token_id, answer in answers.items() if answer == "refused"}
        return good

    def judge(self, body: Json | None, now: datetime, good: set[str]) -> None:
        """Compare what is good with what was: nobody is locked out."""
        if self.good and not good and body is not None and not deleting(body):
            lost = [token for token in tokens_of(body) if token["tokenID"] in self.good]
            assert all(over(body, token, now) for token in lost), "R31: one stays good while the licence lasts"
        self.good = good

    def _bounds(self, body: Json) -> None:
        tokens, live = tokens_of(body), active_of(body)
        assert len(live) <= 2, "R24"
        assert len({token["slot"] for token in live}) == len(live), "a slot has one token"
        assert len(tokens) - len(live) <= 3, "R33"
        assert len({token["serial"] for token in tokens}) == len(tokens)
        assert all(token["serial"] <= last_serial_of(body) for token in tokens)
        for token in tokens:
            revoked = token["state"] == "Revoked"
            assert token["state"] in {"Pending", "Active", "Revoked"}
            assert ("revokedTime" in token, token.get("reason") in REASONS) == (revoked, revoked), "R37"

    def _compare(self, before: Json | None, body: Json, now: datetime) -> None:
        known = {token["tokenID"]: token for token in tokens_of(before)} if before else {}
        last = last_serial_of(before) if before else 0
        assert last_serial_of(body) >= last
        for token in tokens_of(body):
            token_id, was = token["tokenID"], known.get(token["tokenID"])
            if was is None:
                assert token_id not in self.made, "R33: what has left the record never comes back"
                assert token["serial"] > last, "serials rise"
                assert token_id == connection_token_id(body["metadata"]["uid"], token["slot"], token["serial"])
                self.made[token_id] = _identity(body, token)
            assert _identity(body, token) == self.made[token_id], "what a token says is settled when it is planned"
            if token["state"] == "Revoked":
                self._ended(was, token, body, now)
            else:
                assert token_id not in self.ended, "revoked is for ever"
                assert was is None or was["state"] in {"Pending", token["state"]}, "Active does not go back"
        if before is not None:
            self._renewed(before, body)
        there = {token["tokenID"] for token in tokens_of(body)}
        gone = [token for token in known.values() if token["tokenID"] not in there]
        self.ended |= {token["tokenID"] for token in gone}
        # Of four that are revoked in the same second, three are shown.
        shown = len(tokens_of(body)) - len(active_of(body))
        assert shown == 3 or all(token["state"] == "Revoked" for token in gone), "what is alive stays on record"

    def _renewed(self, before: Json, body: Json) -> None:
        """R35: what ended with a licence comes back as one token; the other slots wait for an edit."""
        known = {token["tokenID"] for token in tokens_of(before)}
        new = {token["slot"] for token in tokens_of(body) if token["tokenID"] not in known}
        left = known & {token["tokenID"] for token in active_of(body)}
        over_now = [
            token
            for token in tokens_of(body)
            if token.get("reason") == "LicenseExpired" and token["tokenID"] in {t["tokenID"] for t in active_of(before)}
        ]
        if not left and (over_now or vacant_of(before)):
            assert len(new) <= 1, "R35: a renewal issues one token"
        else:
            assert not new & set(vacant_of(before)) & set(slots_of(before)), "a vacant slot stays so"

    def _ended(self, was: Json | None, token: Json, body: Json, now: datetime) -> None:
        if token["tokenID"] in self.ended:
            assert was is not None
            assert (was["reason"], was["revokedTime"]) == (token["reason"], token["revokedTime"])
            return
        true = {
            "Manual": token["slot"] not in slots_of(body),
            "LicenseExpired": over(body, token, now),
            "ConfigurationDeleted": deleting(body),
        }
        assert true[token["reason"]], f"R34-R36: {token['reason']} is not the reason"
        self.ended.add(token["tokenID"])
        self.reasons[token["reason"]] += 1


def _identity(body: Json, token: Json) -> Json:
    said = {name: token[name] for name in ("slot", "serial", "tokenID", "kid", "claimsDigest", "issuedTime")}
    return {"uid": body["metadata"]["uid"], **said}

"""What is said of a token in each state, with what to do next. The words of `kubectl get` and `describe`."""

from tallystick.api.master_token import MasterToken, MasterTokenState
from tallystick.api.pairing_token import PairingToken, PairingTokenState
from tallystick.domain.conditions import Verdict
from tallystick.domain.names import master_token_name, pairing_secret_name
from tallystick.domain.times import rfc3339


def verdict_of(token: PairingToken) -> Verdict:
    """Return what a token that was issued (or revoked) is to say of itself."""
    return _VERDICTS[token.status.state or PairingTokenState.PENDING](token)


def master_verdict(token: MasterToken, state: MasterTokenState) -> Verdict:
    """Return what a master token in a state is to say of itself."""
    pairing = token.spec.pairing_token_ref.name if token.spec.pairing_token_ref else None
    again = f"; raise spec.serial of PairingToken {pairing} to pair again" if pairing else ""
    match state:
        case MasterTokenState.ACTIVE:
            until = rfc3339(token.spec.expiration_time)
            return Verdict(ready=True, reason="Active", message=f"in force until {until}; set spec.revoked to end it")
        case MasterTokenState.EXPIRED:
            return Verdict(ready=False, reason="Expired", message=f"the master token has expired{again}", stalled=True)
        case MasterTokenState.REVOKED:
            return Verdict(ready=True, reason="Revoked", message=f"the trust has been ended{again}")


def _pending(token: PairingToken) -> Verdict:
    message = f"serial {token.spec.serial} is being issued"
    return Verdict(ready=False, reason="Issuing", message=message, reconciling=True)


def _active(token: PairingToken) -> Verdict:
    until = rfc3339(token.status.expiration_time) if token.status.expiration_time else "it is revoked"
    where = f"Secret {token.metadata.namespace}/{pairing_secret_name(token)}"
    return Verdict(
        ready=True, reason="Issued", message=f"{where} holds the token; it can be redeemed once until {until}"
    )


def _used(token: PairingToken) -> Verdict:
    claim = token.status.claim
    record = f"; MasterToken {master_token_name(claim.master_token_id)} records the trust" if claim else ""
    return Verdict(
        ready=True, reason="Paired", message=f"the token was redeemed{record}; {_again(token)} to pair again"
    )


def _expired(token: PairingToken) -> Verdict:
    life = f" within {token.status.expires_in} seconds" if token.status.expires_in is not None else ""
    message = f"nobody redeemed the token{life}; {_again(token)} to issue a new one"
    return Verdict(ready=False, reason="Expired", message=message, stalled=True)


def _revoked(token: PairingToken) -> Verdict:
    unset = " and set spec.revoked to false" if token.spec.revoked else ""
    message = f"the token and the trust it made are revoked; {_again(token)}{unset} to issue a new one"
    return Verdict(ready=True, reason="Revoked", message=message)


def _again(token: PairingToken) -> str:
    return f"raise spec.serial to {token.spec.serial + 1}"


_VERDICTS = {
    PairingTokenState.PENDING: _pending,
    PairingTokenState.ACTIVE: _active,
    PairingTokenState.USED: _used,
    PairingTokenState.EXPIRED: _expired,
    PairingTokenState.REVOKED: _revoked,
}

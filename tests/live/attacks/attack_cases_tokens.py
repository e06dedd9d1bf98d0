"""The table of all attacks with tokens: classes C1 to C5 of the catalogue of bad inputs, and what was added to it.

C1 encoding: attack_token_forms; C2 JOSE header: attack_token_headers; C3 claims: attack_token_claims; C4 state:
attack_states; C5 proofs of possession: attack_proofs; good tokens in odd ways: attack_requests. What of the
catalogue has no row here, or another answer than a refusal, stands in NO_ROW with its reason.
"""

from tests.harness.attacks import Case, Place, Row, rows_of
from tests.live.attacks import (
    attack_proofs,
    attack_requests,
    attack_states,
    attack_token_claims,
    attack_token_headers,
)
from tests.live.attacks.attack_token_forms import ENCODINGS, FOREIGN, SIGNATURES

NO_ROW = {
    "C1 duplicated header+body token": "rows of attack_requests; where a place reads the body, only the body counts",
    "C1 line breaks as bearer": "no HTTP client can send one within a header; raw bytes are class C6",
    "C1 and C2 64 KiB and more as bearer": "the server hangs up within such a header; 8 to 12 KiB have their rows",
    "C2 alg ES256": "it is ours; the rows are ES256 by another key, under our kid and under its own",
    "C2 kid of 1 MB": "of 64 KiB: the limit of the body comes first, and that is what refuses both",
    "C2 alg with an escape": "`\\u0045S256` is ES256 to every reader of JSON (RFC 8259 8.3), and helps no forger",
    "C3 iat > now+5": "60 s are allowed, because signer and verifier may each be 30 s off; the row is half a day",
    "C3 aud of a master token": "a list is right there, and introspection compares none: its caller may be any of them",
    "C3 sub, scope and ext of another value": "claims of a holder of the signing key are the system's own words",
    "C3 deploymentType other": "no token of this slice has one; the rows are an unknown claim, and introspection",
    "C4 claimed by the same key": "it is served: a retry (test_redeem_with_a_key.py)",
    "C4 pending, for revocation": "its holder may revoke it, and does (test_revoke_trust.py)",
    "C4 sealed operator": "this slice has no sealing: the keyring is a Secret",
    "C4 wrong deployment type": "of introspection only; rows of attack_requests",
    "C4 licence expired": "this slice has no licences",
    "C5 no proof": "served once, as Bearer; the row is a token that a key has claimed",
    "C5 other key": "rows of attack_states: the proof is good, the claim is another's",
    "C5 replayed jti": "served: what it opens is bound to a key that the thief lacks (docs/decisions.md, 9)",
    "C5 nonce, ath": "not asked for (S14); claims that are not ours are refused",
}

# A type that is right for the other kind of token, on a token of this kind: signed well, and wrong all the same.
CONFUSED = [
    Case("typ of the other kind", lambda f: f.with_header(typ={"at+jwt": "pairing+jwt"}.get(f.header["typ"], "at+jwt")))
]

OF_A_PAIRING_TOKEN = [
    *ENCODINGS,
    *SIGNATURES,
    *FOREIGN,
    *CONFUSED,
    *attack_token_headers.ALL,
    *attack_token_claims.ALL,
]
# The claims of a master token have their own profile; who verifies it is the same.
OF_A_MASTER_TOKEN = [
    *ENCODINGS,
    *SIGNATURES,
    *FOREIGN,
    *CONFUSED,
    *attack_token_headers.ALGORITHMS,
    *attack_token_headers.KEY_IDS,
    *attack_token_headers.FURTHER_MEMBERS,
]

ROWS: list[Row] = [
    *(row for case in OF_A_PAIRING_TOKEN for row in rows_of("pairing", case)),
    *(row for case in OF_A_MASTER_TOKEN for row in rows_of("master", case, Place.INTROSPECT, Place.REVOKE)),
    *attack_states.ALL,
    *attack_proofs.ALL,
    *attack_requests.ALL,
]

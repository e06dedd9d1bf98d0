"""Build the part of a fleet in an exchange replica: enroll devices, take their check-ins, judge their tokens."""

from typing import Any

from tallystick.exchange.endpoint import Route
from tallystick.exchange.part import ExchangeContext, ExchangePart
from tallystick.fleet.services.check_ins import CheckIns
from tallystick.fleet.services.device_proofs import DeviceProofs
from tallystick.fleet.services.enrolling import Enrolling
from tallystick.fleet.services.judges import judges
from tallystick.fleet.web.check_in_endpoint import CheckInEndpoint
from tallystick.fleet.web.enrollment_endpoint import EnrollmentEndpoint
from tallystick.fleet.web.openapi import CHECK_IN_ENDPOINT, ENROLL


def exchange_part(context: ExchangeContext[Any]) -> ExchangePart:
    """Build the handlers and the judges of one replica."""
    cluster, reader, signer, ctx = context.cluster, context.reader, context.signer, context.ctx
    urls = tuple(dict.fromkeys((*context.external_urls, signer.issuer)))
    proofs = DeviceProofs(urls, ctx.clock, ctx.audit)
    enrolling = Enrolling(cluster, reader, signer, proofs.of_enrollment, ctx, ids=context.ids)
    check_ins = CheckIns(cluster, reader, signer, proofs, ctx, ids=context.ids)
    return ExchangePart(
        routes=(
            Route(ENROLL, EnrollmentEndpoint(enrolling, base_url=context.external_urls[0]).post),
            Route(CHECK_IN_ENDPOINT, CheckInEndpoint(check_ins, ctx.clock).post),
        ),
        judges=judges(cluster, reader, ctx),
    )

"""A provider's order in the words of a configuration, so that one set of checks serves both."""

from bridge.config.schema import OrderSection, ProtectedSection
from protocols.mqtt.commands import Order


def as_section(order: Order) -> OrderSection:
    """Put an order in the words of a configuration. Its zones are in a layer of their own: none of the file's."""
    return OrderSection(
        id=order.id,
        wearer=order.wearer,
        zones=(),
        protected=tuple(
            ProtectedSection(
                device=ring.device,
                smart_tag=ring.smart_tag,
                contact_m=ring.contact_m,
                alarm_m=ring.alarm_m,
                pre_alert_m=ring.pre_alert_m,
            )
            for ring in order.protected
        ),
    )


def devices_of(order: OrderSection) -> frozenset[str]:
    """All devices that an order names."""
    tags = {ring.smart_tag for ring in order.protected if ring.smart_tag is not None}
    return frozenset({order.wearer, *(ring.device for ring in order.protected), *tags})

"""Names for numbers: who a company identifier belongs to, what a service is. The one door to ``bluetooth_numbers``.

The package is loaded with the first question: it holds all addresses' makers too and costs about 70 ms.
"""

from uuid import UUID

from protocols.ble import uuids

_OWN_SERVICES = {uuids.SMART_TAG_SERVICE: "tagrig smart tag"}


def find_company(company_id: int) -> str | None:
    """Return the name behind a company identifier (Assigned Numbers, 7.1), or None for one that is not assigned."""
    from bluetooth_numbers import company

    return company.get(company_id)


def find_service(uuid: str) -> str | None:
    """Return the name of a service by its full UUID: ours, one of the Bluetooth SIG, or a known maker's."""
    from bluetooth_numbers import service

    own = _OWN_SERVICES.get(uuid)
    if own is not None:
        return own
    short = uuids.find_short_uuid(uuid)
    return service.get(UUID(uuid)) if short is None else service.get(short)

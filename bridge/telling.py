"""What the pipeline published, as lines of a log and events of the bridge's life: ids and words, never a position."""

import logging

from bridge import life
from devices.events import DeviceEvent, LinkEvent
from protocols.mqtt.messages import AlertEvent, CountedEvent, ProtectedAlertEvent, WarningEvent

_log = logging.getLogger(__name__)


def tell_published(event: CountedEvent, observe: life.LifeObserver) -> None:
    """Tell of an alert, or of a step in the life of a warning."""
    if isinstance(event, WarningEvent):
        _tell_warning(event, observe)
    else:
        _tell_alert(event, observe)


def tell_link(event: DeviceEvent, observe: life.LifeObserver) -> None:
    """Tell of a wire or a radio link that changed its state."""
    link = event.report
    if isinstance(link, LinkEvent):
        observe(
            life.LinkChanged(
                device=event.device_id,
                state=link.state,
                detail=link.detail,
                gap_s=None if link.gap_ns is None else round(link.gap_ns / 1e9, 3),
            )
        )


def _tell_alert(event: AlertEvent | ProtectedAlertEvent, observe: life.LifeObserver) -> None:
    data = event.data
    about = ""
    if isinstance(event, ProtectedAlertEvent):
        about = event.data.proximity.wearer if event.data.proximity is not None else ""
    elif event.data.zone is not None:
        about = event.data.zone.id
    elif event.data.protected_party is not None:
        about = event.data.protected_party.ref
    device = event.subject.partition("/")[2]
    _log.warning("%s: %s %s %s (%s)", device, data.msg_type, data.kind, about, data.reason)
    observe(
        life.AlertPublished(
            device=device,
            msg_type=data.msg_type,
            kind=data.kind,
            about=about,
            sequence=event.sequence,
            late=data.late,
        )
    )


def _tell_warning(event: WarningEvent, observe: life.LifeObserver) -> None:
    data = event.data
    person = event.subject.partition("/")[2]
    words = [data.level, data.cause, data.wearer, f"({data.reason})" if data.reason else None]
    what = " ".join(word for word in words if word)
    _log.warning("%s: warning %s %s %s", person, data.warn_id or "of the tag itself", data.step, what)
    observe(
        life.WarningTold(
            person=person,
            smart_tag=data.smart_tag,
            step=data.step,
            warn_id=data.warn_id,
            level=data.level,
            cause=data.cause,
            sequence=event.sequence,
        )
    )

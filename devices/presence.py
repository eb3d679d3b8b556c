"""Is a tag there? Judged by the counter in its advertisements, or by what its connection says; never by callbacks.

BlueZ calls back when a property of the device object changes. That is not one call per advertisement: a constant
advertisement is reported once, and a name, a connection or a bond that changes is reported like one. What proves that a
packet was sent is a counter that moved, or an answer on a live link.
"""

from dataclasses import dataclass

from devices.events import PresenceEvent

PRESENCE_LIMIT_NS = 10_000_000_000
"""ns. A tag not heard for so long is absent. Ten events of the slowest advertising interval of a tag (1 s): at half
of all advertisements lost, one in a thousand such silences is an accident. Longer tells the person later that she has
no cover; shorter raises that alarm for a body between tag and receiver."""


@dataclass(frozen=True, slots=True)
class AdvertMark:
    """What of an advertisement proves that it is a new one.

    Attributes
    ----------
    identity : bytes
        The rolling id or the address: a counter starts anew with each.
    counter : int or None
        The counter in the payload; None for a tag whose advertisements carry none.
    rssi_dbm : int or None
        Only weighed without a counter: BlueZ reports another value only when another packet came. An equal value proves
        nothing, so a tag without a counter may seem absent sooner than it is.
    """

    identity: bytes
    counter: int | None
    rssi_dbm: int | None


class PresenceWatch:
    """Presence of one tag, time as data.

    Parameters
    ----------
    limit_ns : int
        Silence after which the tag is absent.
    """

    def __init__(self, *, limit_ns: int = PRESENCE_LIMIT_NS) -> None:
        self._limit_ns = limit_ns
        self._mark: AdvertMark | None = None
        self._last_heard_mono_ns: int | None = None
        self._rssi_dbm: int | None = None
        self._present: bool | None = None

    @property
    def present(self) -> bool | None:
        """None until the tag was heard or the limit passed."""
        return self._present

    @property
    def last_heard_mono_ns(self) -> int | None:
        """When something last proved that the tag is there."""
        return self._last_heard_mono_ns

    @property
    def due_mono_ns(self) -> int | None:
        """When ``check`` has something to say; None while it has not."""
        if self._last_heard_mono_ns is None or self._present is False:
            return None
        return self._last_heard_mono_ns + self._limit_ns

    def start(self, t_mono_ns: int) -> None:
        """Begin to wait for the tag: unheard until the limit, it is reported absent."""
        if self._last_heard_mono_ns is None:
            self._last_heard_mono_ns = t_mono_ns

    def hear_advert(self, mark: AdvertMark, t_rx_mono_ns: int) -> tuple[bool, PresenceEvent | None]:
        """Take an advertisement; return whether it was a new one, and the event if the tag has become present."""
        last, self._mark = self._mark, mark
        if mark.counter is not None:
            is_new = last is None or (last.identity, last.counter) != (mark.identity, mark.counter)
        else:
            is_new = last is None or last.identity != mark.identity or last.rssi_dbm != mark.rssi_dbm
        if not is_new:
            return False, None
        self._rssi_dbm = mark.rssi_dbm
        return True, self._heard(t_rx_mono_ns, "advertisement heard")

    def hear_link(self, t_rx_mono_ns: int) -> PresenceEvent | None:
        """Take a value or an answer that came over a live connection."""
        return self._heard(t_rx_mono_ns, "answers on its connection")

    def check(self, now_mono_ns: int) -> PresenceEvent | None:
        """Return the event if the tag has become absent."""
        if (due_mono_ns := self.due_mono_ns) is None or now_mono_ns < due_mono_ns:
            return None
        heard = "never heard" if self._present is None else "not heard"
        last_mono_ns = None if self._present is None else self._last_heard_mono_ns
        self._present = False
        return PresenceEvent(
            present=False,
            last_heard_mono_ns=last_mono_ns,
            rssi_dbm=self._rssi_dbm,
            detail=f"{heard} for {self._limit_ns / 1e9:g} s",
        )

    def _heard(self, t_rx_mono_ns: int, detail: str) -> PresenceEvent | None:
        self._last_heard_mono_ns = max(t_rx_mono_ns, self._last_heard_mono_ns or t_rx_mono_ns)
        if self._present:
            return None
        self._present = True
        return PresenceEvent(
            present=True, last_heard_mono_ns=self._last_heard_mono_ns, rssi_dbm=self._rssi_dbm, detail=detail
        )

"""The telnet side of a remote serial port (RFC 854, RFC 2217), sans-I/O: bytes in, payload out, answers queued.

::

    IAC (255) verb option                      negotiation; verb WILL 251, WONT 252, DO 253, DONT 254
    IAC SB (250) 44 code value... IAC SE (240) one COM-PORT-OPTION setting; the server answers with code + 100
    IAC IAC                                    one data byte 255

    code  client asks          value
    1     SET-BAUDRATE         4 bytes, big-endian
    2     SET-DATASIZE         1 byte, 5 to 8
    3     SET-PARITY           1 none, 2 odd, 3 even, 4 mark, 5 space
    4     SET-STOPSIZE         1 one, 2 two, 3 one and a half
    5     SET-CONTROL          1 no flow control, 2 XON/XOFF, 3 RTS/CTS, 8 DTR on, 11 RTS on
    10/11 SET-LINESTATE-MASK, SET-MODEMSTATE-MASK   0: send no notifications
    12    PURGE-DATA           1 what was received before

Source: RFC 2217, section 3.
"""

from enum import Enum, auto

from devices.serial_door import FlowControl, LineSettings, Parity

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BINARY, SUPPRESS_GO_AHEAD, COM_PORT = 0, 3, 44
SET_BAUDRATE, SET_DATASIZE, SET_PARITY, SET_STOPSIZE, SET_CONTROL = 1, 2, 3, 4, 5
SET_LINESTATE_MASK, SET_MODEMSTATE_MASK, PURGE_DATA = 10, 11, 12
SERVER_OFFSET = 100
"""Added by the server to the code it answers."""
SUBNEGOTIATION_CAP_BYTES = 256
"""Bytes of one setting. The longest of the standard is a signature text; more is dropped, so that a broken server
cannot fill memory."""

_PARITY_CODE = {Parity.NONE: 1, Parity.ODD: 2, Parity.EVEN: 3, Parity.MARK: 4, Parity.SPACE: 5}
_STOP_CODE = {1: 1, 2: 2, 1.5: 3}
_FLOW_CODE = {FlowControl.NONE: 1, FlowControl.XON_XOFF: 2, FlowControl.RTS_CTS: 3}
_DTR_ON, _RTS_ON, _PURGE_RECEIVED = 8, 11, 1

_WE_OFFER = frozenset({BINARY, SUPPRESS_GO_AHEAD, COM_PORT})
_THEY_MAY = frozenset({BINARY, SUPPRESS_GO_AHEAD, COM_PORT})


class _State(Enum):
    DATA = auto()
    IAC = auto()
    OPTION = auto()
    SUB = auto()
    SUB_IAC = auto()


class ComPortClient:
    """One connection to an RFC 2217 server.

    Attributes
    ----------
    out : bytearray
        What must be sent; the caller takes it out.
    answers : dict[int, bytes]
        The server's newest answer by the client's code.
    refused : bool
        Whether the server said that it has no COM-PORT-OPTION.
    agreed : bool
        Whether it said that it has.
    """

    def __init__(self) -> None:
        self.out = bytearray()
        self.answers: dict[int, bytes] = {}
        self.refused = False
        self.agreed = False
        self._state = _State.DATA
        self._verb = 0
        self._sub = bytearray()
        self._we_will: set[int] = set()
        self._they_will: set[int] = set()

    def greet(self) -> None:
        """Offer and ask for what a remote port needs."""
        for option in (COM_PORT, BINARY, SUPPRESS_GO_AHEAD):
            self._we_will.add(option)
            self.out += bytes((IAC, WILL, option))
        for option in (BINARY, SUPPRESS_GO_AHEAD):
            self._they_will.add(option)
            self.out += bytes((IAC, DO, option))

    def configure(self, settings: LineSettings) -> dict[int, bytes]:
        """Send the settings of the line.

        Returns
        -------
        dict
            The answers to wait for: SET-CONTROL is left out, as servers on ports without modem lines never answer it.
        """
        wanted = {
            SET_BAUDRATE: settings.baud.to_bytes(4, "big"),
            SET_DATASIZE: bytes((settings.bits,)),
            SET_PARITY: bytes((_PARITY_CODE[settings.parity],)),
            SET_STOPSIZE: bytes((_STOP_CODE[settings.stop],)),
        }
        # The settings come last: a server works in order, so their answers say that all the rest was done too.
        self._set(SET_LINESTATE_MASK, b"\0")
        self._set(SET_MODEMSTATE_MASK, b"\0")
        self._set(SET_CONTROL, bytes((_FLOW_CODE[settings.flow],)))
        self._set(SET_CONTROL, bytes((_DTR_ON,)))
        self._set(SET_CONTROL, bytes((_RTS_ON,)))
        self._set(PURGE_DATA, bytes((_PURGE_RECEIVED,)))
        for code, value in wanted.items():
            self._set(code, value)
        return wanted

    def _set(self, code: int, value: bytes) -> None:
        self.out += bytes((IAC, SB, COM_PORT, code)) + escape(value) + bytes((IAC, SE))

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the wire and return the payload among them."""
        if self._state is _State.DATA and IAC not in data:
            return data
        payload = bytearray()
        for byte in data:
            match self._state:
                case _State.DATA:
                    if byte == IAC:
                        self._state = _State.IAC
                    else:
                        payload.append(byte)
                case _State.IAC:
                    self._after_iac(byte, payload)
                case _State.OPTION:
                    self._state = _State.DATA
                    self._negotiate(self._verb, byte)
                case _State.SUB:
                    if byte == IAC:
                        self._state = _State.SUB_IAC
                    elif len(self._sub) < SUBNEGOTIATION_CAP_BYTES:
                        self._sub.append(byte)
                case _State.SUB_IAC:
                    if byte == SE:
                        self._state = _State.DATA
                        self._setting(bytes(self._sub))
                    else:
                        self._state = _State.SUB
                        if len(self._sub) < SUBNEGOTIATION_CAP_BYTES:
                            self._sub.append(byte)
        return bytes(payload)

    def _after_iac(self, byte: int, payload: bytearray) -> None:
        self._state = _State.DATA
        if byte == IAC:
            payload.append(IAC)
        elif byte in (WILL, WONT, DO, DONT):
            self._verb = byte
            self._state = _State.OPTION
        elif byte == SB:
            self._sub.clear()
            self._state = _State.SUB

    def _negotiate(self, verb: int, option: int) -> None:
        """Answer only what changes something: two ends that confirm each other's confirmations never stop."""
        if verb in (DO, DONT):
            if option == COM_PORT:
                self.agreed = verb == DO
                self.refused = verb == DONT
            self._answer(self._we_will, option, wanted=verb == DO, allowed=_WE_OFFER, yes=WILL, no=WONT)
        else:
            self._answer(self._they_will, option, wanted=verb == WILL, allowed=_THEY_MAY, yes=DO, no=DONT)

    def _answer(self, on: set[int], option: int, *, wanted: bool, allowed: frozenset[int], yes: int, no: int) -> None:
        if wanted and option in on:
            return
        if wanted and option in allowed:
            on.add(option)
            self.out += bytes((IAC, yes, option))
        elif wanted:
            self.out += bytes((IAC, no, option))
        elif option in on:
            on.discard(option)
            self.out += bytes((IAC, no, option))

    def _setting(self, sub: bytes) -> None:
        if len(sub) >= 2 and sub[0] == COM_PORT and sub[1] >= SERVER_OFFSET:
            self.answers[sub[1] - SERVER_OFFSET] = sub[2:]


def escape(data: bytes) -> bytes:
    """Double each byte 255, which would otherwise start a command."""
    return data.replace(b"\xff", b"\xff\xff")

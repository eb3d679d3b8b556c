"""A broker on loopback that says what a test scripts: reason codes, limits and delays that a real one shows rarely."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

import msgspec

from tests.support import LOOPBACK

CONNACK = b"\x20\x03\x00\x00\x00"


def connack(properties: bytes) -> bytes:
    return b"\x20" + bytes([3 + len(properties), 0, 0, len(properties)]) + properties


KNOWN = b"\x20\x03\x01\x00\x00"
"""CONNACK of a broker that has kept our session."""


class ScriptedBroker:
    """Speaks as much MQTT 5 as the publisher needs. ``answer(topic, body)`` gives the reason code, None: no PUBACK.

    ``grant(filter)`` gives the code of a SUBACK; ``says`` delivers a message to whoever is connected. What the client
    publishes to its canary's topic comes back if ``echoes``. ``older_greeting`` is for who speaks MQTT 3.1.1.
    """

    def __init__(self, answer: Callable[[str, bytes], int | None], greeting: bytes = CONNACK, port: int = 0) -> None:
        self.answer = answer
        self.greeting = greeting
        self.grant: Callable[[str], int] = lambda _: 1
        self.older_greeting = b"\x20\x02\x00\x00"
        self.echoes = True
        self.subscribed: list[str] = []
        self.published: list[tuple[str, bytes]] = []
        self.accepted: list[tuple[str, bytes]] = []
        self.connections = 0
        self._server = socket.create_server((LOOPBACK, port))
        self.port: int = self._server.getsockname()[1]
        self._live: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def alerts(self) -> list[int]:
        """Numbers of the alerts that were accepted, in order."""
        return [msgspec.json.decode(body)["n"] for topic, body in list(self.accepted) if topic.endswith("/alert")]

    def says(self, topic: str, body: bytes, *, retain: bool = False) -> None:
        """Deliver with QoS 0 to every connection that lives."""
        for sock in list(self._live):
            with contextlib.suppress(OSError):
                sock.sendall(_publish_packet(topic, body, retain=retain))

    def drop(self, farewell: bytes = b"") -> None:
        """End every connection, perhaps with a last packet."""
        live, self._live = self._live, []
        for sock in live:
            with contextlib.suppress(OSError):
                sock.sendall(farewell)
                sock.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for sock in self._live:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                self.connections += 1
                self._live.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        is_v5 = True
        with sock, sock.makefile("rb") as stream, contextlib.suppress(OSError, IndexError):
            while True:
                kind = stream.read(1)[0] >> 4
                length = _variable_int(stream.read)
                packet = stream.read(length)
                if kind == 1:
                    is_v5 = packet[6] == 5
                    sock.sendall(self.greeting if is_v5 else self.older_greeting)
                elif kind == 3:
                    self._publish(sock, packet, is_v5=is_v5)
                elif kind == 8:
                    self._subscribe(sock, packet, is_v5=is_v5)
                elif kind == 12:
                    sock.sendall(b"\xd0\x00")

    def _subscribe(self, sock: socket.socket, packet: bytes, *, is_v5: bool) -> None:
        rest, codes = packet[3 if is_v5 else 2 :], b""
        while rest:
            (size,) = struct.unpack_from(">H", rest)
            topic, rest = rest[2 : 2 + size].decode(), rest[3 + size :]
            self.subscribed.append(topic)
            codes += bytes([self.grant(topic)])
        head = packet[:2] + (b"\0" if is_v5 else b"")
        sock.sendall(bytes([0x90, len(head) + len(codes)]) + head + codes)

    def _publish(self, sock: socket.socket, packet: bytes, *, is_v5: bool) -> None:
        (size,) = struct.unpack_from(">H", packet)
        topic, packet_id, rest = packet[2 : 2 + size].decode(), packet[2 + size : 4 + size], packet[4 + size :]
        left = memoryview(rest)
        position = 0

        def read(n: int) -> bytes:
            nonlocal position
            position += n
            return bytes(left[position - n : position])

        body = rest[_variable_int(read) + position :] if is_v5 else rest
        self.published.append((topic, body))
        code = self.answer(topic, body)
        if code is not None:
            if code < 0x10:
                self.accepted.append((topic, body))
            sock.sendall(b"\x40\x03" + packet_id + bytes([code]) if is_v5 else b"\x40\x02" + packet_id)
            if self.echoes and code < 0x10 and topic.endswith("/canary"):
                sock.sendall(_publish_packet(topic, body, is_v5=is_v5))


def _publish_packet(topic: str, body: bytes, *, retain: bool = False, is_v5: bool = True) -> bytes:
    rest = len(topic).to_bytes(2) + topic.encode() + (b"\0" if is_v5 else b"") + body
    length, encoded = len(rest), bytearray()
    while True:
        length, low = divmod(length, 128)
        encoded.append(low | (0x80 if length else 0))
        if not length:
            return bytes([0x30 | retain]) + bytes(encoded) + rest


def _variable_int(read: Callable[[int], bytes]) -> int:
    value = shift = 0
    while True:
        byte = read(1)[0]
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value

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


class ScriptedBroker:
    """Speaks as much MQTT 5 as the publisher needs. ``answer(topic, body)`` gives the reason code, None: no PUBACK."""

    def __init__(self, answer: Callable[[str, bytes], int | None], greeting: bytes = CONNACK, port: int = 0) -> None:
        self.answer = answer
        self.greeting = greeting
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
                    sock.sendall(self.greeting)
                elif kind == 3:
                    self._publish(sock, packet, is_v5=is_v5)
                elif kind == 12:
                    sock.sendall(b"\xd0\x00")

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


def _variable_int(read: Callable[[int], bytes]) -> int:
    value = shift = 0
    while True:
        byte = read(1)[0]
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value

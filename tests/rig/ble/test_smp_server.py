"""The emulated management server against an independent implementation of its protocol, and against garbage."""

import hashlib
import random
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from smp import header as smphdr
from smp import image_management as smpimg
from smp import os_management as smpos
from smp import packet
from smpclient import mcuboot

from rig.ble.firmware.images import (
    SLOT_BYTES,
    ImageError,
    ImageSlots,
    ImageVersion,
    StoredImage,
    SwapType,
    UploadReply,
    find_stored_image,
    make_image,
)
from rig.ble.firmware.smp import PacketFrames, SerialFrames, SmpAction, SmpFaults, SmpServer, encode_serial

OLD = ImageVersion(major=1, minor=4, revision=2)
NEW = ImageVersion(major=1, minor=5, revision=0)
BODY = random.Random(5).randbytes(9000)
IMAGE = make_image(NEW, BODY)


def slots() -> ImageSlots:
    running = find_stored_image(make_image(OLD, b"old"))
    assert running is not None
    return ImageSlots(running)


def upload(
    to: ImageSlots, image: bytes = IMAGE, *, step: int = 1000, start: int = 0, until: int | None = None
) -> UploadReply | ImageError:
    sha = hashlib.sha256(image).digest()
    offset = start
    reply: UploadReply | ImageError = UploadReply(offset=0)
    while offset < (len(image) if until is None else until):
        reply = to.upload(
            offset=offset, data=image[offset : offset + step], length=len(image), sha256=sha, upgrade=False
        )
        if isinstance(reply, ImageError):
            return reply
        offset = reply.offset
    return reply


def ask(server: SmpServer, request: object) -> bytes:
    reply = server.handle(bytes(request.BYTES))  # type: ignore[attr-defined]
    assert reply.frame is not None
    return reply.frame


def test_an_image_we_make_is_one_that_the_library_reads(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(IMAGE)
    info = mcuboot.ImageInfo.load_file(str(path))
    assert (info.header.ver.major, info.header.ver.minor, info.header.ver.revision) == (1, 5, 0)
    stored = find_stored_image(IMAGE)
    assert stored is not None
    assert info.get_tlv(mcuboot.IMAGE_TLV.SHA256).value == stored.sha256
    assert stored.version == NEW


@pytest.mark.parametrize("at", [0, 12, 40, 5000, len(IMAGE) - 1])
def test_an_image_with_one_damaged_byte_is_not_started(at: int) -> None:
    damaged = bytearray(IMAGE)
    damaged[at] ^= 1
    assert find_stored_image(bytes(damaged)) is None


def test_a_test_that_is_confirmed_stays_and_one_that_is_not_goes() -> None:
    tag = slots()
    old, new = tag.running, find_stored_image(IMAGE)
    assert new is not None
    assert upload(tag) == UploadReply(offset=len(IMAGE), match=True)
    assert [row.image for row in tag.states()] == [old, new]
    assert tag.mark(new.sha256, confirm=False) is None
    assert [(r.active, r.confirmed, r.pending) for r in tag.states()] == [(True, True, False), (False, False, True)]
    tag.restart()
    assert tag.running == new
    assert [(r.active, r.confirmed, r.pending) for r in tag.states()] == [(True, False, False), (False, True, False)]
    assert tag.erase() is ImageError.NO_FREE_SLOT
    assert upload(tag) is ImageError.NO_FREE_SLOT
    tag.restart()
    assert tag.running == old
    assert tag.swap is SwapType.NONE
    assert tag.mark(new.sha256, confirm=False) is None
    tag.restart()
    assert tag.mark(None, confirm=True) is None
    tag.restart()
    assert tag.running == new
    assert [(r.active, r.confirmed) for r in tag.states()] == [(True, True), (False, False)]


def test_marking_what_is_not_there_is_refused() -> None:
    tag = slots()
    assert tag.mark(b"\1" * 32, confirm=False) is ImageError.HASH_NOT_FOUND
    assert tag.mark(None, confirm=False) is ImageError.HASH_NOT_FOUND
    assert tag.mark(tag.running.sha256, confirm=False) is ImageError.SETTING_TEST_TO_ACTIVE_DENIED
    assert tag.mark(tag.running.sha256, confirm=True) is None


def test_an_upload_goes_on_where_it_broke_off_and_a_wrong_offset_is_put_right() -> None:
    tag = slots()
    assert upload(tag, until=3000) == UploadReply(offset=3000)
    wrong = tag.upload(offset=5000, data=b"x", length=None, sha256=None, upgrade=False)
    assert wrong == UploadReply(offset=3000)
    # another client begins with the same file
    assert upload(tag, step=700) == UploadReply(offset=len(IMAGE), match=True)
    assert tag.states()[1].image == find_stored_image(IMAGE)


def test_another_file_starts_over() -> None:
    tag = slots()
    upload(tag, until=3000)
    other = make_image(NEW, BODY[::-1])
    assert upload(tag, other) == UploadReply(offset=len(other), match=True)


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ({"data": b"\0" * 64, "length": 9000}, ImageError.INVALID_IMAGE_HEADER_MAGIC),
        ({"data": IMAGE[:16], "length": 9000}, ImageError.INVALID_IMAGE_HEADER),
        ({"data": IMAGE[:64], "length": 10}, ImageError.INVALID_IMAGE_HEADER),
        ({"data": IMAGE[:64], "length": None}, ImageError.INVALID_LENGTH),
        ({"data": IMAGE[:64], "length": SLOT_BYTES + 1}, ImageError.INVALID_IMAGE_TOO_LARGE),
        ({"data": IMAGE[:64], "length": 50}, ImageError.INVALID_IMAGE_DATA_OVERRUN),
    ],
)
def test_a_bad_first_chunk_is_refused_with_the_protocols_code(chunk: dict[str, object], expected: ImageError) -> None:
    got = slots().upload(offset=0, sha256=None, upgrade=False, **chunk)  # type: ignore[arg-type]
    assert got is expected


def test_only_upgrade_means_only_upgrade() -> None:
    tag = slots()
    older = make_image(ImageVersion(major=1, minor=0, revision=0), BODY)
    refused = tag.upload(offset=0, data=older[:64], length=len(older), sha256=None, upgrade=True)
    assert refused is ImageError.CURRENT_VERSION_IS_NEWER
    assert isinstance(tag.upload(offset=0, data=IMAGE[:64], length=len(IMAGE), sha256=None, upgrade=True), UploadReply)


def test_an_independent_client_library_understands_every_answer() -> None:
    server = SmpServer(slots())
    echo = smpos.EchoWriteResponse.loads(ask(server, smpos.EchoWriteRequest(d="grüß")))
    assert echo.r == "grüß"
    parameters = smpos.MCUMgrParametersReadResponse.loads(ask(server, smpos.MCUMgrParametersReadRequest()))
    assert parameters.buf_size == 2048
    offset = 0
    while offset < len(IMAGE):
        request = smpimg.ImageUploadWriteRequest(
            off=offset,
            data=IMAGE[offset : offset + 900],
            len=len(IMAGE) if offset == 0 else None,
            sha=hashlib.sha256(IMAGE).digest() if offset == 0 else None,
        )
        answer = smpimg.ImageUploadWriteResponse.loads(ask(server, request))
        assert answer.off == min(offset + 900, len(IMAGE))
        offset = answer.off
    assert answer.match is True
    states = smpimg.ImageStatesReadResponse.loads(ask(server, smpimg.ImageStatesReadRequest()))
    assert [(s.slot, s.version, s.active, s.pending) for s in states.images] == [
        (0, "1.4.2", True, False),
        (1, "1.5.0", False, False),
    ]
    new = states.images[1].hash
    marked = smpimg.ImageStatesWriteResponse.loads(ask(server, smpimg.ImageStatesWriteRequest(hash=new)))
    assert marked.images[1].pending
    reset = server.handle(bytes(smpos.ResetWriteRequest().BYTES))
    assert reset.action is SmpAction.RESET
    server.restart()
    assert (server.version, server.restarts) == ("1.5.0", 1)
    refused = smpimg.ImageManagementErrorV2.loads(ask(server, smpimg.ImageEraseRequest()))
    assert refused.err.rc == smpimg.IMG_MGMT_ERR.NO_FREE_SLOT


def test_a_client_of_the_first_version_gets_its_own_kind_of_error() -> None:
    request = smpimg.ImageStatesWriteRequest(version=smphdr.Version.V1, hash=b"\1" * 32)
    refused = smpimg.ImageManagementErrorV1.loads(ask(SmpServer(slots()), request))
    assert refused.rc == ImageError.HASH_NOT_FOUND


def test_faults_lose_cut_and_damage() -> None:
    server = SmpServer(slots(), SmpFaults(drop_requests=1, drop_replies=1, power_cut_at=1000, damage_at=100, erase_s=2))
    first = smpimg.ImageUploadWriteRequest(off=0, data=IMAGE[:900], len=len(IMAGE))
    assert server.handle(bytes(first.BYTES)).frame is None
    assert server.slots.uploaded_bytes == 0
    lost = server.handle(bytes(first.BYTES))
    assert (lost.frame, lost.delay_s, server.slots.uploaded_bytes) == (None, 2, 900)
    second = smpimg.ImageUploadWriteRequest(off=900, data=IMAGE[900:1800])
    cut = server.handle(bytes(second.BYTES))
    assert (cut.frame, cut.action) == (None, SmpAction.POWER_CUT)
    server.restart()
    rest = smpimg.ImageUploadWriteRequest(off=1800, data=IMAGE[1800:])
    done = smpimg.ImageUploadWriteResponse.loads(ask(server, rest))
    assert done.off == len(IMAGE)
    # the damaged image is no image: nothing to mark, and the old one goes on
    assert len(server.slots.states()) == 1


def test_what_is_no_request_gets_no_answer_or_a_refusal_and_never_raises() -> None:
    server = SmpServer(slots())
    rng = random.Random(1)
    for _ in range(3000):
        server.handle(rng.randbytes(rng.randrange(60)))
    head = bytes(smpimg.ImageUploadWriteRequest(off=0, data=b"", len=1).BYTES)[:8]
    for payload in (b"", b"\xff", b"\xa1\x01\x02", cbor2.dumps([1]), cbor2.dumps({"off": -1}), cbor2.dumps({"off": 0})):
        frame = head[:2] + len(payload).to_bytes(2, "big") + head[4:] + payload
        answer = server.handle(frame).frame
        assert answer is not None
        assert "err" in cbor2.loads(answer[8:])


@given(frame=st.binary(min_size=0, max_size=400), noise=st.binary(max_size=30), cuts=st.lists(st.integers(1, 50)))
def test_serial_lines_carry_any_frame_however_they_are_cut(frame: bytes, noise: bytes, cuts: list[int]) -> None:
    noise = noise.replace(b"\x06", b"").replace(b"\x04", b"")
    stream = noise + b"\n" + encode_serial(frame)
    reader = SerialFrames()
    got, other = [], b""
    at = 0
    for size in [*cuts, len(stream)]:
        frames, rest = reader.feed(stream[at : at + size])
        got += frames
        other += rest
        at += size
    assert got == [frame]
    assert other == noise + b"\n"


@given(frame=st.binary(min_size=1, max_size=400))
def test_our_serial_lines_and_the_librarys_are_the_same(frame: bytes) -> None:
    assert encode_serial(frame) == b"".join(packet.encode(frame, 127))


def test_a_damaged_serial_line_is_dropped_and_the_next_frame_is_read() -> None:
    reader = SerialFrames()
    lines = bytearray(encode_serial(b"a" * 300))
    lines[40] = ord("A") if lines[40] != ord("A") else ord("B")
    assert reader.feed(bytes(lines)) == ([], b"")
    assert reader.feed(b"\x06\x09!!!!\n" + encode_serial(b"next")) == ([b"next"], b"")
    assert reader.damaged == 2
    assert reader.feed(b"\x06\x09" + b"A" * 9000)[0] == []
    assert reader.feed(b"\n" + encode_serial(b"more"))[0] == [b"more"]


@given(data=st.binary(max_size=200))
def test_random_bytes_on_the_line_neither_raise_nor_grow(data: bytes) -> None:
    reader = SerialFrames()
    for _ in range(3):
        reader.feed(data)
    assert len(reader._line) <= 4096 + len(data)


def test_writes_are_joined_to_frames() -> None:
    reader = PacketFrames()
    frame = bytes(smpos.EchoWriteRequest(d="x" * 100).BYTES)
    got = []
    for at in range(0, 2 * len(frame), 20):
        got += reader.feed((frame + frame)[at : at + 20])
    assert got == [frame, frame]
    assert reader.feed(b"\2\0\xff\xff\0\0\0\0") == []
    assert reader.feed(frame) == [frame]


def test_the_hash_in_a_state_list_is_the_images_not_the_files() -> None:
    tag = slots()
    upload(tag)
    stored = tag.states()[1].image
    assert stored == StoredImage(version=NEW, sha256=stored.sha256)
    assert stored.sha256 != hashlib.sha256(IMAGE).digest()

"""A firmware update from file to proof: upload, test, reset, read back, confirm. Every failure says what to do next.

The new image runs on trial first. Unless it is confirmed, the bootloader brings the old one back at the next reset: a
tag whose new firmware cannot be reached any more heals itself.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol

from devices.clock import Clock
from devices.errors import FirmwareLinkError, FirmwareRefusedError, FirmwareVerdictError
from devices.firmware_image import FirmwareImage

CHUNK_ATTEMPTS = 6
"""How often in a row an upload may be taken up again without a byte of progress."""
RECONNECT_S = 1.0
"""s. Pause before a lost link is made again: a tag needs about a second to boot."""
BOOT_S = 60.0
"""s. How long a tag may be away after a reset: swapping two slots of 512 KiB takes half a minute on slow flash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotImage:
    """One image that the tag holds. ``sha256`` is None where the tag does not tell it."""

    slot: int
    version: str
    sha256: bytes | None
    active: bool
    confirmed: bool
    pending: bool


class SmpDoor(Protocol):
    """A tag's management server. Every call raises ``FirmwareLinkError`` or ``FirmwareRefusedError``, nothing else."""

    async def open(self) -> None:
        """Connect."""
        ...

    async def close(self) -> None:
        """Disconnect. Never raises."""
        ...

    async def states(self) -> list[SlotImage]:
        """Read what is in the slots."""
        ...

    async def upload(self, data: bytes, on_offset: Callable[[int], None]) -> None:
        """Send a file to the second slot, from where the tag wants it to begin."""
        ...

    async def mark(self, sha256: bytes, *, confirm: bool) -> list[SlotImage]:
        """Set an image for test, or confirm it."""
        ...

    async def erase(self) -> None:
        """Empty the second slot."""
        ...

    async def reset(self) -> None:
        """Have the tag start again."""
        ...


@unique
class UpdateGoal(StrEnum):
    """How far an update goes."""

    CONFIRM = "confirm"
    """The image runs, its version was read back, it is there to stay."""
    TEST = "test"
    """It runs on trial: the next reset brings the old one back."""
    UPLOAD = "upload"
    """It lies in the second slot, and nothing has changed."""


@unique
class UpdateStep(StrEnum):
    """What an update is doing."""

    CONNECT = "connect"
    UPLOAD = "upload"
    CHECK = "check"
    TEST = "test"
    RESET = "reset"
    READ_BACK = "read back"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport:
    """What an update did.

    Attributes
    ----------
    version_before, version_after : str
    goal : UpdateGoal
        How far it went.
    uploaded_bytes : int
        0 where the tag had the image already.
    upload_ns : int
    resumed : int
        How often the upload was taken up again.
    """

    version_before: str
    version_after: str
    goal: UpdateGoal
    uploaded_bytes: int
    upload_ns: int
    resumed: int


class FirmwareUpdate:
    """One update of one tag.

    Parameters
    ----------
    door : SmpDoor
        Opened and closed here.
    clock : Clock
    on_step : callable
        Takes each step as it begins.
    on_offset : callable
        Takes bytes done and bytes in all.
    boot_s : float
    reconnect_s : float
    """

    def __init__(
        self,
        door: SmpDoor,
        clock: Clock,
        *,
        on_step: Callable[[UpdateStep], None] = lambda _: None,
        on_offset: Callable[[int, int], None] = lambda _done, _all: None,
        boot_s: float = BOOT_S,
        reconnect_s: float = RECONNECT_S,
    ) -> None:
        self._door = door
        self._clock = clock
        self._on_step = on_step
        self._on_offset = on_offset
        self._boot_s = boot_s
        self._reconnect_s = reconnect_s
        self._resumed = 0
        self._offset = 0

    async def run(self, image: FirmwareImage, goal: UpdateGoal = UpdateGoal.CONFIRM) -> UpdateReport:
        """Bring an image onto the tag, as far as the goal.

        Raises
        ------
        FirmwareLinkError, FirmwareRefusedError, FirmwareVerdictError
        """
        try:
            return await self._run(image, goal)
        finally:
            await self._door.close()

    async def _run(self, image: FirmwareImage, goal: UpdateGoal) -> UpdateReport:
        self._on_step(UpdateStep.CONNECT)
        await self._door.open()
        states = await self._door.states()
        before = active_image(states)
        started_mono_ns = self._clock.mono_ns()
        uploaded = 0
        if before.sha256 != image.sha256:
            if not _holds(states, image):
                self._on_step(UpdateStep.UPLOAD)
                await self._upload(image)
                uploaded = len(image.data)
            upload_ns = self._clock.mono_ns() - started_mono_ns
            if goal is not UpdateGoal.UPLOAD:
                await self._try_out(image, before)
        else:
            upload_ns = 0
        if goal is UpdateGoal.CONFIRM:
            await self._confirm(image)
        after = active_image(await self._door.states())
        return UpdateReport(
            version_before=before.version,
            version_after=after.version,
            goal=goal,
            uploaded_bytes=uploaded,
            upload_ns=upload_ns,
            resumed=self._resumed,
        )

    async def _upload(self, image: FirmwareImage) -> None:
        self._offset, left = 0, CHUNK_ATTEMPTS
        while True:
            reached = self._offset
            try:
                await self._door.upload(image.data, lambda offset: self._went_on(offset, len(image.data)))
                break
            except FirmwareLinkError as exc:
                left = CHUNK_ATTEMPTS if self._offset > reached else left - 1
                if left == 0:
                    raise FirmwareLinkError(
                        f"{exc}; given up at {self._offset} of {len(image.data)} bytes, {CHUNK_ATTEMPTS} attempts. "
                        "Next: bring the tag nearer, or check its battery and cable; a new run goes on where this ended"
                    ) from exc
                self._resumed += 1
                await self._reconnect()
        self._on_step(UpdateStep.CHECK)
        if not _holds(await self._door.states(), image):
            raise FirmwareVerdictError(
                f"{image.name}: uploaded, but the tag holds no valid image with its hash {image.sha256.hex()[:16]}...: "
                "what it wrote differs from what was sent. Next: run again; if it happens again, its flash is bad"
            )

    def _went_on(self, offset: int, total: int) -> None:
        self._offset = max(self._offset, offset)
        self._on_offset(offset, total)

    async def _reconnect(self) -> None:
        await self._door.close()
        deadline_mono_ns = self._clock.mono_ns() + round(self._boot_s * 1e9)
        while True:
            try:
                await self._door.open()
            except FirmwareLinkError:
                await self._door.close()
                if self._clock.mono_ns() >= deadline_mono_ns:
                    raise
                await asyncio.sleep(self._reconnect_s)
            else:
                return

    async def _try_out(self, image: FirmwareImage, before: SlotImage) -> None:
        self._on_step(UpdateStep.TEST)
        await self._door.mark(image.sha256, confirm=False)
        self._on_step(UpdateStep.RESET)
        await self._door.reset()
        await asyncio.sleep(self._reconnect_s)
        await self._reconnect()
        self._on_step(UpdateStep.READ_BACK)
        running = active_image(await self._door.states())
        if running.sha256 != image.sha256:
            raise FirmwareVerdictError(
                f"{image.name}: the tag runs {running.version} again ({before.version} before): its bootloader did not "
                f"start {image.version}, or it crashed and was reverted. Next: check the key it was signed with, and "
                "the tag's console"
            )
        if running.version != image.version:
            raise FirmwareVerdictError(
                f"{image.name}: the tag says it runs {running.version}, the file says {image.version}. "
                "Next: do not confirm it; reset the tag to get the old firmware back"
            )

    async def _confirm(self, image: FirmwareImage) -> None:
        self._on_step(UpdateStep.CONFIRM)
        states = await self._door.mark(image.sha256, confirm=True)
        if not active_image(states).confirmed:
            raise FirmwareVerdictError(
                f"{image.name}: confirmed, but the tag does not say so. Next: run again with --confirm-running"
            )

    # --- single steps -------------------------------------------------------------------------------------------

    async def read_states(self) -> list[SlotImage]:
        """Say what is in the slots."""
        try:
            await self._door.open()
            return await self._door.states()
        finally:
            await self._door.close()

    async def confirm_running(self) -> list[SlotImage]:
        """Confirm what runs on trial."""
        try:
            await self._door.open()
            running = active_image(await self._door.states())
            if running.sha256 is None:
                raise FirmwareRefusedError(
                    "the tag does not tell the hash of what it runs: it cannot be confirmed by it"
                )
            return await self._door.mark(running.sha256, confirm=True)
        finally:
            await self._door.close()

    async def revert(self) -> list[SlotImage]:
        """Reset a tag that runs an image on trial, and see that the old one is back.

        Raises
        ------
        FirmwareRefusedError
            What runs is confirmed: there is nothing to revert.
        FirmwareVerdictError
            The trial image runs still.
        """
        try:
            await self._door.open()
            running = active_image(await self._door.states())
            if running.confirmed:
                raise FirmwareRefusedError(
                    f"{running.version} runs and is confirmed: there is nothing to revert. "
                    "Next: flash the older image instead"
                )
            await self._door.reset()
            await asyncio.sleep(self._reconnect_s)
            await self._reconnect()
            states = await self._door.states()
            if active_image(states).sha256 == running.sha256:
                raise FirmwareVerdictError(f"{running.version} runs still after the reset. Next: flash the older image")
            return states
        finally:
            await self._door.close()


def active_image(states: list[SlotImage]) -> SlotImage:
    """Return what runs.

    Raises
    ------
    FirmwareRefusedError
        The tag names none.
    """
    for image in states:
        if image.active:
            return image
    raise FirmwareRefusedError("the tag names no running image. Next: check that its firmware has the image group")


def _holds(states: list[SlotImage], image: FirmwareImage) -> bool:
    return any(state.sha256 == image.sha256 for state in states)

"""A bench that is ready: leased, powered, with the firmware that its file expects."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote

from devices.clock import Clock, SystemClock
from rig.bench.errors import FirmwareMismatchError, PowerError, RoleAbsentError
from rig.bench.firmware import check_firmware, read_firmware
from rig.bench.flash import flash
from rig.bench.lease import Lease, job_name
from rig.bench.load import emulated_bench, load_bench
from rig.bench.ports import find_port, resources, template_fields
from rig.bench.power.base import PowerSwitch, power_cycle
from rig.bench.power.from_table import make_switch
from rig.bench.roles import Assignment, assign
from rig.bench.schema import REPLAY, BenchFile, DeviceTable, EmulatedPowerTable, relative
from rig.scenario import Scenario


class OpenBench:
    """One bench in use, until ``close``. Emulated benches lease nothing: any number may be open beside each other.

    Parameters
    ----------
    file : BenchFile
    folder : Path
        Where relative paths of the file start from.
    clock : Clock, optional
    leases : Path, optional
        Folder of the leases.
    owner : str, optional
        Who uses it, for those who find it busy.

    Attributes
    ----------
    firmware : Mapping of str to str
        By role: what was read from the device; empty where it says nothing.
    """

    def __init__(
        self,
        file: BenchFile,
        *,
        folder: Path,
        clock: Clock | None = None,
        leases: Path | None = None,
        owner: str = "",
    ) -> None:
        self.file = file
        self.folder = folder
        self._clock = clock or SystemClock()
        self._firmware: dict[str, str] = {}
        self._switches: dict[str, PowerSwitch] = {}
        names = [name for table in file.devices.values() for name in resources(table.transport)]
        self._lease = Lease(
            names,
            owner=f"{owner or job_name()}, bench {file.bench.name}",
            clock=self._clock,
            folder=leases,
            lease_s=file.bench.lease_s,
        )

    @property
    def name(self) -> str:
        """The bench's name."""
        return self.file.bench.name

    @property
    def kind(self) -> str:
        """``real``, ``emulated``, ``replay`` or ``mixed``."""
        return self.file.kind

    @property
    def features(self) -> frozenset[str]:
        """What a test may need of this bench."""
        return self.file.features

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that the file names."""
        return tuple(self.file.devices)

    @property
    def firmware(self) -> Mapping[str, str]:
        """What the devices run, by role."""
        return self._firmware

    def open(self, *, check: bool = True) -> None:
        """Lease the hardware, give it power, and compare its firmware with what the file expects.

        Parameters
        ----------
        check : bool
            False: firmware is not asked for (a device that is about to be flashed may have none).

        Raises
        ------
        BenchBrokenError
            Somebody else has it, a device cannot be reached, or runs other firmware.
        """
        self._lease.acquire(wait_s=self.file.bench.lease_wait_s)
        try:
            asyncio.run(self._open(check=check))
        except BaseException:
            self.close()
            raise

    async def _open(self, *, check: bool) -> None:
        for role, table in self.file.devices.items():
            switch = make_switch(role, table, fields=template_fields(role, table.transport))
            if switch is None:
                continue
            self._switches[role] = switch
            if isinstance(table.power, EmulatedPowerTable):
                await switch.on()
        if not check:
            return
        asked = [
            (role, table)
            for role, table in self.file.devices.items()
            if table.kind == "replay" or table.expect_firmware is not None
        ]
        found = await asyncio.gather(
            *(read_firmware(role, table, self._clock, folder=self.folder) for role, table in asked)
        )
        for (role, table), firmware in zip(asked, found, strict=True):
            self._firmware[role] = await self._accepted(role, table, firmware)

    async def _accepted(self, role: str, table: DeviceTable, firmware: str) -> str:
        try:
            check_firmware(role, table.expect_firmware, firmware)
        except FirmwareMismatchError:
            if table.flash is None or table.flash.when != "mismatch":
                raise
            fields = template_fields(role, table.transport)
            return await flash(role, table, self._clock, folder=self.folder, fields=fields)
        return firmware

    def check(self) -> None:
        """Raise where the bench is ours no more; a run calls it at its end.

        Raises
        ------
        LeaseLostError
        """
        self._lease.check()

    def assign(self, scenario: Scenario) -> tuple[Assignment, ...]:
        """Say which device plays which of a scenario; paths in transports are absolute. Raises ``RoleAbsentError``."""
        return tuple(
            replace(each, transport=_absolute(each.transport, self.folder)) for each in assign(self.file, scenario)
        )

    def power(self, role: str) -> PowerSwitch:
        """Return the switch of a role.

        Raises
        ------
        RoleAbsentError
            There is no such role, or it has none.
        """
        self._table(role)
        if role not in self._switches:
            raise RoleAbsentError(
                f"bench {self.name!r}: {role} has no power switch. Next: add [devices.{role}.power] to the bench file"
            )
        return self._switches[role]

    def power_cycle(self, role: str) -> float:
        """Take power from a device and give it back; return the seconds until its port was there again.

        Raises
        ------
        PowerError, RoleAbsentError
        """
        table = self._table(role)
        switch = self.power(role)
        assert table.power is not None
        is_local = table.transport.partition(":")[0] in ("serial", "pty")
        if table.power.port_vanishes and not is_local:
            raise PowerError(f"{role}: port_vanishes is for ports of this machine; {table.transport} is none")
        return asyncio.run(
            power_cycle(
                switch,
                self._clock,
                is_there=lambda: not is_local or find_port(table.transport) is not None,
                off_s=table.power.off_s,
                ready_s=table.power.ready_s,
                port_vanishes=table.power.port_vanishes,
            )
        )

    def flash(self, role: str) -> str:
        """Flash a device as its table says and return the version that it runs then. Raises ``FlashError``."""
        table = self._table(role)
        fields = template_fields(role, table.transport)
        version = asyncio.run(flash(role, table, self._clock, folder=self.folder, fields=fields))
        self._firmware[role] = version
        return version

    def close(self) -> None:
        """Let go of switches and hardware. Safe to call twice."""
        switches, self._switches = list(self._switches.values()), {}
        try:
            if switches:
                asyncio.run(_close_all(switches))
        finally:
            self._lease.release()

    def _table(self, role: str) -> DeviceTable:
        if role not in self.file.devices:
            known = ", ".join(self.file.devices) or "none"
            raise RoleAbsentError(f"bench {self.name!r} has no role {role!r}. Roles: {known}")
        return self.file.devices[role]

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _absolute(transport: str, folder: Path) -> str:
    """Make the paths of a transport independent of where the bench file lies."""
    head, mark, options = transport.partition("?")
    if head.startswith(f"{REPLAY}:"):
        head = f"{REPLAY}:{relative(folder, head.removeprefix(f'{REPLAY}:')).resolve()}"
    parts = []
    for part in filter(None, options.split("&")):
        name, equals, value = part.partition("=")
        if name in ("key_file", "passkey_file"):
            value = quote(str(relative(folder, unquote(value)).resolve()))
        parts.append(f"{name}{equals}{value}")
    return f"{head}{mark}{'&'.join(parts)}"


async def _close_all(switches: list[PowerSwitch]) -> None:
    for switch in switches:
        await switch.close()


def bench_from(path: Path | None) -> OpenBench:
    """Return the bench of a file, or the emulated one; not open yet.

    Raises
    ------
    BenchFileError
    """
    if path is None:
        return OpenBench(emulated_bench(), folder=Path.cwd())
    return OpenBench(load_bench(path), folder=path.parent)

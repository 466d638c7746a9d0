"""Whether a VM's command line or configuration lets it report free pages, and what the doctor makes of it."""

from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.host_setup import configured_reporting

QEMU = "/usr/bin/qemu-system-x86_64 -m 8192 -device virtio-balloon-pci,id=balloon0{} -smp 4\n"
LIBVIRT = (
    "<domain type='kvm'>\n<memory unit='KiB'>8388608</memory>\n<memballoon model='{}'{}>\n</memballoon>\n</domain>\n"
)
SETUPS = {
    "QEMU, on": (QEMU.format(",free-page-reporting=on"), True),
    "QEMU, off": (QEMU.format(",free-page-reporting=off"), False),
    "QEMU, not set": (QEMU.format(""), False),
    "QEMU, hinting only": (QEMU.format(",free-page-hint=on"), False),
    "QEMU, as libvirt starts it": (
        '-device {"driver":"virtio-balloon-pci","id":"balloon0","free-page-reporting":true}\n', True
    ),
    "libvirt, on": (LIBVIRT.format("virtio", " freePageReporting='on'"), True),
    "libvirt, off": (LIBVIRT.format("virtio", ' freePageReporting="off"'), False),
    "libvirt, not set": (LIBVIRT.format("virtio", " autodeflate='on'"), False),
    "libvirt, no balloon": (LIBVIRT.format("none", ""), False),
    "Firecracker": ('{"balloon": {"amount_mib": 0, "free_page_reporting": true}}\n', True),
    "Cloud Hypervisor": ("cloud-hypervisor --balloon size=0,free_page_reporting=on\n", True),
    "WSL": ("[wsl2]\nmemory=8GB\npageReporting=false\n", False),
    "WSL, on": ("[wsl2]\r\npageReporting = true\r\n", True),
    "WSL, commented out": ("[wsl2]\n# pageReporting=false\n", None),
    "a guest's log": ("virtio_balloon virtio3: Out of puff!\n", None),
    "another device": ("-device virtio-net-pci\n", None),
}  # fmt: skip
MEMINFO = "MemTotal: 8000000 kB\nMemFree: 3000000 kB\n"
ON = "[    1.0] Free page reporting enabled\n"


@pytest.mark.parametrize("setup", SETUPS)
def test_each_ones_way_to_set_it(setup: str) -> None:
    text, expected = SETUPS[setup]
    assert configured_reporting(text) is expected


def test_what_it_says_of_a_vm(tmp_path: Path) -> None:
    """It was refused, though it is what keeps all memory from the host most often."""
    setup = tmp_path / "setup"
    for text, device, on in ((SETUPS["QEMU, on"][0], True, None), (SETUPS["libvirt, not set"][0], False, False)):
        setup.write_text(text)
        found = diagnose(setup)
        assert (found.evidence.reporting.device, found.setting.on, found.free) == (device, on, None)
        assert bool(found.advice) == (on is False)
        setup.write_text(text + MEMINFO)
        found = diagnose(setup)
        assert ("no_device" in found.free_resident) == (on is False)
        assert found.total == 8000000 << 10
    assert "freePageReporting='on'" in found.advice[0].command


@pytest.mark.parametrize("first", [True, False])
def test_the_guests_own_word_counts_more(tmp_path: Path, first: bool) -> None:
    setup, log = tmp_path / "setup", tmp_path / "log"
    setup.write_text(QEMU.format(""))
    log.write_text(ON)
    found = diagnose([setup, log] if first else [log, setup])
    assert (found.setting.on, found.evidence.reporting.device) == (True, True)


def test_in_wsl_windows_decides(tmp_path: Path) -> None:
    """QEMU's device was advised."""
    setup, kernel = tmp_path / ".wslconfig", tmp_path / "version"
    setup.write_text(SETUPS["WSL"][0])
    assert "in .wslconfig, then wsl --shutdown (WSL)" in diagnose(setup).advice[0].command
    kernel.write_text(f"Linux version 6.6.87.2-microsoft-standard-WSL2 (gcc) #1 SMP\n{MEMINFO}")
    assert "pageReporting=true below [wsl2] in .wslconfig" in diagnose([setup, kernel]).advice[0].command

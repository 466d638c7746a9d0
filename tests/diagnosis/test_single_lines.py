"""What one line tells alone: the kernel, and how reporting is set."""

from pathlib import Path

import pytest

from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.single_lines import read_single_lines
from pagehint.errors import InputError
from pagehint.report.doctor_words import reporting_line
from tests.diagnosis.samples import SAMPLES


@pytest.mark.parametrize(
    "words",
    [
        "Linux version 5.15.0-91-generic (gcc) #1",
        "$ uname -a\nLinux vm 5.15.0-91-generic #101-Ubuntu SMP x86_64 GNU/Linux",
        "[root@vm ~]# uname -r\n5.15.0-91-generic",
        "           Kernel: Linux 5.15.0-91-generic",
        "WSL version: 2.4.13.0\nKernel version: 5.15.0-91-generic\nWindows version: 10.0.22631.3007",
        "### Kernel Version\n\n5.15.0-91-generic\n\n### Distro Version\n\nUbuntu 22.04",
    ],
)
def test_the_kernel_as_people_give_it(tmp_path: Path, words: str) -> None:
    path = tmp_path / "pasted"
    path.write_text(f"{words}\nNode 0, zone Normal{' 90000' * 9} 100 100\n")
    assert diagnose(path).evidence.kernel == "5.15.0-91-generic"


@pytest.mark.parametrize(
    "text",
    [
        "root@vm:~# cat /sys/module/page_reporting/parameters/page_reporting_order\n5\nroot@vm:~# cat /proc/meminfo\n",
        "==> /sys/module/page_reporting/parameters/page_reporting_order <==\n5\n\n==> /proc/meminfo <==\n",
        "/sys/module/page_reporting/parameters/page_reporting_order:5\n",
        "page_reporting.page_reporting_order=5\n",
    ],
)
def test_the_order_of_reporting_as_shells_print_it(tmp_path: Path, text: str) -> None:
    """It was lost but of the last."""
    path = tmp_path / "text"
    path.write_text(f"{text}MemTotal:        8010372 kB\nMemFree:         1048576 kB\n")
    found = diagnose(path)
    assert (found.evidence.reporting.order, found.free) == (5, 1 << 30)
    path.write_text("$ cat parameters/page_reporting_order\n5 files\nMemTotal: 8010372 kB\nMemFree: 1048576 kB\n")
    assert diagnose(path).evidence.reporting.order is None


@pytest.mark.parametrize(("second", "order", "warned"), [(9, 9, False), (4, 4, True)])
def test_a_setting_that_a_file_has_twice_is_told_once(tmp_path: Path, second: int, order: int, warned: bool) -> None:
    path = tmp_path / "sysctl"
    path.write_text(
        "MemTotal: 1000000 kB\nMemFree: 500000 kB\n"
        + 2 * "fs.dentry-state = 100 50 45 0 0 0\n"
        + f"page_reporting_order: 9\npage_reporting_order={second}\n"
    )
    found = diagnose(path)
    assert found.evidence.reporting.order == order
    assert not any("again" in line for line in found.warnings)
    assert any("the reporting order more than once" in line for line in found.warnings) == warned
    assert [what for _, what in found.evidence.sources].count("page_reporting_order") == 1


def test_a_boot_log_tells_that_reporting_is_on(tmp_path: Path) -> None:
    """The kernel says so when a device registers; it was not looked for."""
    meminfo, log = tmp_path / "meminfo", tmp_path / "dmesg.txt"
    meminfo.write_text("MemTotal: 1000000 kB\nMemFree: 500000 kB\n")
    log.write_text("[    0.523104] page_reporting: Free page reporting enabled\n")
    assert "not known whether it is on (the guest's boot log tells)" in reporting_line(diagnose(meminfo))
    for files in ([meminfo, log], [log, meminfo]):
        found = diagnose(files)
        assert found.setting.on is True
        assert found.free == 500000 << 10
        assert reporting_line(found).startswith("free page reporting: on, order 9")
        assert ("dmesg.txt", "the kernel's word that reporting is on") in [
            (Path(name).name, what) for name, what in found.evidence.sources
        ]


def test_of_several_boots_the_last_ones_kernel_counts(tmp_path: Path) -> None:
    log = tmp_path / "journal.txt"
    log.write_text(f"Linux version 5.10.0 (gcc)\n-- Boot 1 --\nLinux version 6.12.9 (gcc)\n{SAMPLES['6.12, CMA']}")
    assert diagnose(log).evidence.kernel == "6.12.9"


@pytest.mark.parametrize(
    "text",
    [
        "Linux version 6.1.0-28-amd64 (debian-kernel@lists.debian.org) #1 SMP Debian 6.1.119-1 (2024-11-22)\n",
        "Linux web-1 6.1.0-28-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22) x86_64 GNU/Linux\n",
        "6.1.0-28-amd64\n",
        "BOOT_IMAGE=/boot/vmlinuz-6.1.0-28-amd64 root=UUID=4b0a ro quiet\n",
        "kernel.hostname = web-1\nkernel.osrelease = 6.1.0-28-amd64\nkernel.ostype = Linux\n",
        " Static hostname: web-1\n  Virtualization: kvm\n          Kernel: Linux 6.1.0-28-amd64\n",
        "Welcome to Debian GNU/Linux 12 (bookworm) (GNU/Linux 6.1.0-28-amd64 x86_64)\n",
        "Linux 6.1.0-28-amd64 (web-1) \t11/30/2026 \t_x86_64_\t(2 CPU)\n\navg-cpu:  %user   %nice\n 1.00 0.00\n",
        "  Kernel Version:             6.1.0-28-amd64\n  OS Image:                   Debian GNU/Linux 12\n",
    ],
)
def test_a_file_that_only_tells_the_kernel_is_read_beside_others(tmp_path: Path, text: str) -> None:
    """`pagehint doctor FOLDER/*` stopped at a copy of /proc/version."""
    version, meminfo = tmp_path / "version", tmp_path / "meminfo"
    version.write_text(text)
    meminfo.write_text("MemTotal: 1000000 kB\nMemFree: 500000 kB\n")
    for files in ([version, meminfo], [meminfo, version]):
        found = diagnose(files)
        assert found.evidence.kernel == "6.1.0-28-amd64"
        assert found.warnings == []
        assert "what is given at boot counts from 6.2 on" in (found.kernel_can or "")
    with pytest.raises(InputError, match="version: tells which machine it is, but nothing of free memory"):
        diagnose(version)


@pytest.mark.parametrize(
    ("version", "order", "warned"),
    [("5.10.0-28-amd64", 9, True), ("6.1.0-28-amd64", 9, True), ("6.12.9", 5, False), (None, 5, False)],
)
def test_an_order_given_at_boot_counts_where_the_kernel_keeps_it(
    tmp_path: Path, version: str | None, order: int, warned: bool
) -> None:
    """Up to 6.1 the driver overwrites it: without a word, it was taken for the order."""
    log, buddyinfo, parameter = (tmp_path / name for name in ("dmesg", "buddyinfo", "page_reporting_order"))
    log.write_text(
        ("" if version is None else f"[    0.000000] Linux version {version} (gcc)\n")
        + "[    0.000000] Command line: root=/dev/vda1 ro page_reporting.page_reporting_order=5\n"
    )
    buddyinfo.write_text(f"Node 0, zone Normal{' 90' * 11}\n")
    found = diagnose([log, buddyinfo])
    assert found.setting.order == order
    assert any("of the kernel's command line counts from 6.2 on" in line for line in found.warnings) == warned
    parameter.write_text("/sys/module/page_reporting/parameters/page_reporting_order:4\n")
    found = diagnose([log, buddyinfo, parameter])
    assert (found.setting.order, found.warnings) == (4, [])


@pytest.mark.parametrize("value", ["-1", "4294967295"])
def test_an_order_that_nobody_set_is_the_default(tmp_path: Path, value: str) -> None:
    """It was said that the file holds nothing."""
    parameter, buddyinfo = tmp_path / "order", tmp_path / "buddyinfo"
    parameter.write_text(f"# cat /sys/module/page_reporting/parameters/page_reporting_order\n{value}\n")
    buddyinfo.write_text(f"Node 0, zone Normal{' 90' * 11}\n")
    found = diagnose([parameter, buddyinfo])
    assert (found.setting.order, found.evidence.reporting.order, found.warnings) == (9, None, [])
    assert "page_reporting_order" in [what for _, what in found.evidence.sources]


def test_a_distributions_version_is_no_kernels(tmp_path: Path) -> None:
    issue, meminfo = tmp_path / "issue", tmp_path / "meminfo"
    issue.write_text('PRETTY_NAME="Debian GNU/Linux 12.8 (bookworm)"\nRed Hat Enterprise Linux 9.4 (Plow)\n')
    meminfo.write_text("MemTotal: 1000000 kB\nMemFree: 500000 kB\n")
    assert diagnose([issue, meminfo]).evidence.kernel is None


@pytest.mark.parametrize(("words", "order"), [("enabled", None), ("enabled with order 8", 8), ("not supported", None)])
def test_hyper_vs_words_for_reporting_as_wsl_prints_them(tmp_path: Path, words: str, order: int | None) -> None:
    """Whether reporting is on was not known."""
    path = tmp_path / "dmesg"
    path.write_text(f"[    4.013233] hv_balloon: Cold memory discard hint {words}\nMemTotal: 9 kB\nMemFree: 8 kB\n")
    reporting = diagnose(path).evidence.reporting
    assert (reporting.on, reporting.order) == (True if "enabled" in words else None, order)


_ROW = f"Node 0, zone DMA{' 9000' * 9}\n"


@pytest.mark.parametrize(
    ("words", "kib"),
    [
        ("Linux z 5.14.0-427.el9.s390x #1 SMP Tue Mar 5 10:00:00 UTC 2024 s390x s390x s390x GNU/Linux", 4),
        ("Linux z 6.4.0-150600.23-default #1 SMP s390x GNU/Linux", 4),
        ("Linux 6.4.0-150600.23-default (z) \t03/05/2024 \t_s390x_\t(4 CPU)", 4),
        ("$ uname -r\n5.14.0-427.el9.s390x", 4),
        ("Architecture:            s390x", 4),
        ("$ getconf PAGESIZE\n4096", 4),
        ("PAGESIZE                           4096", 4),
        ("Linux p 5.14.0-427.el9.ppc64le #1 SMP ppc64le ppc64le ppc64le GNU/Linux", 64),
        ("Linux version 6.4.0-default (builder@x86_64.example) (powerpc64le-suse-linux-gcc) #1 SMP", 64),
    ],
)
def test_a_machine_tells_the_size_of_its_pages(tmp_path: Path, words: str, kib: int) -> None:
    """Nine orders were taken for ppc64's, whatever uname and getconf said beside them."""
    path = tmp_path / "pasted"
    path.write_text(f"{words}\n{_ROW}")
    found = diagnose(path)
    assert (found.setting.page_size, found.free) == (kib << 10, 9000 * 511 * kib << 10)
    if "s390x" in words:
        assert found.setting.pageblock_order == 8


def test_one_zone_of_x86_beside_all_that_is_free_makes_no_larger_pages(tmp_path: Path) -> None:
    """A quarter of MemFree in the one row that was given was taken for pages of 16 KiB."""
    path = tmp_path / "pasted"
    path.write_text(
        "Linux web 5.15.0-91-generic #101-Ubuntu SMP Tue Nov 14 13:30:08 UTC 2023 x86_64 x86_64 x86_64 GNU/Linux\n"
        "MemFree:         1112012 kB\nNode 0, zone   Normal  11130  10010   4101   1101    203     31 2 0 0 0 0\n"
    )
    found = diagnose(path)
    assert (found.setting.page_size, found.free) == (4096, 60730 << 12)
    assert any("meminfo tells of 1,085 MiB free, buddyinfo of 237" in line for line in found.warnings)


def test_what_tells_the_size_of_a_page_alone_is_used_beside_others(tmp_path: Path) -> None:
    size, counts = tmp_path / "getconf", tmp_path / "vmstat"
    size.write_text("$ getconf PAGE_SIZE\n65536\n")
    counts.write_text("nr_free_pages 103221\nnr_zone_inactive_anon 1000\npgfault 1000\n")
    found = diagnose([size, counts])
    assert (found.free, found.warnings) == (103221 << 16, [])
    with pytest.raises(InputError, match="getconf: tells which machine it is, but nothing of free memory"):
        diagnose(size)


@pytest.mark.parametrize(("kernel", "kib"), [("6.12.9-arm64-16k", 16), ("5.14.0-427.el9.aarch64+64k", 64)])
def test_a_kernel_that_is_named_after_its_pages(tmp_path: Path, kernel: str, kib: int) -> None:
    path = tmp_path / "pasted"
    path.write_text(f"$ uname -r\n{kernel}\nNode 0, zone Normal{' 90' * 11}\n")
    assert diagnose(path).setting.page_size == kib << 10


def test_spaces_behind_a_settings_name_take_no_time() -> None:
    assert list(read_single_lines(Evidence(), "page_reporting_order" + " " * 200_000 + "x", "file")) == []


NUMBERS = "2368980\t2357899\t45\t0\t2318380\t0\n"


@pytest.mark.parametrize(
    "text",
    [
        NUMBERS,
        f"$ cat /proc/sys/fs/dentry-state\n{NUMBERS}$ uptime\n",
        f"==> /proc/sys/fs/dentry-state <==\n{NUMBERS}\n==> /proc/loadavg <==\n0.00 0.01 0.05 1/123 4567\n",
        f"/proc/sys/fs/dentry-state:{NUMBERS}",
        f"fs.dentry-state = {NUMBERS}",
    ],
    ids=["a copy of the file", "cat", "tail", "grep", "sysctl"],
)
def test_names_of_files_are_counted_in_whatever_way_they_are_printed(tmp_path: Path, text: str) -> None:
    """Only as sysctl prints them they were: a copy of the file that the guide asks for said nothing."""
    meminfo, state = tmp_path / "meminfo", tmp_path / "sys" / "fs" / "dentry-state"
    meminfo.write_text("MemTotal: 1000000 kB\nMemFree: 500000 kB\n")
    state.parent.mkdir(parents=True)
    state.write_text(text)
    for files in ([meminfo, state], [tmp_path]):
        assert diagnose(files).evidence.unused_names == pytest.approx(2357899 / 2368980)

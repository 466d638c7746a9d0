"""Figures that monitoring, inventories and hypervisors give by name: those of a machine are read, others refused."""

import re
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError
from tests.diagnosis.conftest import DATA

MIB = 1 << 20
FOLDER = DATA / "tools"
READ = sorted(path.stem for path in (FOLDER / "read").iterdir())
REFUSED = {
    "crictl": "crictl stats",
    "dmidecode": "dmidecode",
    "docker_info": "docker info",
    "dominfo": "virsh dominfo",
    "facter": "facter",
    "hmp_balloon": "QEMU's info balloon",
    "qmp_balloon": "QEMU's info balloon",
    "inxi_m": "inxi",
    "inxi_old": "inxi",
    "kubectl_describe_node": "kubectl describe node",
    "kubectl_top_node": "kubectl top",
    "kubectl_top_pod": "kubectl top",
    "kubelet_stats": "the kubelet's summary",
    "lshw": "lshw",
    "lsmem": "lsmem",
    "memory_stat": "a cgroup's memory.stat",
    "podman_stats": "podman stats",
    "ps_mem": "ps_mem",
    "smem": "smem",
    "systemd_cgtop": "systemd-cgtop",
    "systemd_oomd": "systemd-oomd",
    "proc_status": "/proc/PID/status",
    "smaps_rollup": "/proc/PID/smaps",
    "zramctl": "zramctl",
    "xl_info": "xl info",
    "xl_list": "xl list",
}


@pytest.mark.parametrize("form", READ)
def test_totals_are_read(form: str) -> None:
    found = diagnose(FOLDER / "read" / f"{form}.txt")
    assert found.free == pytest.approx(3072 * MIB, abs=2 * MIB)
    # What doesn't tell how much there is has no total.
    assert found.total is None or found.total == pytest.approx(15821 * MIB, abs=60 * MIB)
    silent = {
        "collectds_putval",
        "smem_-w",
        "smem_-w_-k",
        "dstat",
        "dool",
        "sadf_-d",
        "sadf_-p",
        "sadf_-j",
        "sar_-r",
        "sar_-A",
    }
    assert (found.total is None) == (form in silent | {"vmstat_-w_-s_m"})


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_machines_free_memory_is_named(form: str) -> None:
    with pytest.raises(InputError) as refused:
        diagnose(FOLDER / "refused" / f"{form}.txt")
    assert f"holds the output of {REFUSED[form]}, which doesn't tell what is free: expected buddyinfo" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("form", "tool"),
    [
        ("arcstats", "ZFS' arcstats"),
        ("pminfo_-f", "pminfo"),
        ("metricbeats_pageinfo", "Metricbeat's linux.pageinfo"),
        ("munins_pagetypeinfo", "munin"),
    ],
)
def test_a_tools_form_that_is_not_read_is_named(form: str, tool: str) -> None:
    with pytest.raises(InputError, match=f"holds the output of {tool}, a form of it that is not read"):
        diagnose(FOLDER / "unread" / f"{form}.txt")


@pytest.mark.parametrize("form", ["hostnamectl", "neofetch"])
def test_what_tells_the_kernel_alone_is_used_beside_others(form: str) -> None:
    path = FOLDER / "kernel_only" / f"{form}.txt"
    with pytest.raises(InputError, match="tells which machine it is, but nothing of free memory: add /proc/buddyinfo"):
        diagnose(path)
    assert diagnose([path, FOLDER / "read" / "psutil.txt"]).evidence.kernel == "6.1.0-28-amd64"


EXPORTED = """\
node_memory_MemFree_bytes{instance="web01:9100"} 3221225472
node_memory_MemFree_bytes{instance="web02:9100"} 1073741824
node_memory_MemTotal_bytes{instance="web01:9100"} 16590675968
node_memory_MemTotal_bytes{instance="web02:9100"} 8589934592
""" + "".join(
    f'node_buddyinfo_blocks{{instance="{machine}:9100",node="0",size="{order}",zone="{zone}"}} {count}\n'
    for machine, zone, counts in (
        ("web01", "DMA", [1, *[0] * 10]),
        ("web01", "Normal", [*[0] * 10, 768]),
        ("web02", "Normal", [*[0] * 10, 256]),
    )
    for order, count in enumerate(counts)
)


def test_of_several_machines_one_is_read_as_is_said(tmp_path: Path) -> None:
    """Of one was what is free, of the other how much there is."""
    path = tmp_path / "text.txt"
    path.write_text(EXPORTED)
    found = diagnose(path)
    assert (found.total, found.free) == (8 << 30, 1 << 30)
    assert [(zone.name, zone.free) for zone in found.zones] == [("Normal", 256 << 10)]
    assert any("has meminfo more than once: the last one counts" in line for line in found.warnings)
    for form in ("collectds_putval", "telegrafs_line_protocol", "telegraf_for_prometheus"):
        text = (FOLDER / "read" / f"{form}.txt").read_text()
        path.write_text(text + text.replace("web01", "web02").replace("3221225472", "2147483648"))
        path.write_text(path.read_text().replace("3.221225472e+09", "3e+09"))
        found = diagnose(path)
        assert any("are of several machines: those of web02 are read" in line for line in found.warnings), form
        assert found.free != 3 << 30 or form == "telegraf_for_prometheus"


def test_a_swaps_a_disks_and_a_hosts_figures_are_not_taken_for_a_machines(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    for text in (
        "sdiskusage(total=105089261568, used=20000000000, free=80000000000, percent=20.0)",
        '{"memswap": {"total": 2147479552, "used": 0, "free": 2147479552, "percent": 0.0}}',
        "ansible_swapfree_mb: 2047",
        'PUTVAL "web01/swap/swap-free" interval=10.000 1760000000.123:2147479552',
        '{"stats": {"stat-free-memory": 18446744073709551615, "stat-total-memory": 18446744073709551615}}',
    ):
        path.write_text(f"{text}\n")
        with pytest.raises(InputError, match=r"holds nothing that tells of free memory|guest-stats without figures"):
            diagnose(path)


def test_a_table_whose_lines_are_of_one_width_is_not_joined() -> None:
    """It was taken for what a terminal had broken."""
    path = FOLDER / "read" / "smem_-w.txt"
    assert diagnose(path).evidence.sources == [(str(path), "smem -w")]


ANSIBLES = "ansible_memtotal_mb: 8000\nansible_memfree_mb: 1000\n"


@pytest.mark.parametrize(
    ("text", "total", "free"),
    [
        (f"{ANSIBLES}ansible_memtotal_mb: 64000", 8000, 1000),
        (f"{ANSIBLES}ansible_memtotal_mb: 64000\nansible_memfree_mb: 9", 64000, 9),
        ('[{"free_mem":1048576,"total_mem":8388608},{"total_mem":64000000000}]', 8, 1),
        ("memTotalReal.0 = 8192\nmemAvailReal.0 = 1024\nmemTotalReal.0 = 64000000", 8, 1),
    ],
)
def test_two_machines_are_not_made_one(text: str, total: int, free: int, tmp_path: Path) -> None:
    """The one's total stood beside the other's free memory, without a word."""
    (tmp_path / "text").write_text(text)
    found = diagnose([tmp_path / "text"])
    told = found.to_dict()
    assert (told["memory_mib"], told["free_mib"]) == (total, free)
    assert [line for line in found.warnings if "more than once: the last whole ones count" in line]


@pytest.mark.parametrize(
    "figures", ["{0} GB\n{1} GB", "{0} GiB\n{1} GiB", "{0},000,000\n{1},000,000", "{0}.5M\n{1}.5M", "{0}G\n{1}G"]
)
def test_figures_with_units_of_their_own_are_not_bytes(figures: str, tmp_path: Path) -> None:
    total, free = figures.format(64, 8).split("\n")
    for form in ("vm.memory.size[total]: {0}\nvm.memory.size[free]: {1}\n", "total_mem: {0}\nfree_mem: {1}\n"):
        (tmp_path / "text").write_text(form.format(total, free))
        with pytest.raises(InputError, match="holds nothing that tells of free memory"):
            diagnose([tmp_path / "text"])


@pytest.mark.parametrize("form", ["smem_-w_-k", "telegraf_for_prometheus"])
def test_a_figure_with_a_decimal_comma_is_not_its_beginning(form: str, tmp_path: Path) -> None:
    """3 KiB were free, of 3,0G."""
    text = re.sub(r"(?<=\d)\.(?=\d)", ",", (FOLDER / "read" / f"{form}.txt").read_text())
    (tmp_path / "text").write_text(text)
    with pytest.raises(InputError):
        diagnose([tmp_path / "text"])


def test_of_several_vms_the_one_that_is_read_is_named(tmp_path: Path) -> None:
    one = (
        "Domain: '{}'\n  state.state=1\n  balloon.current=4194304\n  balloon.unused={}\n  balloon.available=4008244\n\n"
    )
    (tmp_path / "text").write_text(one.format("web-1", 3012544) + one.format("db-2", 1012544))
    found = diagnose(tmp_path / "text")
    assert (found.free, found.total) == (1012544 << 10, 4008244 << 10)
    assert any("virsh dommemstat are of several machines: those of db-2 are read" in line for line in found.warnings)
    (tmp_path / "text").write_text(one.format("web-1", 3012544) * 2)
    assert not diagnose(tmp_path / "text").warnings


@pytest.mark.parametrize("quote", ["'", '"'])
def test_libvirts_own_dictionary_of_statistics(quote: str, tmp_path: Path) -> None:
    text = ">>> dom.memoryStats()\n{'actual': 4194304, 'swap_in': 0, 'unused': 3012544,\n 'available': 4008244}\n"
    (tmp_path / "text").write_text(text.replace("'", quote))
    found = diagnose(tmp_path / "text")
    assert (found.free, found.total) == (3012544 << 10, 4008244 << 10)
    (tmp_path / "text").write_text("{'actual': 4194304, 'last_update': 0, 'rss': 1200000}\n".replace("'", quote))
    with pytest.raises(InputError):
        diagnose(tmp_path / "text")

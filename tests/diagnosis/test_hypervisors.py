"""Which hypervisor has no reporting: told by a line."""

import pytest

from pagehint.diagnosis.hypervisors import hypervisor_of


@pytest.mark.parametrize(
    ("line", "whose"),
    [
        ("[    0.000000] Hypervisor detected: Xen HVM", "Xen"),
        ("[    0.000000] Booting paravirtualized kernel on Xen", "Xen"),
        ("[    0.000000] Booting paravirtualized kernel on KVM", None),
        ("[    0.000000] DMI: Xen HVM domU, BIOS 4.17 02/06/2024", "Xen"),
        ("[    0.000000] DMI: Apple Inc. Apple Virtualization Generic Platform", "Apple"),
        ("Hypervisor vendor:     VMware", "VMware"),
        ("VMware20,1", "VMware"),
        ("[    0.000000] DMI: Amazon EC2 m5.large/, BIOS 1.0 10/16/2017", "EC2"),
        ("[    0.000000] DMI: Xen HVM domU, BIOS 4.11.amazon 08/24/2006", "EC2"),
        ("\tManufacturer: Amazon EC2", "EC2"),
        ("Amazon EC2\n", "EC2"),
        ("BIOS 4.11.amazon\n", "EC2"),
        ("cloud-init[900]: Amazon EC2 is the datasource", None),
        ("00:0f.0 VGA compatible controller: VMware SVGA II Adapter", None),
        ("[    0.000000] Hypervisor detected: KVM", None),
        ("[    0.0] DMI: innotek GmbH VirtualBox/VirtualBox, BIOS VirtualBox 12/01/2006", "VirtualBox"),
        ("  Virtualization: oracle", "VirtualBox"),
        ("00:02.0 VGA compatible controller: InnoTek Systemberatung GmbH VirtualBox Graphics Adapter", None),
        ("Hardware name: FreeBSD BHYVE/BHYVE, BIOS 14.0 10/17/2021", "bhyve"),
        ("xenial", None),
        ("", None),
    ],
)
def test_who_has_no_reporting_is_told_by_a_line(line: str, whose: str | None) -> None:
    assert hypervisor_of(line) == whose

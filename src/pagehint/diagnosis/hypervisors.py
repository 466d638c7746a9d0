"""Hypervisors that have no free page reporting: how a guest of theirs knows them, and what their hosts do instead."""

import re
from dataclasses import dataclass

__all__ = ["HYPERVISORS", "Hypervisor", "hypervisor_of"]


@dataclass(frozen=True)
class Hypervisor:
    """What a guest of it is said to be of, that it has no reporting, what to do there instead, and what tells of it."""

    called: str
    lacks: str
    command: str
    told_by: re.Pattern[str]


HYPERVISORS = {
    # Before Xen, which its older instances have: who rents one can't ask its host.
    "EC2": Hypervisor(
        "Amazon EC2",
        "EC2 has no free page reporting",
        "aws ec2 modify-instance-attribute --instance-id ID --instance-type SMALLER (while it is stopped)",
        re.compile(
            r"(?:DMI|Hardware name|Vendor|Manufacturer): {0,8}Amazon EC2\b|\AAmazon EC2$|\bBIOS \d[\d.]{0,8}\.amazon\b"
        ),
    ),
    "Xen": Hypervisor(
        "Xen",
        "Xen has no free page reporting",
        "xl mem-set DOMAIN SIZE (on the host)",
        re.compile(
            r"Hypervisor (?:detected|vendor):\s+Xen|Virtualization: xen|paravirtualized kernel on Xen|Xen HVM domU"
        ),
    ),
    "Apple": Hypervisor(
        "Apple's Virtualization framework",
        "Apple's Virtualization framework has no free page reporting",
        "targetVirtualMachineMemorySize of the VM's balloon device (on the host)",
        re.compile(r"Apple Virtualization"),
    ),
    "VMware": Hypervisor(
        "VMware",
        "VMware has no free page reporting",
        "govc vm.change -vm NAME -mem.limit=MIB (on the host)",
        re.compile(
            r"Hypervisor (?:detected|vendor):\s+VMware|Virtualization: vmware|VMware, Inc\.|VMware Virtual Platform"
            r"|\AVMware\d{1,3},\d"
        ),
    ),
    # What its balloon takes is for other guests of it, and stays taken from the host.
    "VirtualBox": Hypervisor(
        "VirtualBox",
        "VirtualBox has no free page reporting",
        "VBoxManage modifyvm NAME --memory MIB (on the host, while it is off)",
        re.compile(
            r"innotek GmbH VirtualBox|Virtualization: oracle|Hypervisor vendor:\s+Oracle|\AVirtualBox$|\Ainnotek GmbH$"
            r"|(?:Vendor|Manufacturer): {0,8}innotek GmbH"
        ),
    ),
    "bhyve": Hypervisor(
        "bhyve",
        "bhyve has no balloon",
        "bhyve -m SIZE (on the host, at its next start)",
        re.compile(r"FreeBSD BHYVE|Virtualization: bhyve|Hypervisor vendor:\s+bhyve|\ABHYVE$"),
    ),
}
"""By name, the first that is told of before the others."""


def hypervisor_of(text: str) -> str | None:
    """The hypervisor's name that a line of a kernel's log or of sysfs tells of."""
    return next((name for name, each in HYPERVISORS.items() if each.told_by.search(text)), None)

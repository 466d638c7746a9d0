"""What one line of a text tells alone, wherever it stands: the kernel, the hypervisor, how reporting is set."""

import re
from collections.abc import Iterator

from pagehint.diagnosis.evidence import Evidence, architecture_of
from pagehint.diagnosis.hypervisors import hypervisor_of
from pagehint.proc.counters import parse_unused_names

__all__ = ["KERNEL", "PAGE_SIZE", "read_single_lines"]

KERNEL = "the kernel's version"
"""What a line with it is."""
PAGE_SIZE = "the size of a page"
"""The same."""
_MOST_DIGITS = 3  # of an order
_VERSION = re.compile(
    r"(?:Linux version |\buname -r\n|\(GNU/Linux |^Linux (?=\S{1,80} \()"
    r"|Kernel(?: [Vv]ersion)?(?::\s{1,20}|\n)(?:Linux )?"
    r"|\bkernel\.osrelease\s?[=:]\s?|\A(?=\S{1,80}\Z)(?=[^-]{3,20}-))(\d{1,3}\.\d{1,3}\S{0,80})"
    r"|Linux \S{1,80} (\d{1,3}\.\d{1,3}\S{0,80}) #\d|\bBOOT_IMAGE=\S{0,99}/vmlinuz-(\d{1,3}\.\d{1,3}\S{0,80})",
    re.ASCII | re.MULTILINE,
)
# On the line behind it too, as cat, tail and head print it.
_ORDER = re.compile(
    r"(?P<boot>\bpage_reporting\.)?page_reporting_order(?: *(?:[:=] *)?|(?: *<==)?\n(?=\S{1,10}$))"
    r"(?P<order>-1\b|\d{1,10})(?!\d)",
    re.ASCII | re.MULTILINE,
)
# uname's machine, sar's head, and what lscpu prints; whose compiler or host that was is told elsewhere in a line.
_ARCHITECTURE = re.compile(
    r"^(?:.{0,60} )?Linux \S{1,80} \d{1,3}\.\d.{0,200} (?P<uname>\w{4,8})(?: \S{1,40}){0,2} (?:GNU/)?Linux$"
    r"|^Linux \d{1,3}\.\d\S{0,80} \(.{1,120}\s_(?P<sar>\w{4,8}?)_\s|^Architecture: {1,40}(?P<lscpu>[\w-]{4,8})$",
    re.ASCII | re.MULTILINE,
)
_PAGE_SIZE = re.compile(
    r"\bgetconf PAGE_?SIZE\b.{0,40}\n(\d{4,6})$|^PAGE_?SIZE {1,40}(\d{4,6})$", re.ASCII | re.MULTILINE
)
# Also below its name, as cat, tail and head print it, and alone, as a copy of the file has it, with the age of 45 s
# that all kernels have.
_DENTRY_STATE = re.compile(
    r"fs[./]dentry-state(?: *[:=]| *(?:<==)?\n)(?P<named>[-\d ]{11,99})$"
    r"|\A(?P<alone>\d{1,15} +\d{1,15} +45 +0 +\d{1,15} +0)\Z",
    re.ASCII | re.MULTILINE,
)
# Hyper-V's driver, as in WSL2, has words of its own.
_REPORTING_ON = re.compile(
    r"Free page reporting enabled|Cold memory discard hint enabled(?: with order (?P<order>\d{1,2})\b)?", re.ASCII
)


def read_single_lines(evidence: Evidence, text: str, name: str) -> Iterator[str]:
    """Take what one line tells alone into the evidence, and say what each is. O(length)."""
    # Of several boots, the last; what a file is called counts where nothing else tells.
    if versions := _VERSION.findall(text):
        told = [first or other for first, other, _ in versions if first or other]
        evidence.kernel = evidence.kernel or (told[-1] if told else versions[-1][2])
        evidence.kernels += [(told[-1], name)] if told else []
        yield KERNEL
    named = (machine[machine.lastgroup or 0] for machine in _ARCHITECTURE.finditer(text))
    machines = [machine for machine in map(architecture_of, named) if machine is not None]
    sizes = [int(below or beside) for below, beside in _PAGE_SIZE.findall(text)]
    evidence.architecture = machines[-1] if machines else evidence.architecture
    evidence.told_page_size = sizes[-1] if sizes else evidence.told_page_size
    if sizes or (machines and not versions):
        yield PAGE_SIZE
    evidence.hypervisor = evidence.hypervisor or hypervisor_of(text)
    shares = [parse_unused_names(names[names.lastgroup or 0]) for names in _DENTRY_STATE.finditer(text)]
    if known := [share for share in shares if share is not None]:
        evidence.unused_names = known[-1]
        yield "fs.dentry-state"
    found = list(_ORDER.finditer(text))
    orders = [_order(each["order"]) for each in found if not each["boot"]]
    at_boot = [_order(each["order"]) for each in found if each["boot"]]
    if (said := _REPORTING_ON.search(text)) is not None:
        evidence.reporting.on = evidence.reporting.device = True
        if said["order"]:
            evidence.reporting.order = int(said["order"])
        yield "the kernel's word that reporting is on"
    if orders:
        evidence.reporting.order = orders[-1]
        if len(set(orders)) > 1:
            evidence.warnings.append(f"{name}: has the reporting order more than once: the last one counts")
        yield "page_reporting_order"
    if at_boot:
        evidence.reporting.order_at_boot = at_boot[-1]
        yield "page_reporting_order at boot"


# As it reads where nobody set it: None.
def _order(word: str) -> int | None:
    return int(word) if word.isdigit() and len(word) <= _MOST_DIGITS else None

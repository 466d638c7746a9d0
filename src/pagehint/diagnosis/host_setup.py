"""What a VM's command line or configuration on its host says of free page reporting."""

import re

__all__ = ["configured_reporting"]

# QEMU's command line, as words or JSON; libvirt's XML; Firecracker's and Cloud Hypervisor's; WSL's .wslconfig.
_SETTING = re.compile(
    r"\bfree[-_]page[-_]reporting[\"']?\s?[=:]\s?(on|off|true|false)\b|\bfreePageReporting=[\"'](on|off)[\"']"
    r"|^\s{0,9}pageReporting\s{0,9}=\s{0,9}(true|false)\b",
    re.MULTILINE,
)
_BALLOON = re.compile(
    r"(?:-device\s{1,9}|\"driver\": ?\")virtio-balloon\b|<memballoon\s{1,9}model=[\"'](?:virtio|none)\b"
)
_MARKS = "eporting", "virtio-balloon", "<memballoon"


def configured_reporting(text: str) -> bool | None:
    """Whether the VM has a balloon that takes free pages, by the last setting; None where the text tells nothing.

    A balloon whose line doesn't set it has it off. O(length).
    """
    if not any(mark in text for mark in _MARKS):
        return None
    settings = [match[match.lastindex or 0] for match in _SETTING.finditer(text)]
    if settings:
        return settings[-1] in ("on", "true")
    return None if _BALLOON.search(text) is None else False

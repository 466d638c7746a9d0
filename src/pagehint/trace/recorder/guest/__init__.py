"""A guest that is booted under QEMU to be recorded inside and watched outside."""

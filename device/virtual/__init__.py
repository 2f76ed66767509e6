"""The virtual board: an ARM64 machine in QEMU whose clock counts instructions."""

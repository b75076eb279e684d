"""Faults that a study must survive: damaged files, killed processes, full and read-only disks."""

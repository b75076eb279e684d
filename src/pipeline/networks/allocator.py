"""What the C library does with memory that a network on the processor gives back."""

from ctypes import CDLL
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Numbers of `mallopt`'s settings (malloc.h of the GNU C library)."""
FREE, ALONE = 2**28, 2**26
"""Bytes that may lie free at the end of the heap, and of an array that gets pages of its own. More of either
is no faster with images of 64 pixels, and takes more memory with larger ones."""


@cache
def keep_freed() -> bool:
    """Let this process keep what is freed for the next array, and tell whether its C library can be asked to.

    The GNU library otherwise gives arrays of 32 MiB and more back to the system at once, and the ends of its heaps with
    them. Every layer of a batch then gets fresh pages, each of which the system fills with zeros first: 140,000 pages
    and a third of the processor's time for 32 images of 64 pixels through the tiny autoencoder of FLUX.2.

    What it costs is memory, whatever the number of images: 48 of 512 pixels through `kl` take 864 to 962 MB and 5.0 s
    of a processor, and 761 MB and 10.7 s where nothing is kept. With a heap for each thread it would be more.
    """
    mallopt = getattr(CDLL(None), "mallopt", None)
    settings = {TRIM_THRESHOLD: FREE, MMAP_THRESHOLD: ALONE, ARENA_MAX: 1}
    return mallopt is not None and all(mallopt(*setting) for setting in settings.items())

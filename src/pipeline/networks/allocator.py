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

    All threads share one heap: with one for each, encoding images of 512 pixels with `kl` took 871 MB, and so it takes
    745 to 811; it takes 688 where nothing is kept.
    """
    mallopt = getattr(CDLL(None), "mallopt", None)
    settings = {TRIM_THRESHOLD: FREE, MMAP_THRESHOLD: ALONE, ARENA_MAX: 1}
    return mallopt is not None and all(mallopt(*setting) for setting in settings.items())

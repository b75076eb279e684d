"""Networks, the libraries that hold them, and what families share.

`patches` and `folder` import no torch; everything else here does, so only `load` and training reach it.
"""

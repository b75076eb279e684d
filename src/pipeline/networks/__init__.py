"""Networks and the libraries that hold them. Everything here imports torch, so only `load` and training reach it."""

"""Networks, the libraries that hold them, and what families share.

`patches`, `folder`, `finite`, `cosine`, `jpeg_blocks` and `jpeg_files` are NumPy and Pillow at most; `onnx_graphs` and
`onnx_pair` import ONNX Runtime, which the `onnx` family needs to know its shapes; everything else here imports torch,
so only `load` and training reach it.
"""

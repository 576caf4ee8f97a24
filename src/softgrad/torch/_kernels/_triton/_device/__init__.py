"""The functions that Triton compiles for the device: the kernels `rows`, `finish` and `scale`, and what they call."""

"""softgrad's kernels on a CUDA GPU: how exact, how fast, how much memory, in under five minutes.

Run it from a clone, in whose environment softgrad, torch with CUDA, and Triton are installed::

    python -m benchmarks.gpu --output gpu.jsonl
    python -m benchmarks.gpu --part speed --classes 1000 --classes 50257
    python -m benchmarks.gpu --help                  # all options

The parts show

exact
    the largest errors of every function in units in the last place, beside exact results computed on the GPU in
    float64; labels that are no classes, CUDA graphs, streams, synchronisation, more than 2³¹ logits.
speed
    every kernel as a share of the rate of torch's copy; loss with backward beside torch and other libraries.
linear
    the loss of a linear head with backward beside its three matrix products, torch and other libraries: time, memory.
launch
    the time of a call on the host.

The exit code is 1 if a result is wrong, and 2 if there is no GPU. README.md explains the figures.
"""

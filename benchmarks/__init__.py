"""softgrad beside its peers on this machine: how fast, how exact, how much memory.

Run it from a clone, in whose environment softgrad is installed with its peers (``pip install '.[bench]'``)::

    python -m benchmarks                             # the suite "core"
    python -m benchmarks --suite accuracy --json
    python -m benchmarks --help                      # all options

The suites show

core
    softmax, and cross-entropy with its gradient: times beside torch, JAX, SciPy and one copy of the logits.
curvature
    Hessian- and Jacobian-vector products and eigenvalues: times beside torch, JAX and NumPy.
accuracy
    the largest errors in units in the last place, over families of rows.
regression
    fits of softmax regression beside scikit-learn: time until they are as good, passes over the data, memory.
torch
    ``softgrad.torch`` beside torch's own functions, through autograd: time and memory.
parallel
    ``softgrad.torch.parallel`` on two ranks beside torch's ``loss_parallel``: time, memory and bytes on the wire.
jax
    ``softgrad.jax`` beside the functions of jax.nn and the loss as Optax writes it, compiled: time and memory.
load
    several threads beside one, also while another process keeps a core busy, and from which size they pay.
dask
    ``softgrad.dask`` beside fits in memory and dask-ml, the cost of a pass, and rows larger than the workers' memory.

Every result is compared with one in higher precision before it is timed; in "load", with that of one thread, and in
"dask" with the fit in memory.
README.md explains the tables.
"""

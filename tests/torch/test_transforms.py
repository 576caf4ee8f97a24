"""torch.func and its nestings, against torch's own functions."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, stack_module_state, vjp, vmap

import softgrad.torch as st
from tests.torch import pairs

X, LABELS, PROBS, WEIGHT = pairs.tensors()
TANGENT = pairs.tensors(seed=1)[0]
BATCH = torch.stack([pairs.tensors(seed=seed)[0] for seed in (2, 3, 4)])
LABELS_BATCH = torch.tensor([[0, 1, 4, 2], [3, -100, 2, 2], [1, 0, 0, -100]])
PROBS_BATCH = torch.stack([pairs.tensors(seed=seed)[2] for seed in (2, 3, 4)])

TRANSFORMS = {
    "grad": lambda f: grad(f)(X),
    "jacrev": lambda f: jacrev(f)(X),
    "jacfwd": lambda f: jacfwd(f)(X),
    "jacrev in chunks": lambda f: jacrev(grad(f), chunk_size=3)(X),
    "hessian": lambda f: hessian(f)(X),
    "reverse over reverse": lambda f: jacrev(jacrev(f))(X),
    "forward over forward": lambda f: jacfwd(jacfwd(f))(X),
    "reverse over forward": lambda f: jacrev(jacfwd(f))(X),
    "grad of grad": lambda f: grad(lambda x: grad(f)(x).square().sum())(X),
    "third": lambda f: jacfwd(jacrev(jacrev(f)))(X),
    "third, forward": lambda f: jacfwd(jacfwd(jacfwd(f)))(X[:2, :3]) if f.any_shape else (),
    "third, reverse": lambda f: grad(lambda x: hessian(f)(x).square().sum())(X),
    "jvp": lambda f: jvp(f, (X,), (TANGENT,)),
    "jvp of jvp": lambda f: jvp(lambda x: jvp(f, (x,), (TANGENT,))[1], (X,), (TANGENT,)),
    "vjp": lambda f: vjp(f, X)[1](torch.tensor(-2.0, dtype=X.dtype)),
    "hvp": lambda f: jvp(grad(f), (X,), (TANGENT,)),
    "vjp of grad": lambda f: vjp(grad(f), X)[1](TANGENT),
    "linearize": lambda f: linearize(f, X)[1](TANGENT),
    "linearize grad": lambda f: linearize(grad(f), X)[1](TANGENT),
    "vmap": lambda f: vmap(f)(BATCH),
    "vmap in chunks": lambda f: vmap(f, chunk_size=2)(BATCH),
    "vmap, last dimension": lambda f: vmap(f, in_dims=2)(BATCH.permute(1, 2, 0)),
    "vmap of vmap": lambda f: vmap(vmap(f))(torch.stack([BATCH, -BATCH])),
    "vmap of grad": lambda f: vmap(grad(f), out_dims=1)(BATCH),
    "vmap of jvp": lambda f: vmap(lambda x: jvp(f, (x,), (TANGENT,)))(BATCH),
    "vmap of hvp": lambda f: vmap(lambda t: jvp(grad(f), (X,), (t,))[1])(BATCH),
    "vmap of hessian": lambda f: vmap(hessian(f))(BATCH),
    "grad of vmap": lambda f: grad(lambda x: vmap(f)(x).square().sum())(BATCH),
    "jacfwd of vmap": lambda f: jacfwd(vmap(f))(BATCH),
}


class Bound:
    """A scalar function of logits, by one of the modules."""

    def __init__(self, f, module, any_shape):
        self.f, self.module, self.any_shape = f, module, any_shape

    def __call__(self, x):
        return self.f(self.module, x)


# torch.func.linearize itself warns, whatever it goes through.
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")
@pytest.mark.parametrize("name", pairs.scalars())
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_transforms(transform, name):
    f = pairs.scalars()[name]
    any_shape = "labels" not in name and "probs" not in name
    ours, theirs = (transform(Bound(f, module, any_shape)) for module in pairs.BOTH)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


REDUCTIONS = ("mean", "sum", "none")
# What is batched, in which dimension: logits, target, weight.
BATCHED = {
    "logits": (0, None, None),
    "target": (None, 0, None),
    "logits and target": (0, 0, None),
    "weight": (None, None, 0),
    "logits and weight": (0, None, 0),
    "all": (0, 0, 0),
    "all, elsewhere": (2, 1, 1),
}


def batched(in_dims, of_labels):
    targets = LABELS_BATCH if of_labels else PROBS_BATCH
    weights = 0.5 + torch.rand(3, pairs.CLASSES, dtype=X.dtype, generator=torch.Generator().manual_seed(0))
    choices = [(X, BATCH), (LABELS if of_labels else PROBS, targets), (WEIGHT, weights)]
    return [
        alone if dim is None else batch.movedim(0, dim).contiguous()
        for (alone, batch), dim in zip(choices, in_dims, strict=True)
    ]


def one_by_one(f, in_dims, *tensors):
    rows = [
        f(*(t if dim is None else t.select(dim, i) for t, dim in zip(tensors, in_dims, strict=True))) for i in range(3)
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("of_labels", [True, False], ids=["labels", "probs"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("in_dims", BATCHED.values(), ids=BATCHED.keys())
def test_vmap_over_any_argument(in_dims, reduction, of_labels):
    tensors = batched(in_dims, of_labels)
    options = dict(reduction=reduction, label_smoothing=0.1, z_loss=0.2)

    def loss(module, x, y, w):
        return pairs.cross_entropy(module, x, y, w, **options)

    expected = one_by_one(lambda *t: loss(F, *t), in_dims, *tensors)
    got = vmap(lambda *t: loss(st, *t), in_dims)(*tensors)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-14)

    def gradient(module):
        return grad(lambda x, y, w: loss(module, x, y, w).sin().sum())

    expected = one_by_one(gradient(F), in_dims, *tensors)
    torch.testing.assert_close(vmap(gradient(st), in_dims)(*tensors), expected, rtol=1e-12, atol=1e-14)

    def product(module):
        return lambda *t: jvp(lambda x: gradient(module)(x, *t[1:]), (t[0],), (TANGENT,))[1]

    expected = one_by_one(product(F), in_dims, *tensors)
    torch.testing.assert_close(vmap(product(st), in_dims)(*tensors), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_per_sample_gradients(reduction):
    for target in (LABELS, PROBS):

        def gradients(module, target=target):
            per_sample = grad(lambda x, y: pairs.cross_entropy(module, x, y, WEIGHT, reduction=reduction))
            return vmap(per_sample)(X, target)

        torch.testing.assert_close(gradients(st), gradients(F), rtol=1e-12, atol=1e-14, equal_nan=True)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_vmap_of_softmax_in_other_dimensions(dim):
    moved = BATCH.permute(1, 0, 2)
    for name in ("softmax", "log_softmax"):
        ours, theirs = (
            vmap(lambda x, m=module, name=name: getattr(m, name)(x, dim), in_dims=1, out_dims=2)(moved)
            for module in pairs.BOTH
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-15)
    ours, theirs = (
        vmap(lambda x, m=module: pairs.logsumexp(m, x, dim, keepdim=True), in_dims=1)(moved) for module in pairs.BOTH
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("transform", [grad, jacrev, jacfwd, hessian])
def test_with_respect_to_targets_and_weights(transform):
    def derivatives(module, options):
        f = lambda q, w: pairs.cross_entropy(module, X, q, w, **options)  # noqa: E731
        return transform(f, argnums=(0, 1))(PROBS, WEIGHT)

    for options in (dict(reduction="mean"), dict(reduction="sum", label_smoothing=0.2, z_loss=0.1)):
        torch.testing.assert_close(derivatives(st, options), derivatives(F, options), rtol=1e-11, atol=1e-13)


def test_with_respect_to_the_weights_of_labels():
    kept = LABELS != -100
    of_label = F.log_softmax(X, 1)[kept, LABELS[kept]]

    def definition(w):
        w = w[LABELS[kept]]
        return -(w * of_label).sum() / w.sum()

    for transform in (grad, jacfwd, hessian):
        got = transform(lambda w: st.cross_entropy(X, LABELS, w))(WEIGHT)
        torch.testing.assert_close(got, transform(definition)(WEIGHT), rtol=1e-11, atol=1e-13)


def test_aux_and_several_arguments():
    (of_x, of_q), (loss, probs) = grad(
        lambda x, q: ((loss := st.cross_entropy(x, q)), (loss, st.softmax(x, 1))), argnums=(0, 1), has_aux=True
    )(X, PROBS)
    torch.testing.assert_close((of_x, of_q), grad(F.cross_entropy, argnums=(0, 1))(X, PROBS))
    torch.testing.assert_close((loss, probs), (F.cross_entropy(X, PROBS), F.softmax(X, 1)))


def test_per_sample_gradients_of_a_network():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 5)).double()
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.arange(7) % 5
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def per_sample(module):
        def loss(parameters, x, y):
            return module.cross_entropy(functional_call(net, parameters, (x[None],)), y[None])

        return vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)

    torch.testing.assert_close(per_sample(st), per_sample(F), rtol=1e-12, atol=1e-14)


def test_an_ensemble_of_networks():
    torch.manual_seed(0)
    nets = [torch.nn.Linear(3, 5).double() for _ in range(4)]
    parameters, buffers = stack_module_state(nets)
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.arange(7) % 5

    def losses(module):
        def loss(parameters, buffers):
            return module.cross_entropy(functional_call(nets[0], (parameters, buffers), (x,)), y)

        return vmap(grad(loss))(parameters, buffers)

    torch.testing.assert_close(losses(st), losses(F), rtol=1e-12, atol=1e-14)


def test_autograd_through_a_transform():
    gradients = []
    for module in pairs.BOTH:
        x = X.clone().requires_grad_()
        inner = grad(lambda x, m=module: m.cross_entropy(x, LABELS))(x)
        gradients.append(torch.autograd.grad(inner.square().sum(), x)[0])
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes(dtype):
    x, target = X.to(dtype), LABELS
    for transform in (grad, hessian, jacfwd):
        got = transform(lambda x: st.cross_entropy(x, target))(x)
        assert got.dtype == dtype
        exact = transform(lambda x: F.cross_entropy(x, target))(x.double())
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(got.double(), exact, rtol=8 * eps, atol=eps)


@pytest.mark.parametrize("randomness", ["error", "same"])
def test_labels_out_of_range_under_vmap(randomness):
    labels = LABELS_BATCH.clone()
    labels[1, 2] = 5
    with pytest.raises(IndexError, match="5"):
        vmap(lambda y: st.cross_entropy(X, y), randomness=randomness)(labels)
    with pytest.raises(IndexError, match="5"):
        vmap(grad(st.cross_entropy), (None, 0))(X, labels)

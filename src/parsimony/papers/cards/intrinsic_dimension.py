# Long because every figure of the paper's tables is a claim of its own.
"""Measuring the Intrinsic Dimension of Objective Landscapes."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import count

if TYPE_CHECKING:
    import torch
    from torch import nn

CARD = {
    "slug": "intrinsic-dimension",
    "title": "Measuring the Intrinsic Dimension of Objective Landscapes",
    "authors": ("Li", "Farkhoor", "Liu", "Yosinski"),
    "year": 2018,
    "arxiv": "1804.08838",
    "venue": "ICLR 2018",
    "areas": ("adapt",),
    "mechanism": "adapt/subspace",
    "summary": (
        "Finds how many parameters a problem really needs by training inside random subspaces "
        "of growing size."
    ),
    "official_code": ("uber-research/intrinsic-dimension",),
    "licence": None,
}

# Mean scores by d of the curves that the authors' notebooks hold (uber-research/
# intrinsic-dimension), around the points where they cross; 0 is direct training.
CURVES = {
    "mnist_fc": {
        0: 0.9758,
        450: 0.8593,
        475: 0.8687,
        500: 0.8691,
        525: 0.8816,
        550: 0.8851,
        575: 0.8808,
        675: 0.8945,
        700: 0.8982,
        725: 0.8967,
        750: 0.9022,
        775: 0.9003,
        800: 0.908,
    },
    "mnist_lenet": {
        0: 0.99083,
        225: 0.86957,
        250: 0.8867,
        260: 0.88923,
        275: 0.89793,
        290: 0.90123,
        300: 0.903,
        310: 0.90167,
    },
    "mnist_untied_lenet": {
        0: 0.986,
        375: 0.8626,
        400: 0.8611,
        425: 0.8796,
        450: 0.8887,
        475: 0.8915,
        500: 0.8861,
        550: 0.8886,
        600: 0.9001,
        700: 0.9039,
        800: 0.9106,
    },
    "cifar_lenet": {
        0: 0.58397,
        100: 0.22947,
        500: 0.38397,
        750: 0.42483,
        1000: 0.46273,
        1250: 0.4775,
        1500: 0.4904,
        2500: 0.51723,
        2600: 0.5209,
        2750: 0.5243,
        2900: 0.53407,
        3000: 0.53223,
        4000: 0.55717,
    },
    "cifar_untied_lenet": {
        0: 0.6112,
        2000: 0.4303,
        2250: 0.4334,
        2500: 0.4465,
        2750: 0.4503,
        3000: 0.4571,
        3500: 0.4649,
        12000: 0.5404,
        13000: 0.5406,
        14000: 0.5406,
        15000: 0.5508,
    },
    "mnist_sl100_fc5": {
        0: 0.99444,
        160000: 0.80814,
        170000: 0.84078,
        180000: 0.87192,
        190000: 0.90398,
        200000: 0.92432,
        210000: 0.94128,
    },
    "cartpole_v0_w20": {
        0: 195.194,
        22: 164.206,
        23: 127.96,
        24: 146.934,
        25: 177.24,
        30: 184.794,
        35: 195.266,
    },
}


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with require("torch", "adapt").device("meta"):
        return build()


def dense_net(*widths: int) -> nn.Module:
    """Fully connected layers with ReLU between them."""
    nn = require("torch.nn", "adapt")
    layers = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layers += [nn.ReLU(), nn.Linear(inputs, outputs)] if i else [nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers)


def lenet(channels: int, side: int) -> nn.Module:
    """Two convolutions with 6 and 16 filters of 5 x 5, then 120, 84 and 10 units.

    Args:
        channels: of the image.
        side: of what the second pooling leaves.
    """
    nn = require("torch.nn", "adapt")
    convolutions = [nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5)]
    return nn.Sequential(*convolutions, dense_net(16 * side * side, 120, 84, 10))


def untied_lenet() -> nn.Module:
    """LeNet for 28 x 28 with a filter of its own at each of 24 x 24 and 8 x 8 places."""
    nn = require("torch.nn", "adapt")
    first = [nn.Linear(25, 6) for _ in range(24 * 24)]
    second = [nn.Linear(6 * 25, 16) for _ in range(8 * 8)]
    return nn.Sequential(*first, *second, dense_net(16 * 4 * 4, 120, 84, 10))


def squeezenet() -> nn.Module:
    """SqueezeNet 1.0: eight fire modules of a squeezing and two expanding convolutions."""
    nn = require("torch.nn", "adapt")
    layers, inputs = [nn.Conv2d(3, 96, 7)], 96
    for squeeze, expand in zip((16, 16, 32, 32, 48, 48, 64, 64), _EXPAND, strict=True):
        layers += [nn.Conv2d(inputs, squeeze, 1), nn.Conv2d(squeeze, expand, 1)]
        layers += [nn.Conv2d(squeeze, expand, 3)]
        inputs = 2 * expand
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1000, 1))


_EXPAND = (64, 64, 128, 128, 192, 192, 256, 256)


def _published(
    curve: str, baseline: float | None = None, threshold: float | None = None
) -> Measurement:
    from parsimony.adapt.intrinsic_dimension import intrinsic_dimension

    found = intrinsic_dimension(CURVES[curve].items(), baseline=baseline, threshold=threshold)
    assert found.dimension is not None
    return Measurement(
        found.dimension,
        note=f"first tested d above {found.threshold:.4g} in the authors' curve; "
        f"d = {found.below} fails",
    )


@claim(
    name="mnist-fc-parameters",
    statement="The 784-200-200-10 network has this many parameters.",
    published=199_210,
    published_text="the official README prints 986,643 (wrong)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def mnist_fc_parameters() -> Measurement:
    return count(_on_meta(lambda: dense_net(784, 200, 200, 10)), "weights and biases")


@claim(
    name="mnist-lenet-parameters",
    statement="LeNet for MNIST (6 and 16 5 x 5 filters, 120, 84, 10).",
    published=44_426,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def mnist_lenet_parameters() -> Measurement:
    return count(_on_meta(lambda: lenet(1, 4)), "weights and biases")


@claim(
    name="cifar-lenet-parameters",
    statement="LeNet for CIFAR-10.",
    published=62_006,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def cifar_lenet_parameters() -> Measurement:
    return count(_on_meta(lambda: lenet(3, 5)), "weights and biases")


@claim(
    name="mnist-fc5-parameters",
    statement="Five hidden layers of 400 on MNIST.",
    published=959_610,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def mnist_fc5_parameters() -> Measurement:
    return count(
        _on_meta(lambda: dense_net(784, 400, 400, 400, 400, 400, 10)), "weights and biases"
    )


@claim(
    name="cifar-fc-parameters",
    statement="The 3072-400-400-10 network on CIFAR-10.",
    published=1_393_610,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def cifar_fc_parameters() -> Measurement:
    return count(_on_meta(lambda: dense_net(3072, 400, 400, 10)), "weights and biases")


@claim(
    name="untied-lenet-parameters",
    statement="LeNet for MNIST with weights of its own at every position.",
    published=286_334,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def untied_lenet_parameters() -> Measurement:
    return count(_on_meta(lambda: untied_lenet()), "weights and biases")


@claim(
    name="squeezenet-parameters",
    statement="SqueezeNet for 1,000 classes.",
    published=1_248_424,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def squeezenet_parameters() -> Measurement:
    return count(_on_meta(lambda: squeezenet()), "weights and biases")


@claim(
    name="mnist-fc-global",
    statement="d_int90 of a 784-200-200-10 network on MNIST, against the common baseline 1.",
    published=750,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def mnist_fc_global() -> Measurement:
    return _published("mnist_fc", baseline=1.0)


@claim(
    name="mnist-fc-local",
    statement="d_int90 of a 784-200-200-10 network on MNIST, against its own direct training.",
    published=525,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def mnist_fc_local() -> Measurement:
    return _published("mnist_fc")


@claim(
    name="mnist-lenet-global",
    statement="d_int90 of LeNet on MNIST, against the common baseline 1.",
    published=290,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def mnist_lenet_global() -> Measurement:
    return _published("mnist_lenet", baseline=1.0)


@claim(
    name="mnist-lenet-local",
    statement="d_int90 of LeNet on MNIST, against its own direct training.",
    published=275,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def mnist_lenet_local() -> Measurement:
    return _published("mnist_lenet")


@claim(
    name="mnist-untied-global",
    statement="d_int90 of untied LeNet on MNIST, against the common baseline 1.",
    published=600,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def mnist_untied_global() -> Measurement:
    return _published("mnist_untied_lenet", baseline=1.0)


@claim(
    name="mnist-untied-local",
    statement="d_int90 of untied LeNet on MNIST, against its own direct training.",
    published=450,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def mnist_untied_local() -> Measurement:
    return _published("mnist_untied_lenet")


@claim(
    name="cifar-lenet-global",
    statement="d_int90 of LeNet on CIFAR-10, against the common baseline 0.5.",
    published=1_000,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def cifar_lenet_global() -> Measurement:
    return _published("cifar_lenet", baseline=0.5)


@claim(
    name="cifar-lenet-local",
    statement="d_int90 of LeNet on CIFAR-10, against its own direct training.",
    published=2_900,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def cifar_lenet_local() -> Measurement:
    return _published("cifar_lenet")


@claim(
    name="cifar-untied-global",
    statement="d_int90 of untied LeNet on CIFAR-10, against the common baseline 0.5.",
    published=2_750,
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def cifar_untied_global() -> Measurement:
    return _published("cifar_untied_lenet", baseline=0.5)


@claim(
    name="cifar-untied-local",
    statement="d_int90 of untied LeNet on CIFAR-10, against its own direct training.",
    published=15_000,
    published_text="15,000; a summary table says 9,000",
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def cifar_untied_local() -> Measurement:
    return _published("cifar_untied_lenet")


@claim(
    name="shuffled-labels",
    statement="Dimension at which five layers of 400 learn all 50,000 shuffled labels.",
    published=190_000,
    published_text="190,000, tested against 0.89 as the official cells are",
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def shuffled_labels() -> Measurement:
    return _published("mnist_sl100_fc5", threshold=0.89)


@claim(
    name="shuffled-labels-per-label",
    statement="Parameters per label when all 50,000 labels are shuffled.",
    published=3.8,
    source="paper",
    unit="parameters per label",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def shuffled_labels_per_label() -> Measurement:
    found = _published("mnist_sl100_fc5", threshold=0.89)
    return Measurement(found.value / 50_000, note=found.note)


@claim(
    name="labels-10-percent",
    statement="Parameters per shuffled label when 10 % of the labels are shuffled.",
    published=18.0,
    source="paper",
    unit="parameters per label",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def labels_10_percent() -> Measurement:
    return Measurement(90_000 / 5_000, note="quotient of the published dimension and labels")


@claim(
    name="labels-50-percent",
    statement="Parameters per shuffled label when 50 % of the labels are shuffled.",
    published=5.2,
    source="paper",
    unit="parameters per label",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def labels_50_percent() -> Measurement:
    return Measurement(130_000 / 25_000, note="quotient of the published dimension and labels")


@claim(
    name="cartpole",
    statement="Dimension at which a network of width 20 passes 0.9 of a reward of 195 on CartPole.",
    published=25,
    published_text="25, with a reward of 177.24",
    source="official data",
    unit="dimensions",
    direction="equal",
    level="exact",
)
def cartpole() -> Measurement:
    return _published("cartpole_v0_w20", baseline=195.0)


@claim(
    name="mnist-fc-compression",
    statement="Share of the parameters of the MNIST network that its d_int90 does without.",
    published=0.996235,
    source="official code",
    unit="share",
    direction="equal",
    level="exact",
    tolerance=5e-7,
)
def mnist_fc_compression() -> Measurement:
    found = _published("mnist_fc", baseline=1.0)
    size = count(_on_meta(lambda: dense_net(784, 200, 200, 10)), "").value
    return Measurement((size - found.value) / size, note="(D - d) / D")


@claim(
    name="dense-memory-mnist",
    statement="A dense P for the MNIST network at d = 750 takes this much memory in fp32.",
    published=597.6,
    source="derived",
    unit="MB",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def dense_memory_mnist() -> Measurement:
    return _stored("dense", 199_210, 750)


@claim(
    name="dense-memory-cifar",
    statement="A dense P for LeNet on CIFAR-10 at d = 2,900 takes this much memory in fp32.",
    published=719.3,
    source="derived",
    unit="MB",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def dense_memory_cifar() -> Measurement:
    return _stored("dense", 62_006, 2900)


def _stored(kind: str, size: int, d: int) -> Measurement:
    from parsimony.adapt.methods.subspace import projection

    stored = projection(kind, [size], d).stored_bytes()
    return Measurement(stored / 1e6, note=f"tensors that stand for a {kind} P")


@claim(
    name="hadamard",
    statement="The Walsh-Hadamard transform of (1,0,1,0,0,1,1,0) is (4,2,0,-2,0,2,0,2).",
    published=0,
    source="official code",
    unit="entries that differ",
    direction="equal",
    level="exact",
)
def hadamard() -> Measurement:
    from parsimony.adapt.methods.subspace import walsh_hadamard

    torch = require("torch", "adapt")
    found = walsh_hadamard(torch.tensor([1.0, 0, 1, 0, 0, 1, 1, 0]))
    wrong = (found != torch.tensor([4.0, 2, 0, -2, 0, 2, 0, 2])).sum()
    return Measurement(int(wrong), note=f"found {found.int().tolist()}")


@claim(
    name="fastfood-length",
    statement="Columns of fastfood at D = 6,310 have length one on average.",
    published=0.999,
    published_text="0.999 with a deviation of 0.004 over 20 columns",
    source="derived",
    unit="mean length",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def fastfood_length() -> Measurement:
    return Measurement(_lengths().mean().item(), note="20 of 300 columns, N = 8,192")


@claim(
    name="fastfood-deviation",
    statement="Columns of fastfood at D = 6,310 differ little in length.",
    published=0.004,
    source="derived",
    unit="deviation of lengths",
    direction="equal",
    level="exact",
    tolerance=0.004,
)
def fastfood_deviation() -> Measurement:
    return Measurement(_lengths().std().item(), note="20 of 300 columns, N = 8,192")


def _lengths() -> torch.Tensor:
    from parsimony.adapt.methods.subspace import projection

    made = projection("fastfood", [6310], 300)
    torch = require("torch", "adapt")
    return torch.stack([made(row).norm() for row in torch.eye(300)[:20]])


@claim(
    name="toy-nine",
    statement="Ten sums of a hundred parameters cannot all be met in nine dimensions.",
    published=0.00005,
    source="derived",
    unit="exp(-loss)",
    direction="at most",
    level="exact",
    tolerance=0.1,
)
def toy_nine() -> Measurement:
    return Measurement(_toy(9, 0, "dense"), note="dense P, the least loss in the subspace")


@claim(
    name="toy-ten",
    statement="Ten sums of a hundred parameters can all be met in ten dimensions.",
    published=1.0,
    source="paper",
    unit="exp(-loss)",
    direction="equal",
    level="exact",
    tolerance=1e-4,
)
def toy_ten() -> Measurement:
    return Measurement(_toy(10, 0, "dense"), note="dense P, the least loss in the subspace")


@claim(
    name="toy",
    statement="The toy problem has intrinsic dimension ten under every kind of projection.",
    published=10,
    source="paper",
    unit="dimensions",
    direction="equal",
    level="cpu",
)
def toy() -> Measurement:
    from parsimony.adapt.intrinsic_dimension import measure_intrinsic_dimension
    from parsimony.adapt.methods.subspace import PROJECTIONS

    found = {}
    for kind in PROJECTIONS:
        measured = measure_intrinsic_dimension(
            lambda d, seed, kind=kind: _toy(d, seed, kind), 1000, grid=[9, 10], seeds=(0, 1, 2)
        )
        found[kind] = measured.found.dimension
    wrong = [kind for kind, d in found.items() if d != 10]
    d = found[wrong[0]] if wrong else 10
    return Measurement(float("nan") if d is None else d, note=f"3 seeds each: {found}")


def _toy(d: int, seed: int, kind: str) -> float:
    """exp(-loss) at the least loss; it is quadratic, so LBFGS finds it."""
    import math

    from parsimony.adapt.methods.subspace import Subspace

    torch = require("torch", "adapt")

    class Sums(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            random = torch.Generator().manual_seed(seed)
            self.values = torch.nn.Parameter(torch.randn(10, 100, generator=random))

        def forward(self) -> torch.Tensor:
            return (self.values.sum(1) - torch.arange(1.0, 11)).square().sum()

    model = Subspace(Sums(), d, kind, seed) if d else Sums()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(trained, max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = model()
        value.backward()
        return value

    optimizer.step(loss)
    return math.exp(-model().item())


@claim(
    name="digits",
    statement="scikit-learn's digits need 100 to 150 dimensions of a network of 6,310 parameters.",
    published=125,
    published_text="between 100 and 150",
    source="derived",
    unit="dimensions",
    direction="equal",
    level="cpu",
    tolerance=25,
)
def digits() -> Measurement:
    return _digits_dimension(50, (100, 125, 150), seeds=(0, 1))


@claim(
    name="digits-wide",
    statement="A network with nine times the parameters needs at most twice the dimensions.",
    published=250,
    published_text="within a factor of 1.5 to 2 of the small network's",
    source="derived",
    unit="dimensions",
    direction="at most",
    level="cpu",
)
def digits_wide() -> Measurement:
    return _digits_dimension(200, (75, 150, 250), seeds=(0,))


@claim(
    name="digits-d100",
    statement="Accuracy on digits in 100 dimensions of the network of 6,310 parameters.",
    published=0.862,
    source="derived",
    unit="accuracy",
    direction="equal",
    level="cpu",
    tolerance=0.03,
)
def digits_d100() -> Measurement:
    return _digits_at(100)


@claim(
    name="digits-d300",
    statement="Accuracy on digits in 300 dimensions of the network of 6,310 parameters.",
    published=0.951,
    source="derived",
    unit="accuracy",
    direction="equal",
    level="cpu",
    tolerance=0.03,
)
def digits_d300() -> Measurement:
    return _digits_at(300)


@claim(
    name="digits-d10",
    statement="Accuracy on digits in 10 dimensions of the network of 6,310 parameters.",
    published=0.153,
    source="derived",
    unit="accuracy",
    direction="equal",
    level="cpu",
    tolerance=0.05,
)
def digits_d10() -> Measurement:
    return _digits_at(10)


@claim(
    name="all-dimensions",
    statement="In as many orthonormal dimensions as parameters, training reaches at least what "
    "it does directly.",
    published=0.0,
    source="derived",
    unit="difference of accuracies",
    direction="at least",
    level="cpu",
    tolerance=0.01,
)
def all_dimensions() -> Measurement:
    direct, whole = (_digits(d, 0, 16, "orthonormal", rate=0.005) for d in (0, 1482))
    return Measurement(whole - direct, note=f"{whole:.3f} against {direct:.3f}, D = d = 1,482")


@claim(
    name="fastfood-as-good",
    statement="At equal d, fastfood reaches the accuracy of a dense projection.",
    published=0.0,
    source="derived",
    unit="difference of accuracies",
    direction="equal",
    level="cpu",
    tolerance=0.02,
)
def fastfood_as_good() -> Measurement:
    mean = {
        kind: sum(_digits(150, seed, 50, kind) for seed in (0, 1)) / 2
        for kind in ("fastfood", "dense")
    }
    apart = mean["fastfood"] - mean["dense"]
    return Measurement(apart, note=f"d = 150, 2 seeds each: {mean}")


@claim(
    name="fastfood-memory",
    statement="Fastfood at D = 5 million and d = 50,000 trains in less than 1 GB, where a dense "
    "P takes 1 TB.",
    published=1.0,
    source="derived",
    unit="GB",
    direction="at most",
    level="cpu",
)
def fastfood_memory() -> Measurement:
    import subprocess
    import sys

    # A process of its own: the peak of this one has other things in it.
    code = (
        "import resource, torch\n"
        "from parsimony.adapt.methods.subspace.module import Subspace\n"
        "model = Subspace(torch.nn.Linear(2500, 2000, bias=False), 50_000, 'fastfood')\n"
        "model(torch.ones(4, 2500)).square().sum().backward()\n"
        "assert model.D == 5_000_000 and model.v.grad.any()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    ran = subprocess.run(  # noqa: S603 - our own interpreter on our own text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    peak = int(ran.stdout) * 1024 / 1e9
    return Measurement(peak, note="peak resident memory of a process, forward and backward")


def _digits_at(d: int) -> Measurement:
    scores = [_digits(d, seed, 50, "dense") for seed in (0, 1)]
    return Measurement(sum(scores) / 2, note=f"2 seeds: {scores[0]:.3f}, {scores[1]:.3f}")


def _digits_dimension(width: int, grid: tuple[int, ...], seeds: tuple[int, ...]) -> Measurement:
    from parsimony.adapt.intrinsic_dimension import measure_intrinsic_dimension

    measured = measure_intrinsic_dimension(
        lambda d, seed: _digits(d, seed, width, "dense"), 10**6, grid=grid, seeds=seeds
    )
    means = measured.curve.groupby("d")["score"].mean().round(3).to_dict()
    found = measured.found.dimension
    return Measurement(float("nan") if found is None else found, note=f"accuracies {means}")


def _digits(d: int, seed: int, width: int, kind: str, rate: float | None = None) -> float:
    """Test accuracy of a 64-width-width-10 network after 40 epochs of batches of 32."""
    from parsimony.adapt.methods.subspace import Subspace
    from parsimony.core.training import TrainSettings, train

    torch = require("torch", "adapt")
    nn, functional = torch.nn, torch.nn.functional
    images, labels = require("sklearn.datasets", "adapt").load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(images / 16, dtype=torch.float32)[order], torch.tensor(labels)[order]
    torch.manual_seed(seed)
    net = dense_net(64, width, width, 10)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    class WithLoss(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.net(x)
            return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    model = Subspace(WithLoss(), d, kind, seed) if d else WithLoss()
    rows = [{"x": x[i], "labels": y[i]} for i in range(1297)]
    settings = TrainSettings(rate or (0.05 if d else 0.003), 41 * 40, batch_size=32, seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        train(model, rows, torch.utils.data.default_collate, settings, Path(scratch), keep=False)
    model.eval()
    with torch.no_grad():
        found = model(x[1297:], y[1297:])["logits"].argmax(1)
    return float((found == y[1297:]).float().mean())

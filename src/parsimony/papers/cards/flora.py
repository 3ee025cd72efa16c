"""FLoRA: Low-Rank Core Space for N-dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build, count

if TYPE_CHECKING:
    from torch import nn

CARD = {
    "slug": "flora",
    "title": "FLoRA: Low-Rank Core Space for N-dimension",
    "authors": ("C. Si", "X. Wang", "X. Yang", "Z. Xu", "others"),
    "year": 2024,
    "arxiv": "2405.14739",
    "venue": "ICLR 2025",
    "areas": ("adapt",),
    "mechanism": "adapt/flora",
    "summary": (
        "Adapts linear and convolution weights with a small core tensor and one thin matrix "
        "per axis, so that kernels keep their shape."
    ),
    "official_code": ("SJTU-DeepVisionLab/FLoRA", "Chongjie-Si/Subspace-Tuning"),
    "licence": None,
}

RESNET_50 = {
    "config": "ResNetConfig",
    "model": "ResNetModel",
    "hidden_sizes": [256, 512, 1024, 2048],
    "depths": [3, 4, 6, 3],
    "embedding_size": 64,
    "layer_type": "bottleneck",
}
CONVNEXT_TINY = {"config": "ConvNextConfig", "model": "ConvNextModel"}
DEBERTA_BASE = {
    "config": "DebertaV2Config",
    "model": "DebertaV2Model",
    "vocab_size": 128100,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
}
MAPS = ["query_proj", "key_proj", "value_proj", "dense"]


def _conv(channels: int, kernel: int) -> nn.Module:
    torch = require("torch", "adapt")
    return torch.nn.Sequential(torch.nn.Conv2d(channels, channels, kernel, device="meta"))


def _convolutions(model: nn.Module) -> dict[str, tuple[int, ...]]:
    torch = require("torch", "adapt")
    return {
        name: tuple(layer.weight.shape)
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Conv2d)
    }


def _flora(model: nn.Module) -> Measurement:
    """Trainable under FLoRA of rank 16, 2 on the kernel's axes, on all convolutions."""
    import warnings

    from parsimony.adapt.methods.flora import FloraConfig

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ranks larger than their axis")
        return adapted(model, FloraConfig, r=16, kernel=2, target_modules=[*_convolutions(model)])


def _flattened(model: nn.Module) -> Measurement:
    """Rank 16 on every kernel as a matrix of (k out) x (k in)."""
    shapes = _convolutions(model).values()
    value = sum(16 * k * (outputs + inputs) for outputs, inputs, k, _ in shapes)
    return Measurement(value, note="in closed form: 16 k (in / groups + out) for each convolution")


def _peft_form(model: nn.Module) -> Measurement:
    """Rank 16 on every kernel as a matrix of out x (k k in)."""
    shapes = _convolutions(model).values()
    value = sum(16 * (inputs * k * k + outputs) for outputs, inputs, k, _ in shapes)
    return Measurement(
        value, note="in closed form: 16 (k k in / groups + out) for each convolution"
    )


@claim(
    name="conv3-flora",
    statement="FLoRA of rank 16, kernel rank 2, on a 3 x 3 convolution of 256 channels.",
    published=9_228,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conv3_flora() -> Measurement:
    return _flora(_conv(256, 3))


@claim(
    name="conv3-flattened",
    statement=(
        "LoRA of rank 16, as the paper flattens kernels, on a 3 x 3 convolution of 256 channels."
    ),
    published=24_576,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conv3_flattened() -> Measurement:
    return _flattened(_conv(256, 3))


@claim(
    name="conv3-peft",
    statement=(
        "LoRA of rank 16, as peft flattens kernels, on a 3 x 3 convolution of 256 channels."
    ),
    published=40_960,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conv3_peft() -> Measurement:
    return _peft_form(_conv(256, 3))


@claim(
    name="conv7-flora",
    statement="FLoRA of rank 16, kernel rank 2, on a 7 x 7 convolution of 768 channels.",
    published=25_628,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conv7_flora() -> Measurement:
    return _flora(_conv(768, 7))


@claim(
    name="conv7-flattened",
    statement=(
        "LoRA of rank 16, as the paper flattens kernels, on a 7 x 7 convolution of 768 channels."
    ),
    published=172_032,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conv7_flattened() -> Measurement:
    return _flattened(_conv(768, 7))


@claim(
    name="conv7-peft",
    statement=(
        "LoRA of rank 16, as peft flattens kernels, on a 7 x 7 convolution of 768 channels."
    ),
    published=614_400,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conv7_peft() -> Measurement:
    return _peft_form(_conv(768, 7))


@claim(
    name="resnet-50-flora",
    statement="FLoRA of rank 16, kernel rank 2, on the 53 convolutions of ResNet-50.",
    published=811_501,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def resnet_50_flora() -> Measurement:
    return _flora(build(RESNET_50))


@claim(
    name="resnet-50-flattened",
    statement=(
        "LoRA of rank 16, as the paper flattens kernels, on the 53 convolutions of ResNet-50."
    ),
    published=1_033_552,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def resnet_50_flattened() -> Measurement:
    return _flattened(build(RESNET_50))


@claim(
    name="resnet-50-peft",
    statement=("LoRA of rank 16, as peft flattens kernels, on the 53 convolutions of ResNet-50."),
    published=1_271_088,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def resnet_50_peft() -> Measurement:
    return _peft_form(build(RESNET_50))


@claim(
    name="convnext-tiny-flora",
    statement="FLoRA of rank 16, kernel rank 2, on the 22 convolutions of ConvNeXt-tiny.",
    published=144_763,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def convnext_tiny_flora() -> Measurement:
    return _flora(build(CONVNEXT_TINY))


@claim(
    name="convnext-tiny-flattened",
    statement=(
        "LoRA of rank 16, as the paper flattens kernels, on the 22 convolutions of ConvNeXt-tiny."
    ),
    published=814_752,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def convnext_tiny_flattened() -> Measurement:
    return _flattened(build(CONVNEXT_TINY))


@claim(
    name="convnext-tiny-peft",
    statement=(
        "LoRA of rank 16, as peft flattens kernels, on the 22 convolutions of ConvNeXt-tiny."
    ),
    published=186_912,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def convnext_tiny_peft() -> Measurement:
    return _peft_form(build(CONVNEXT_TINY))


@claim(
    name="official-layer",
    statement="The official layer's count on a 3 x 3 convolution of 8 to 12 channels.",
    published=184,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def official() -> Measurement:
    torch = require("torch", "adapt")
    from parsimony.adapt.methods.flora import FloraConfig

    layer = torch.nn.Sequential(torch.nn.Conv2d(8, 12, 3, device="meta"))
    return adapted(layer, FloraConfig, r=[5, 4, 2, 2], target_modules=["0"])


@claim(
    name="deberta-flora",
    statement="FLoRA of rank 2 on the 72 linear maps of DeBERTaV3-base's blocks.",
    published=332_064,
    published_text="0.18 % of 184 M",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def deberta_flora() -> Measurement:
    from parsimony.adapt.methods.flora import FloraConfig

    return adapted(build(DEBERTA_BASE), FloraConfig, r=2, target_modules=MAPS)


@claim(
    name="deberta-lora",
    statement="LoRA of rank 2 on the 72 linear maps of DeBERTaV3-base's blocks.",
    published=331_776,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def deberta_lora() -> Measurement:
    return adapted(build(DEBERTA_BASE), "LoraConfig", r=2, target_modules=MAPS)


@claim(
    name="deberta-share",
    statement="FLoRA of rank 2 trains this share of DeBERTaV3-base.",
    published=0.18,
    source="derived",
    unit="%",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def deberta_share() -> Measurement:
    whole = count(build(DEBERTA_BASE), "").value
    return Measurement(100 * deberta_flora.run().value / whole, note=f"of {whole:,.0f}")


@claim(
    name="linear-flora",
    statement="FLoRA of rank 8 on a dense layer of 768 x 768.",
    published=12_352,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def linear_flora() -> Measurement:
    torch = require("torch", "adapt")
    from parsimony.adapt.methods.flora import FloraConfig

    layer = torch.nn.Sequential(torch.nn.Linear(768, 768, device="meta"))
    return adapted(layer, FloraConfig, r=8, target_modules=["0"])


@claim(
    name="linear-lora",
    statement="LoRA of rank 8 on a dense layer of 768 x 768.",
    published=12_288,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def linear_lora() -> Measurement:
    torch = require("torch", "adapt")
    layer = torch.nn.Sequential(torch.nn.Linear(768, 768, device="meta"))
    return adapted(layer, "LoraConfig", r=8, target_modules=["0"])


@claim(
    name="exact-recovery",
    statement=(
        "A 32 x 24 x 5 x 5 update of multilinear rank (4, 4, 2, 2) is held exactly by 308 "
        "values, for which flattened LoRA needs 2,240 and peft's form 2,528."
    ),
    published=0,
    source="derived",
    unit="relative error",
    direction="equal",
    level="exact",
    tolerance=1e-09,
)
def recovery() -> Measurement:
    torch = require("torch", "adapt")
    from parsimony.adapt.methods.flora import multiply, tucker_extract

    torch.manual_seed(0)
    ranks, shape = (4, 4, 2, 2), (32, 24, 5, 5)
    core = torch.randn(ranks, dtype=torch.float64)
    matrices = [torch.randn(d, r, dtype=torch.float64) for d, r in zip(shape, ranks, strict=True)]
    target = multiply(core, matrices)
    found, thin, error = tucker_extract(target, ranks)
    values = found.numel() + sum(matrix.numel() for matrix in thin)
    flat = target.permute(0, 2, 1, 3).reshape(160, 120)
    wide = target.flatten(1)
    needed = [int(torch.linalg.matrix_rank(m)) * sum(m.shape) for m in (flat, wide)]
    note = f"{values} values; {needed[0]:,} and {needed[1]:,} as matrices of their ranks"
    return Measurement(error if (values, *needed) == (308, 2240, 2528) else 1.0, note=note)


@claim(
    name="digits-beside-lora",
    statement=(
        "A small convolutional network of digits, moved to transposed and inverted ones, learns "
        "more through FLoRA than through either LoRA form with more parameters."
    ),
    published=1.5,
    published_text="a promise of ours: 1.5 points",
    source="derived",
    unit="points of accuracy",
    direction="at least",
    level="cpu",
)
def digits() -> Measurement:
    import copy
    import warnings

    torch, peft = require("torch", "adapt"), require("peft", "adapt")
    numpy, datasets = require("numpy", "adapt"), require("sklearn.datasets", "adapt")
    from parsimony.adapt.methods.flora import FloraConfig

    nn, functional = torch.nn, torch.nn.functional
    bunch = datasets.load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    images = functional.interpolate(images, size=(14, 14), mode="bilinear")
    labels = torch.tensor(bunch.target)
    moved = 1 - images.transpose(2, 3)

    def train(
        model: nn.Module, rows: torch.Tensor, x: torch.Tensor, steps: int, rate: float
    ) -> None:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
        for _ in range(steps):
            batch = rows[torch.randint(len(rows), (32,))]
            functional.cross_entropy(model(x[batch]), labels[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()

    class Flattened(nn.Module):
        """A kernel plus 4 B A of rank 2, read as (out, k, in, k)."""

        def __init__(self, weight: torch.Tensor) -> None:
            super().__init__()
            outputs, inputs, k, _ = self.shape = weight.shape
            self.lora_a = nn.Parameter(torch.randn(2, inputs * k) / (inputs * k) ** 0.5)
            self.lora_b = nn.Parameter(torch.zeros(outputs * k, 2))

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            outputs, inputs, k, _ = self.shape
            flat = (4 * self.lora_b @ self.lora_a).view(outputs, k, inputs, k)
            return weight + flat.transpose(1, 2)

    def flattened(model: nn.Module) -> nn.Module:
        model.requires_grad_(False)
        for name in targets:
            layer = model.get_submodule(name)
            nn.utils.parametrize.register_parametrization(layer, "weight", Flattened(layer.weight))
        model[-1].requires_grad_(True)
        return model

    torch.manual_seed(0)
    base = nn.Sequential(
        *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(32, 10)),
    )
    train(base, torch.arange(len(labels)), images, 400, 3e-3)
    targets, head = ["0", "3", "6"], ["10"]
    lora = {"r": 1, "lora_alpha": 4, "target_modules": targets, "modules_to_save": head}
    tucker = {"r": 4, "scale": 4.0, "target_modules": targets, "modules_to_save": head}
    arms = {
        "FLoRA": lambda model: peft.get_peft_model(model, FloraConfig(**tucker)),
        "peft's LoRA": lambda model: peft.get_peft_model(model, peft.LoraConfig(**lora)),
        "flattened LoRA": flattened,
    }
    best, texts = [], []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ranks larger than their axis")
        for name, arm in arms.items():
            rates = []
            for rate in (5e-3, 1e-2, 2e-2):
                scores = []
                for seed in range(5):
                    torch.manual_seed(seed)
                    rows = torch.randperm(len(labels))
                    model = arm(copy.deepcopy(base))
                    train(model, rows[:200], moved, 100, rate)
                    with torch.no_grad():
                        right = model(moved[rows[200:]]).argmax(1) == labels[rows[200:]]
                    scores.append(100 * right.float().mean().item())
                rates.append(scores)
            best.append(numpy.array(max(rates, key=numpy.mean)))
            trained = sum(p.numel() for p in model.parameters() if p.requires_grad) - 330
            texts.append(f"{name} {best[-1].mean():.1f} % with {trained:,}")
    gains = best[0] - max(best[1:], key=numpy.mean)
    mean = float(gains.mean())
    spread = 2.776 * float(gains.std(ddof=1)) / 5**0.5  # Student's t, 4 degrees of freedom
    return Measurement(
        mean,
        interval=(mean - spread, mean + spread),
        note=f"{'; '.join(texts)} parameters beside the head; 200 rows, 100 steps, 5 seeds, each "
        "at its best of three rates by the same test rows; paired 95 % interval",
    )

"""What a study crosses: ways to quantize, temperatures, top-k, lengths and seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parsimony.compress.codebooks import BlockGrid
from parsimony.compress.quantizer import Spec
from parsimony.core.errors import InputError
from parsimony.core.generation import Sampling

METHODS = ("int8", "nf4", "nf4-dq", "fp4", "fp4-dq", "int4", "random4")


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        model: built-in name, folder or hub name of a causal language model.
        data: texts, see ``core.data.load``; prompts are from its test split.
        text: their column.
        methods: ways to quantize, see ``quantizer.Spec``.
        temperatures: 0 for greedy decoding.
        top_k: ``None`` for the whole vocabulary.
        lengths: most new tokens of a text.
        seeds: how many texts each prompt gets where tokens are drawn.
        prompts: texts that are gone on with.
        prompt: tokens of each; half of what the model reads, and at most 64, by default.
        windows: of text that predictions are compared on, at least ``prompts``.
        between: temperatures that the resilience spans.
        timed: whether speed is measured.
        batch: windows or prompts at a time.
        device: ``cpu`` or ``cuda``, which is the default where there is one.
        seed: the first; the others follow it.
    """

    model: str = "stdlib-lm"
    data: str = "stdlib-code"
    text: str | None = None
    methods: tuple[str, ...] = METHODS
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.5, 0.8, 1.0)
    top_k: tuple[int | None, ...] = (50, None)
    lengths: tuple[int, ...] = (64,)
    seeds: int = 3
    prompts: int = 32
    prompt: int | None = None
    windows: int = 128
    between: tuple[float, float] = (0.5, 0.8)
    timed: bool = True
    batch: int = 32
    device: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Cell:
    """One way to write: the texts of all prompts.

    Attributes:
        method: as written; the original's name for the original.
        sampling: temperature, top-k and seed.
        tokens: most of a text.
    """

    method: str
    sampling: Sampling
    tokens: int

    @property
    def file(self) -> str:
        """Where a run keeps it."""
        how = self.sampling
        name = f"t{how.temperature:g}_k{how.top_k or 'all'}_n{self.tokens}_s{how.seed}"
        return f"cells/{plain(self.method)}_{name}.json"


def plain(method: str) -> str:
    """A way to quantize as part of a file's name."""
    return method.replace(":", "-")


@dataclass(frozen=True)
class Design:
    """What is crossed, once all that a model cannot do is cut off.

    Attributes:
        settings: temperature and top-k, each once; greedy decoding is (0, ``None``).
        lengths: most new tokens.
        seeds: of the draws.
    """

    settings: tuple[tuple[float, int | None], ...]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(
        cls, request: Request, prompt: int, vocabulary: int, positions: int | None
    ) -> tuple[Design, list[str]]:
        """The design for a model, and a note for everything that was changed.

        Args:
            request: what was asked for.
            prompt: its tokens.
            vocabulary: tokens that the model knows.
            positions: tokens that it reads at most; ``None`` for no limit.

        Raises:
            InputError: a prompt that leaves no room; what ``Sampling`` refuses.
        """
        notes = []
        settings = []
        for temperature in request.temperatures:
            for k in request.top_k:
                how = Sampling(temperature, k)
                if k is not None and k > vocabulary:
                    notes.append(f"top-k {k} is all {vocabulary} tokens of the vocabulary")
                    how = Sampling(temperature)
                settings.append((0.0, None) if how.greedy else (how.temperature, how.top_k))
        if (0.0, None) in settings:
            notes.append(
                "temperature 0 and top-k 1 are greedy decoding: the likeliest token, whatever the "
                "other settings and the seed, so it is done once"
            )
        lengths = []
        for length in request.lengths:
            room = length if positions is None else positions - prompt
            if room < 1:
                raise InputError(
                    f"a prompt must leave room for a token, and the model reads {positions}",
                    got=f"{prompt} tokens",
                    hint=f"At most --prompt-tokens {(positions or 0) - 1}",
                )
            if length > room:
                notes.append(
                    f"{length} new tokens are cut to {room}: the model reads {positions}, "
                    f"{prompt} of them the prompt"
                )
            lengths.append(min(length, room))
        seeds = tuple(range(request.seed, request.seed + request.seeds))
        return cls(_once(settings), _once(lengths), seeds), list(dict.fromkeys(notes))

    def cells(self, method: str) -> Iterator[Cell]:
        """Every way in which a model writes."""
        for tokens in self.lengths:
            for temperature, top_k in self.settings:
                for seed in self.seeds_of(temperature):
                    yield Cell(method, Sampling(temperature, top_k, seed), tokens)

    def seeds_of(self, temperature: float) -> tuple[int, ...]:
        """Greedy decoding has no draws: one seed stands for all."""
        return self.seeds if temperature else self.seeds[:1]


def _once(values: Sequence) -> tuple:
    return tuple(dict.fromkeys(values))


def spec_of(text: str) -> Spec:
    """How a method is read here: double quantization is also studied where it takes more room.

    Raises:
        InputError: of ``Spec.parse``.
    """
    spec = Spec.parse(text)
    if isinstance(spec.grid, BlockGrid):
        spec = dataclasses.replace(spec, grid=dataclasses.replace(spec.grid, saves=False))
    return spec


def check(request: Request) -> None:
    """Refuse settings that no model could make good.

    Raises:
        InputError: names the setting.
    """
    for option in ("methods", "temperatures", "top_k", "lengths"):
        if not getattr(request, option):
            raise InputError(f"a study needs at least one of --{option.replace('_', '-')}")
    names = [str(spec_of(method)) for method in request.methods]
    if len(set(names)) < len(names):
        raise InputError("every method can be studied once", got=", ".join(names))
    for option in ("seeds", "prompts", "prompt", "windows", "batch"):
        if getattr(request, option) is not None and getattr(request, option) < 1:
            raise InputError(f"{option} must be positive", got=getattr(request, option))
    for length in request.lengths:
        if length < 1:
            raise InputError("a text has at least one new token", got=length)
    if request.windows < request.prompts:
        raise InputError(
            f"prompts are the beginnings of windows, of which there are {request.windows}",
            got=request.prompts, hint="Fewer --prompts, or more --windows",
        )  # fmt: skip
    low, high = request.between
    if not 0 <= low < high:
        raise InputError("resilience spans two temperatures, the lower first", got=(low, high))
    for temperature in request.temperatures:
        for top_k in request.top_k:
            Sampling(temperature, top_k)
    if not 0 <= request.seed < 2**31:
        raise InputError("--seed must be a whole number from 0 to 2147483647", got=request.seed)

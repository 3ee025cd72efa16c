"""Sounds made by formula: each class is a shape in time and frequency, its details by chance.

Nothing is recorded or downloaded; the same seed gives the same sounds.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from functools import cache

import numpy as np

from parsimony.core.errors import InputError

RATE = 16_000  # Hz
SECONDS = 1.0
_SHORTEST = 0.4
_NOISE = (-40.0, -20.0)  # dB below full scale, of the background
_PEAK = (0.2, 0.8)
_FADE = 160  # samples at both ends

TURN = 2 * np.pi

Maker = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def _between(random: np.random.Generator, low: float, high: float) -> float:
    """Uniform on a logarithmic scale, as the ear hears frequencies and rates."""
    return float(low * (high / low) ** random.random())


def _sweep(t: np.ndarray, start: float, stop: float) -> np.ndarray:
    """A sine whose frequency goes from ``start`` to ``stop`` Hz, evenly in octaves."""
    octaves = np.log(stop / start) / t[-1]
    frequency = start * np.exp(octaves * t)
    swept: np.ndarray = np.sin(TURN * np.cumsum(frequency) / RATE)
    return swept


def _band(random: np.random.Generator, t: np.ndarray, low: float, high: float) -> np.ndarray:
    """White noise between two frequencies in Hz."""
    spectrum = np.fft.rfft(random.standard_normal(len(t)))
    frequency = np.fft.rfftfreq(len(t), 1 / RATE)
    found: np.ndarray = np.fft.irfft(spectrum * ((frequency >= low) & (frequency < high)), len(t))
    return found


def _tone(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return np.sin(TURN * _between(random, 300, 3000) * t)


def _chord(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    base, harmonic = _between(random, 200, 900), np.arange(1, 6)[:, None]
    found: np.ndarray = (np.sin(TURN * base * harmonic * t) / harmonic).sum(0)
    return found


def _chirp_up(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    base = _between(random, 300, 900)
    return _sweep(t, base, base * _between(random, 3, 7))


def _chirp_down(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return _chirp_up(random, t)[::-1]


def _rise_and_fall(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    half = _chirp_up(random, t[: len(t) // 2])
    return np.concatenate([half, half[::-1], np.zeros(len(t) % 2)])


def _low_noise(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return _band(random, t, 100, _between(random, 600, 1200))


def _high_noise(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return _band(random, t, _between(random, 2500, 4500), 7500)


def _tremolo(random: np.random.Generator, t: np.ndarray, low: float, high: float) -> np.ndarray:
    found: np.ndarray = _tone(random, t) * (1 + np.sin(TURN * _between(random, low, high) * t)) / 2
    return found


def _slow_tremolo(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return _tremolo(random, t, 2, 4)


def _fast_tremolo(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return _tremolo(random, t, 10, 20)


def _vibrato(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    rate, carrier = _between(random, 4, 9), _between(random, 500, 2500)
    return np.sin(TURN * carrier * t + 0.15 * carrier / rate * np.sin(TURN * rate * t))


def _clicks(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    gap = RATE / _between(random, 5, 20)
    made = np.zeros(len(t))
    made[(np.arange(random.random() * gap, len(t), gap)).astype(int)] = 1.0
    return np.convolve(made, np.exp(-np.arange(80) / 16) * (-1.0) ** np.arange(80))[: len(t)]


def _bursts(random: np.random.Generator, t: np.ndarray) -> np.ndarray:
    rate, phase = _between(random, 2, 5), random.random()
    return _band(random, t, 200, 6000) * ((rate * t + phase) % 1 < 0.3)


CLASSES: dict[str, Maker] = {
    maker.__name__.strip("_").replace("_", "-"): maker
    for maker in (
        _tone, _chord, _chirp_up, _chirp_down, _rise_and_fall, _low_noise, _high_noise,
        _slow_tremolo, _fast_tremolo, _vibrato, _clicks, _bursts,
    )
}  # fmt: skip


def make(kind: str, seed: int, seconds: float = SECONDS) -> np.ndarray:
    """One sound of a class of ``CLASSES``: shape (samples,), float64 in [-1, 1], 16 kHz.

    Pitch, rate, loudness (a peak of 0.2 to 0.8) and background noise (20 to 40 dB below) are drawn
    from ``seed`` and the name of the class.

    Raises:
        InputError: less than 0.4 seconds, in which the slowest classes may have no event.
    """
    if seconds < _SHORTEST:
        raise InputError(f"a made-up sound lasts at least {_SHORTEST} seconds", got=seconds)
    random = np.random.default_rng([seed, *kind.encode()])
    t = np.arange(round(seconds * RATE)) / RATE
    clean = CLASSES[kind](random, t)
    clean = clean / np.abs(clean).max()
    ramp = np.minimum(1.0, np.arange(1, len(t) + 1) / _FADE)
    noise = 10 ** (random.uniform(*_NOISE) / 20) * random.standard_normal(len(t))
    mixed = clean * ramp * ramp[::-1] + noise
    found: np.ndarray = mixed / np.abs(mixed).max() * random.uniform(*_PEAK)
    return found


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    """A WAV file of 16-bit samples. Args: ``samples`` (samples,) or (samples, channels)."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * (2**15 - 1)).round().astype("<i2").tobytes())
    return stream.getvalue()


@cache
def generated(per_class: int, seed: int = 0) -> tuple[list[bytes], list[str]]:
    """(WAV files, class names): ``per_class`` sounds of one second for each of ``CLASSES``."""
    pairs = [(kind, number) for kind in CLASSES for number in range(per_class)]
    files = [wav(make(kind, seed * per_class + number)) for kind, number in pairs]
    return files, [kind for kind, _ in pairs]

"""Python that loads what a run handed over, for its report and for ``result.json``."""

from __future__ import annotations

from parsimony.adapt.method import method
from parsimony.adapt.setup import Candidate, Setup
from parsimony.core.pretrained import ANSWERS, NEXT_TOKEN
from parsimony.core.thrift import PLAIN


def load_snippet(setup: Setup, winner: Candidate, artifact: str) -> str:
    """Code that gives ``model`` and its reader; run in the run folder.

    transformers and peft load it, and a tuner that is not peft's own is imported first. A base in
    fewer bits is restored as it was trained on, which takes ``load_run``.
    """
    if artifact == "model":
        return (
            f"# Run this in the run folder.\nfrom transformers import {_auto(setup)}\n\n"
            f'model = {_auto(setup)}.from_pretrained("model")\n'
        )
    if winner.thrift.base != PLAIN.base:
        return (
            "# Run this in the run folder.\nfrom pathlib import Path\n\n"
            "from parsimony.adapt.loading import load_run\n\n"
            f'loaded = load_run(Path("."))  # on the {winner.thrift.base} base it was trained on\n'
            f"model, {_reader(setup)} = loaded.model, loaded.tokenizer\n{_asking(setup)}"
        )
    imported, frames, length, extra = "", "", "", ""
    home = type(method(winner.method).config(setup.facts, winner.size, 0.0)).__module__
    if home.partition(".")[0] != "peft":
        imported += f"import {home}  # tells peft about the adapter's type\n"
    auto, reader = _auto(setup), "AutoTokenizer"
    if setup.task not in NEXT_TOKEN:
        # A head of another size in the checkpoint is replaced, as it was in training.
        extra = f", num_labels={len(setup.labels) or 1}, ignore_mismatched_sizes=True"
    if setup.task == "audio-classification":
        # Positions of another length than the checkpoint's are beyond transformers.
        reader, length = "AutoFeatureExtractor", f", max_length={setup.window}"
        imported += "from parsimony.core.spectrogram import set_frames\n"
        frames = f"set_frames(base, {setup.window})\n"
    return (
        f"# Run this in the run folder.\n{imported}from peft import PeftModel\n"
        f"from transformers import {', '.join(sorted([reader, auto]))}\n\n"
        f"base_path = {str(setup.model.path)!r}\n"
        f"base = {auto}.from_pretrained(base_path{extra})\n{frames}"
        f'model = PeftModel.from_pretrained(base, "adapter")\n'
        f"{_reader(setup)} = {reader}.from_pretrained(base_path{length})\n{_asking(setup)}"
    )


def _auto(setup: Setup) -> str:
    """transformers' class for the task."""
    if setup.task in NEXT_TOKEN:
        return "AutoModelForCausalLM"
    if setup.task == "audio-classification":
        return "AutoModelForAudioClassification"
    return "AutoModelForSequenceClassification"


def _reader(setup: Setup) -> str:
    """Name of the variable that holds what reads the data."""
    return "feature_extractor" if setup.task == "audio-classification" else "tokenizer"


def _asking(setup: Setup) -> str:
    """Code that asks a model trained on instructions; its prompt is read as in training."""
    if setup.task not in ANSWERS:
        return ""
    reads = 'tokenizer("What is next?", return_tensors="pt")'
    if setup.tokenizer.chat_template:
        reads = (
            "tokenizer.apply_chat_template(\n"
            '    [{"role": "user", "content": "What is next?"}],\n'
            '    add_generation_prompt=True, return_dict=True, return_tensors="pt",\n)'
        )
    return (
        f"\nprompt = {reads}\n"
        "answer = model.generate(**prompt, max_new_tokens=32)\n"
        'print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :]))\n'
    )

"""Which tokens of a conversation are learned, against tokenizations written out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from parsimony.core import pretrained, scoring
from parsimony.core.data import TaskData, dialogues
from parsimony.core.errors import InputError
from parsimony.core.inputs.instruction import InstructionInputs
from parsimony.testing import tiny

TURNS = (
    "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}[SEP]\n{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)
MARKED = (
    "{% for m in messages %}<{{ m.role[0] }}>{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}[SEP]{% endgeneration %}{% else %}{{ m.content }}[SEP]{% endif %}"
    "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)
# As some do: what was thought is shown of the last answer alone.
FORGETFUL = (
    "{% for m in messages %}<{{ m.role[0] }}>{% if m.role == 'assistant' and loop.last %}.{% endif"
    " %}{{ m.content }}[SEP]{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)
STRICT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TURNS
)


def chat(*contents: str, first: str = "user") -> list[dict[str, str]]:
    roles = [first, *(("assistant", "user") * len(contents))]
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]


CHATS = [chat("hi", "yo"), chat("a", "b c", "d", "e"), chat("", "é")]
PAIRS = [chat("1+1=", "2"), chat("say: ", "so long, then")]


def table(chats: list[list[dict[str, str]]]) -> pd.DataFrame:
    return pd.DataFrame({"messages": [dialogues.dump(c) for c in chats]})


def data(chats: list[list[dict[str, str]]], *, pairs: bool = False) -> TaskData:
    splits = dict.fromkeys(("train", "validation", "test"), table(chats))
    text = ("prompt", "completion") if pairs else ("messages",)
    return TaskData("made up", "instruction", text, None, (), splits, (), "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("instruction") / "model", "llama")


def reads(folder: Path, template: str | None) -> InstructionInputs:
    found = InstructionInputs(pretrained.find(str(folder)), "instruction")
    found.processor.chat_template = found._template = template
    return found


def ids(found: InstructionInputs, text: str) -> list[int]:
    made: list[int] = found.processor(text, add_special_tokens=False)["input_ids"]
    return made


def expected(found: InstructionInputs, *parts: tuple[str, bool]) -> dict[str, list[int]]:
    """Rows from parts of a text, each learned or not; one token per byte, so parts add up."""
    pieces = [(ids(found, text), learned) for text, learned in parts]
    return {
        "input_ids": [i for piece, _ in pieces for i in piece],
        "attention_mask": [1 for piece, _ in pieces for _ in piece],
        "labels": [i if learned else -100 for piece, learned in pieces for i in piece],
    }


@pytest.mark.parametrize("template", [TURNS, MARKED])
def test_answers_are_learned_and_nothing_else(folder: Path, template: str) -> None:
    found = reads(folder, template)
    rows = found.encode(table(CHATS), 64)
    assert rows[0] == expected(
        found, ("<u>hi[SEP]\n<a>", False), ("yo[SEP]", True), ("\n", False)
    )  # fmt: skip
    assert rows[1] == expected(
        found, ("<u>a[SEP]\n<a>", False), ("b c[SEP]", True), ("\n<u>d[SEP]\n<a>", False),
        ("e[SEP]", True), ("\n", False),
    )  # fmt: skip
    assert rows[2]["labels"].count(-100) == len(ids(found, "<u>[SEP]\n<a>\n"))  # é has two tokens


def test_without_a_template_the_end_is_learned_too(folder: Path) -> None:
    found = reads(folder, None)
    rows = found.encode(table(PAIRS), 64)
    assert rows[0] == expected(found, ("1+1=", False), ("2[SEP]", True))
    assert rows[1] == expected(found, ("say: ", False), ("so long, then[SEP]", True))
    assert rows[0]["input_ids"][-1] == found.processor.eos_token_id


def test_a_token_across_the_border_is_learned(folder: Path) -> None:
    """A word piece that begins in the prompt and ends in the answer."""
    found = reads(folder, None)
    merged = Tokenizer(models.BPE({"a": 0, "b": 1, "c": 2, "ab": 3, "[SEP]": 4}, [("a", "b")]))
    found.processor = PreTrainedTokenizerFast(tokenizer_object=merged, eos_token="[SEP]")
    row = found.encode(table([chat("ca", "bc")]), 64)[0]
    assert row["input_ids"] == [2, 3, 2, 4] and row["labels"] == [-100, 3, 2, 4]


def test_an_end_that_the_tokenizer_writes_itself_is_not_doubled(folder: Path) -> None:
    found = reads(folder, None)
    found.processor = tiny.tokenizer("bert")  # [CLS] text [SEP]
    found.processor.eos_token = "[SEP]"
    row = found.encode(table([chat("q", "a")]), 64)[0]
    assert found.processor.convert_ids_to_tokens(row["input_ids"]) == ["[CLS]", "q", "a", "[SEP]"]
    assert row["labels"] == [-100, -100, *row["input_ids"][2:]]


def test_a_first_token_that_nothing_comes_before_is_not_counted(folder: Path) -> None:
    found = reads(folder, None)
    merged = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "[SEP]": 3}, [("a", "b")]))
    found.processor = PreTrainedTokenizerFast(tokenizer_object=merged, eos_token="[SEP]")
    _, said = found.window(data([chat("a", "b")], pairs=True), config(folder), 8)
    assert said[1] == "loss on answers alone: 50.0% of the training tokens"
    assert not found.teaches(found.encode(table([chat("a", "b")]), 1)[0])


def test_a_tokenizer_adds_nothing_to_what_a_template_writes(folder: Path) -> None:
    found = reads(folder, TURNS)
    found.processor = tiny.tokenizer("bert")  # it would add [CLS] and [SEP]
    found.processor.chat_template = TURNS
    row = found.encode(table(CHATS[:1]), 64)[0]
    assert row["input_ids"] == ids(found, "<u>hi[SEP]\n<a>yo[SEP]\n")


def test_white_space_that_a_tokenizer_leaves_out_is_learned(folder: Path) -> None:
    found = reads(folder, None)
    made = Tokenizer(models.WordLevel({"q": 0, "a": 1, "[SEP]": 2, "[UNK]": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    found.processor = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="[SEP]")
    row = found.encode(table([chat("q", " a")]), 64)[0]
    assert row["labels"] == [-100, 1, 2]


def test_batches_pad_labels_too_and_the_loss_is_of_answers(folder: Path) -> None:
    found = reads(folder, TURNS)
    rows = found.encode(table(CHATS[:2]), 64)
    batch = found.collator(rows)
    width = len(rows[1]["labels"])
    for number, row in enumerate(rows):
        rest = [-100] * (width - len(row["labels"]))
        assert batch["labels"][number].tolist() == row["labels"] + rest
    model = pretrained.load(pretrained.find(str(folder)), "instruction")
    scored = scoring.score(model, rows, found.collator, "instruction", batch=2)
    for number, row in enumerate(rows):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].double()
        chances = logits.log_softmax(-1)
        by_hand = [
            -chances[place - 1, label].item()
            for place, label in enumerate(row["labels"])
            if label != -100
        ]
        assert scored.scores[number] == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-5)
    together = model(**found.collator([rows[1]])).loss.item()
    assert together == pytest.approx(scored.scores[1], rel=1e-5)


def config(folder: Path) -> Any:
    return pretrained.config(pretrained.find(str(folder)), "instruction")


def test_what_is_said_of_window_and_loss(folder: Path, tmp_path: Path) -> None:
    found = reads(folder, None)
    long = [*PAIRS, *PAIRS, chat("x" * 40, "y")]
    window, said = found.window(data(long, pairs=True), config(folder), 19)
    assert window == 19 and said == [
        "window: 19 tokens (given)",
        "1 of 5 training conversations (20.0%) are longer than the window and are cut",
        f"loss on answers alone: {(2 * 2 + 2 * 14 + 2) / (2 * 6 + 2 * 19 + 42):.1%} of the "
        "training tokens",
        "the tokenizer has no chat template: prompt and completion are put together as they are, "
        "with '[SEP]' behind them",
        *(
            f"1 row loses its whole answer to the window and is left out of the 5 of the {split} "
            "split; an answer begins after 40 tokens at the latest"
            for split in ("train", "validation", "test")
        ),
    ]
    counts = found.keep(data(long, pairs=True), tmp_path / "data", 19)
    assert counts == {"train": 4, "validation": 4, "test": 4}
    kept = pd.read_parquet(tmp_path / "data" / "train.parquet")
    assert kept["messages"].tolist() == table(long)["messages"].tolist()[:4]
    mapped = found.kept(tmp_path / "data", "train", 19)
    assert [mapped[n] for n in range(4)] == found.encode(kept, 19)
    assert found.longer(table(long), 19) == 1


def test_the_window_is_chosen_where_none_is_given(folder: Path) -> None:
    window, said = reads(folder, TURNS).window(data(CHATS), config(folder), None)
    assert window == 32
    assert said[0] == (
        "window: 32 tokens (default: covers 95 % of the training conversations, at most 64)"
    )
    assert len(said) == 2


def refused(found: InstructionInputs, chats: list[Any], given: int | None = None) -> str:
    with pytest.raises(InputError) as error:
        found.window(data(chats), config(Path(found.processor.name_or_path)), given)
    return str(error.value)


def test_what_cannot_be_learned_is_refused(folder: Path) -> None:
    assert refused(reads(folder, None), CHATS) == (
        "messages need a chat template, and this model's tokenizer has none. Put its "
        "chat_template.jinja into the model's folder, or give columns of prompts and completions"
    )
    assert refused(reads(folder, TURNS), CHATS[:2], 8) == (
        "the window of 8 tokens leaves out every answer of the train split. --window must be at "
        "least 10"
    )
    assert refused(reads(folder, TURNS), CHATS[:2], 9).startswith("the window of 9 tokens leaves")
    assert refused(reads(folder, TURNS), CHATS, 65) == (
        "--window must be 2 to 64 tokens for this model, but got 65"
    )
    assert refused(reads(folder, STRICT), [chat("be kind", "yo", first="system")]) == (
        "the model's chat template refuses a conversation (no system), but got ['system', "
        "'assistant']. Change the order of the roles, or leave some out"
    )
    assert refused(reads(folder, FORGETFUL), CHATS) == (
        "the chat template must write the beginning of a conversation as it writes the whole, so "
        "that answers can be found in it, but got ['user', 'assistant', 'user', 'assistant']. Use "
        "a template that marks them with {% generation %}, or rows of one answer each"
    )
    assert refused(reads(folder, "{{ messages[0].content }}"), CHATS[:1]) == (
        "the chat template must write an answer of every conversation, but got 'hi'. Use another "
        "template, or remove such rows"
    )


def test_a_slow_tokenizer_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tiny.tokenizer("llama")
    monkeypatch.setattr(type(slow), "is_fast", property(lambda self: False))
    with pytest.raises(InputError) as error:
        InstructionInputs(pretrained.find(str(folder)), "instruction")
    assert str(error.value).startswith(
        "instruction needs a fast tokenizer, which knows the characters of each token, but got "
    )


def test_rows_of_a_user_are_checked_as_training_data_is(folder: Path) -> None:
    rows = pd.DataFrame({"q": ["1+1="], "a": ["2"]}, index=[1])
    found = reads(folder, None).checked(rows, ["q", "a"], "new.csv")
    assert found["messages"].tolist() == table(PAIRS[:1])["messages"].tolist()


@pytest.mark.parametrize("template", [TURNS, MARKED])
def test_a_question_is_what_comes_before_the_last_answer(folder: Path, template: str) -> None:
    found = reads(folder, template)
    asked = found.questions(table(CHATS), 64, 8, 10)
    assert [q.answer for q in asked] == ["yo", "e", "é"]
    assert asked[0].prompt == ids(found, "<u>hi[SEP]\n<a>")
    assert asked[1].prompt == ids(found, "<u>a[SEP]\n<a>b c[SEP]\n<u>d[SEP]\n<a>")
    assert found.stops(table(CHATS)) == [found.processor.eos_token_id]


def test_a_mark_that_is_not_the_end_of_text_stops_an_answer_too(folder: Path) -> None:
    found = reads(folder, TURNS.replace("[SEP]", "[CLS]"))
    mark, end = found.processor.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    assert found.stops(table(CHATS)) == sorted([mark, end])
    assert reads(folder, TURNS.replace("[SEP]", "!")).stops(table(CHATS)) == [end]


def test_questions_leave_room_for_the_answer(folder: Path) -> None:
    found = reads(folder, None)
    rows = table([*PAIRS, chat("a longer prompt: ", "x")])
    assert [q.prompt for q in found.questions(rows, 13, 8, 10)] == [
        ids(found, "1+1="), ids(found, "say: "),
    ]  # fmt: skip
    assert [q.answer for q in found.questions(rows, 12, 8, 10)] == ["2"]
    assert [q.answer for q in found.questions(rows, 64, 8, 1)] == ["2"]
    assert found.questions(rows, 11, 8, 10) == []

"""Ten rows of each format as SmolLM2 sees them, against tokens and labels made from the contract.

The expected ids come from PyPI `tokenizers` with the vocabulary of the GGUF, the conversation from
its template by Jinja; the expected losses from transformers.
"""

import pathlib
import tempfile

import gguf
import jinja2
from common import (
    FLOAT32,
    MODEL,
    UNTRAINED,
    check,
    evaluate,
    finish,
    preview,
    require,
    rows_of,
    write_recipe,
    write_rows,
)
from reference import load_causal_model, mean_losses
from text_parity import gguf_tokenizer

BEGIN, END = "<|im_start|>", "<|im_end|>"
DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
LIMIT = 64
LONG = " ".join(f"sentence {i} of many about rivers, stones and mills;" for i in range(20))

# Text with every trap: scripts, spaces at borders, digits, what only looks like a control token.
QUESTIONS = [
    "What is 2+2?", "  two leading spaces", "naïve café — 東京 🙂", "trailing newline\n",
    "say <|im_end|> to me", "one\n\ntwo", "1234567 apples", "a", "don't", "\ttab",
]
ANSWERS = [
    "4", " Four, of course.", "東京 is Tōkyō 🙂🙂", "yes\nno\n", "<|im_start|>assistant\nno",
    "three", "{\"tool\": \"count\", \"n\": 1234567}", "b", "I'll not", "def f(x):\n    return x",
]

vocabulary = gguf_tokenizer(str(MODEL))
plain = gguf_tokenizer(str(MODEL), with_control_tokens=False)
ids_of_control = {token: vocabulary.token_to_id(token) for token in (BEGIN, END)}


def plain_ids(text):
    """Ids of text in which nothing is a control token, with the range of bytes of each."""
    ids, offset = [], 0
    for token in plain.encode(text).ids:
        # A byte-level token has one character for each byte.
        end = offset + len(plain.id_to_token(token))
        ids.append((token, offset, end))
        offset = end
    assert offset == len(text.encode()), text
    return ids


def chat(messages):
    """Tokens and labels of a conversation: ChatML, the assistant's content and its end trained."""
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": DEFAULT_SYSTEM}, *messages]
    tokens, labels, text = [], [], ""
    for message in messages:
        head = message["role"] + "\n"
        trained = message["role"] == "assistant"
        text += BEGIN + head + message["content"] + END + "\n"
        pieces = plain_ids(head + message["content"])
        tokens += [ids_of_control[BEGIN], *(token for token, _, _ in pieces), ids_of_control[END]]
        border = len(head.encode())
        labels.append(UNTRAINED)
        labels += [t if trained and end > border else UNTRAINED for t, _, end in pieces]
        labels.append(ids_of_control[END] if trained else UNTRAINED)
        newline = [token for token, _, _ in plain_ids("\n")]
        tokens += newline
        labels += [UNTRAINED] * len(newline)
    rendered = TEMPLATE.render(messages=messages, add_generation_prompt=False)
    require_quietly("the template renders ChatML", rendered == text)
    if not any(BEGIN in m["content"] or END in m["content"] for m in messages):
        require_quietly("pieces are the whole text's ids", vocabulary.encode(text).ids == tokens)
    return [(tokens, labels)]


def require_quietly(name, condition):
    if not condition:
        require(f"rows: {name}", False)


def template():
    fields = gguf.GGUFReader(str(MODEL)).fields
    source = fields["tokenizer.chat_template"].contents()
    return jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(source)


def completion(prompt, answer):
    border = len(prompt.encode())
    pieces = plain_ids(prompt + answer)
    tokens = [token for token, _, _ in pieces]
    labels = [token if end > border else UNTRAINED for token, _, end in pieces]
    labels[0] = UNTRAINED
    end = ids_of_control[END]
    return [(tokens + [end], labels + [end])]


def text(value, limit=LIMIT):
    """Control tokens are recognised; what is too long is cut into rows of its own."""
    tokens = vocabulary.encode(value).ids + [ids_of_control[END]]
    pieces = [tokens[i : i + limit] for i in range(0, len(tokens), limit)]
    return [(piece, [UNTRAINED, *piece[1:]]) for piece in pieces]


def formats():
    """By format: rows as files have them, and the encoded rows that each must give."""
    pairs = list(zip(QUESTIONS, ANSWERS))
    messages, sharegpt, alpaca = [], [], []
    for i, (question, answer) in enumerate(pairs):
        turns = [("user", question), ("assistant", answer)]
        if i % 2:
            turns = [("system", f"Rule {i}."), *turns]
        if i % 3 == 0:
            turns += [("user", answer), ("assistant", question)]
        as_messages = [{"role": role, "content": content} for role, content in turns]
        names = {"user": "human", "assistant": "gpt", "system": "system"}
        conversation = [{"from": names[role], "value": content} for role, content in turns]
        messages.append(({"messages": as_messages}, chat(as_messages)))
        sharegpt.append(({"conversations": conversation}, chat(as_messages)))
        row = {"instruction": question, "output": answer}
        asked = question
        if i % 2:
            row["input"] = "" if i == 1 else f"with input {i}"
            asked += "" if i == 1 else f"\n\nwith input {i}"
        as_messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        alpaca.append((row, chat(as_messages)))
    return {
        "messages": messages,
        "sharegpt": sharegpt,
        "alpaca": alpaca,
        "prompt-completion": [
            ({"prompt": q, "completion": a}, completion(q, a)) for q, a in pairs
        ],
        "text": [
            ({"text": f"{q} {a}"}, text(f"{q} {a}")) for q, a in pairs[:-2]
        ] + [({"text": LONG}, text(LONG)), ({"text": LONG[:300]}, text(LONG[:300]))],
    }


TEMPLATE = template()
with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    model = load_causal_model(FLOAT32)
    for form, cases in formats().items():
        data = work / f"{form}.jsonl"
        write_rows(data, [row for row, _ in cases])
        expected = [encoded for _, rows in cases for encoded in rows]
        limit = LIMIT if form == "text" else 512
        recipe = write_recipe(
            work / f"{form}.json", MODEL, data, form, data={"maxTokens": limit},
            model={"quantization": {"type": "none"}, "computeDType": "float32"},
        )
        found = [row for line in preview(recipe, len(expected)) for row in rows_of(line)]
        wrong = [i for i, (ours, theirs) in enumerate(zip(found, expected))
                 if (ours[0], ours[1]) != theirs]
        for i in wrong[:2]:
            print(f"  row {i}: found {found[i]}, expected {expected[i]}")
        require(f"rows {form}: tokens and labels of {len(expected)}",
                not wrong and len(found) == len(expected))
        # `eval` has no limit of tokens, so nothing is cut there.
        whole = [row for value, _ in cases for row in text(value["text"], 10**6)] \
            if form == "text" else expected
        ours = evaluate(MODEL, data, form)
        mean, _ = mean_losses(model, whole)
        require(f"rows {form}: eval counts rows and labels",
                (ours["rows"], ours["labelledTokens"])
                == (len(whole), sum(x != UNTRAINED for _, labels in whole for x in labels)))
        check(f"rows {form}: |loss - transformers'|",
              abs(ours["meanNegativeLogLikelihood"] - mean), 1e-4)
finish()

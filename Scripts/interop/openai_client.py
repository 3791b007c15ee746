"""`qlora serve` as the real `openai` client sees it, and what it does with hostile requests."""

import concurrent.futures
import http.client
import json
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import time

import openai

import common

QUEUE = 4


class Server:
    """The binary on a free port for as long as the block lasts."""

    def __init__(self, *arguments):
        command = [common.BINARY, "serve", "--port", "0", *map(str, arguments)]
        self.process = subprocess.Popen(command, cwd=common.ROOT, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rsplit(":", 1)[1].split("/")[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        common.require("SIGTERM ends the server cleanly", self.process.wait(timeout=20) == 0)

    def client(self, key="none"):
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=120)


def user(text):
    return [{"role": "user", "content": text}]


def raises(name, kind, body):
    try:
        body()
    except openai.APIError as error:
        common.require(f"{name}: {kind.__name__}", type(error) is kind)
    else:
        common.require(f"{name}: {kind.__name__}", False)


def answers(server, base, adapters):
    """Greedy answers by every way are those of `qlora generate`, for the base and each adapter."""
    client = server.client()
    names = [model.id for model in client.models.list()]
    common.require("models: the base, then the adapters", names == ["base", *adapters])
    common.require("models: one by its name", client.models.retrieve("base").id == "base")
    texts = set()
    for name in names * 2:
        more = ("--adapter", adapters[name]) if name in adapters else ()
        expected = common.qlora_json("generate", "--model", base, "--prompt", "one two",
                                     "--max-tokens", 24, "--logprobs", 2, "--json", *more)
        asked = dict(model=name, messages=user("one two"), max_tokens=24, temperature=0)
        whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
        common.require(f"{name}: generate's answer",
                       whole.choices[0].message.content == expected["text"])
        common.require(f"{name}: its reason and counts",
                       whole.choices[0].finish_reason == expected["finishReason"]
                       and whole.usage.completion_tokens == expected["generatedTokens"]
                       and whole.usage.prompt_tokens == expected["promptTokens"])
        found = [token.logprob for token in whole.choices[0].logprobs.content]
        common.require(f"{name}: its logprobs",
                       found == [token["logprob"] for token in expected["logprobs"]])
        best = [t.top_logprobs[0] for t in whole.choices[0].logprobs.content]
        common.require(f"{name}: the likeliest is taken",
                       found == [entry.logprob for entry in best])
        chunks = list(client.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        common.require(f"{name}: the same as a stream", text == expected["text"])
        common.require(f"{name}: a stream's usage", chunks[-1].usage == whole.usage)
        raw = common.qlora_json("generate", "--model", base, "--prompt", "one two", "--raw",
                                "--max-tokens", 8, "--json", *more)
        completion = client.completions.create(
            model=name, prompt="one two", max_tokens=8, temperature=0)
        common.require(f"{name}: /v1/completions", completion.choices[0].text == raw["text"])
        texts.add(expected["text"])
    common.require("the adapters answer differently", len(texts) == len(names))


def options(server):
    client = server.client()

    def ask(**more):
        return client.chat.completions.create(
            **{"model": "base", "messages": user("red"), "max_tokens": 16, **more}).choices

    def text(**more):
        return ask(**more)[0].message.content

    common.require("the same seed, the same answer", text(seed=3) == text(seed=3))
    common.require("other seeds, other answers", len({text(seed=s) for s in range(5)}) > 1)
    common.require("n answers", len({c.message.content for c in ask(n=4, seed=1)}) > 1)
    whole = text(temperature=0)
    stop = next((whole[i] for i in range(2, len(whole)) if whole[i] not in whole[:i]), whole[2])
    cut = ask(temperature=0, stop=[stop, "never there"])[0]
    common.require("stop: the text before it", cut.message.content == whole[:whole.index(stop)])
    common.require("stop: the reason", cut.finish_reason == "stop")
    stream = client.chat.completions.create(
        model="base", messages=user("red"), max_tokens=16, temperature=0, stop=stop, stream=True)
    streamed = "".join(c.choices[0].delta.content or "" for c in stream)
    common.require("stop: in a stream", streamed == cut.message.content)
    several = client.completions.create(
        model="base", prompt=["red", [1, 2, 3]], n=2, max_tokens=3, logprobs=2)
    indices = [choice.index for choice in several.choices]
    common.require("completions: prompts times n", indices == [*range(4)])
    # Drawn at temperature 1, an answer may end before its limit.
    common.require("completions: logprobs of each token",
                   all(len(c.logprobs.tokens) == 3 if c.finish_reason == "length"
                       else len(c.logprobs.tokens) < 3 for c in several.choices))
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    common.require("tools are taken", len(ask(tools=tools)) == 1)

    create = client.chat.completions.create
    bad, lost = openai.BadRequestError, openai.NotFoundError
    raises("no such model", lost, lambda: ask(model="other"))
    raises("a role that is none", bad, lambda: ask(messages=[{"role": "king", "content": "x"}]))
    raises("a temperature of 3", bad, lambda: ask(temperature=3))
    raises("JSON asked for", bad, lambda: ask(response_format={"type": "json_object"}))
    raises("an unknown field", bad, lambda: ask(extra_body={"temprature": 1}))
    raises("a prompt too long", bad, lambda: ask(messages=user("x" * 5000)))
    raises("a picture", bad, lambda: ask(messages=[{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:,"}}]}]))
    raises("no messages", bad, lambda: create(model="base", messages=[]))
    raises("nothing there", lost, lambda: client.embeddings.create(model="base", input="x"))
    raises("9 MiB", openai.APIStatusError, lambda: ask(messages=user("x" * (9 << 20))))


def raw_status(port, payload, wait=20, shut=False):
    """The status of what is answered to bytes, 0 where the connection ends without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        try:
            connection.sendall(payload)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            head = connection.recv(64)
        except OSError:
            return 0
    return int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else 0


def post(body, path="/v1/chat/completions", host="localhost", **headers):
    body = body if isinstance(body, bytes) else body.encode()
    lines = {"Host": host, "Content-Type": "application/json", "Content-Length": len(body),
             "Connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def hostile_bodies():
    """Bodies of which none is a request."""
    message = '"messages": [{"role": "user", "content": "x"}]'
    values = ["-1", "1e400", "-1e400", "99999999999999999999999", "NaN", "Infinity", '"1"', "[]",
              "{}", "-0.5", "1.5", "true"]
    for field in ("temperature", "top_p", "max_tokens", "n", "seed", "top_k", "top_logprobs",
                  "frequency_penalty"):
        for value in values:
            yield f'{{"model": "base", {message}, "{field}": {value}, "logprobs": 7}}'
    for text in ("", "{", "[", "null", "0", '"x"', "[]", "{}", "{]", '{"model"', "\0", "{\"a\":}",
                 "[" * 200_000, '{"a":' * 100_000, '{"model": "base", "messages": ' + "[" * 5000,
                 '{"model": "base", "messages": [null]}', '{"model": "base", "messages": [1]}',
                 '{"model": "base", "messages": "x"}', '{"model": [], ' + message + "}",
                 '{"model": "base", "model": "base", ' + message + "}",
                 '{"model": "base", "messages": [{"role": "user", "content": "\\ud800"}]}',
                 '{"model": "base", ' + message + ', "n_discard": -1}',
                 '{"model": "base", ' + message + ', "stop": [""]}',
                 '{"model": "base", ' + message + ', "stop": ["' + "x" * 2000 + '"]}',
                 '{"model": "base", ' + message + ', "tools": [{"type": "function"}]}',
                 '{"model": "base", ' + message + ', "stream_options": {"include_usage": 1}}',
                 '{"model": "base", "messages": [' + '{"role": "user", "content": "x"},' * 30000
                 + '{"role": "user", "content": "x"}]}'):
        yield text
    yield b'{"model": "base", "messages": [{"role": "user", "content": "\xff\xfe"}]}'
    yield b"\x80\x81\x82"
    yield b"\x1f\x8b\x08\x00" * 100


def hostile(server):
    """Nothing ends in a 5xx, and afterwards the server answers as before."""
    port = server.port
    before = server.client().chat.completions.create(
        model="base", messages=user("red"), max_tokens=8, temperature=0).choices[0].message.content
    found = [raw_status(port, post(body)) for body in hostile_bodies()]
    common.require(f"{len(found)} hostile bodies: all refused with 4xx",
                   all(400 <= status < 500 for status in found))
    texts = [raw_status(port, post(json.dumps({"model": "base", "prompt": prompt}),
                                   "/v1/completions"))
             for prompt in (None, 3, {}, [None], [[]], [-1], [10**9], [10**30], "", ["a", 1.5])]
    common.require("10 hostile prompts: 400", set(texts) == {400})
    good = '{"model": "base", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}'
    framing = {
        "no length": (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                      b"Content-Type: application/json\r\n\r\n" + good.encode()),
        "a negative length": post(good, **{"Content-Length": -1}),
        "a huge length": post(good, **{"Content-Length": 2**62}),
        "a length beyond numbers": post(good, **{"Content-Length": 10**30}),
        "two framings": post(good, **{"Transfer-Encoding": "chunked"}),
        "chunks that lie": post(b"zz\r\nxx", **{"Content-Length": None,
                                                "Transfer-Encoding": "chunked"}),
        "an endless chunk": post(b"7fffffffffffffff\r\nx", **{"Content-Length": None,
                                                              "Transfer-Encoding": "chunked"}),
        "another host": post(good, host="evil.example"),
        "no host": post(good, Host=None),
        "another type": post(good, **{"Content-Type": "text/plain"}),
        "another method": b"DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "no method": b"\r\n\r\n", "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9,
        "another path": post(good, "/../../etc/passwd"),
        "a path of escapes": post(good, "/v1/%00%ff%2e%2e/%zz"),
        "a long path": post(good, "/" + "a" * 20_000),
    }
    statuses = {name: raw_status(port, payload, shut=True) for name, payload in framing.items()}
    wrong = {name: status for name, status in statuses.items() if status >= 500 or status == 200}
    common.require(f"{len(framing)} requests that are no HTTP, or hardly: {wrong or 'none 5xx'}",
                   not wrong)
    crowd(port, good)
    disappear(port, good)
    after = server.client().chat.completions.create(
        model="base", messages=user("red"), max_tokens=8, temperature=0).choices[0].message.content
    common.require("afterwards the answer is as before", after == before)


def disappear(port, good):
    """Clients that go away, in the middle of anything, keep nobody waiting."""
    long = good.replace('"max_tokens": 1', '"max_tokens": 200, "stream": true')
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for index, connection in enumerate(slow):
        connection.sendall(post(good)[: 20 * index + 5])
    for index in range(30):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(post(long))
        if index % 3:
            connection.recv(200)
        if index % 2:
            # A reset instead of an orderly end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    start = time.monotonic()
    status = 429
    while status == 429 and time.monotonic() - start < 60:
        status = raw_status(port, post(good))
    seconds = time.monotonic() - start
    common.require("50 clients that stall or leave: the next is answered", status == 200)
    common.check("seconds until then", seconds, 20)
    for connection in slow:
        connection.close()


def crowd(port, good):
    """Too many at once: some are answered, the others hear 429."""
    long = good.replace('"max_tokens": 1', '"max_tokens": 150')

    def ask(_):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("POST", "/v1/chat/completions", long,
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        found = list(pool.map(ask, range(40)))
    common.require(f"40 at once, {QUEUE} wait: {found.count(200)} answered, {found.count(429)} "
                   "refused with 429", set(found) <= {200, 429} and found.count(200) >= QUEUE)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        base = folder / "base"
        common.make_tiny_chat_model(base)
        adapters = {}
        for index, adapter in enumerate(("first", "second")):
            rows = folder / f"{adapter}.jsonl"
            common.write_rows(rows, common.text_rows(20, index))
            recipe = common.write_recipe(
                folder / f"{adapter}.json", base, rows,
                training={"steps": 8, "batchSize": 2,
                          "optimizer": {"learningRate": 0.02 * (index + 1)}})
            common.qlora("train", recipe, "--output", folder / adapter)
            adapters[adapter] = folder / adapter / "adapter"
        named = [f"--adapter={name}={path}" for name, path in adapters.items()]
        with Server("--model", base, *named, "--queue", QUEUE) as server:
            answers(server, base, adapters)
            options(server)
            hostile(server)
        with Server("--model", base, "--api-key", "secret") as server:
            raises("a wrong key", openai.AuthenticationError, server.client("other").models.list)
            models = server.client("secret").models.list()
            common.require("the right key", [model.id for model in models] == ["base"])
    common.finish()


main()

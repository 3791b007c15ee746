"""`qlora chat` with lines of stdin, and on a terminal: Ctrl-C does not end it, Ctrl-D does."""

import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import tempfile
import time

import common


class Terminal:
    """The binary with a terminal for all of its streams."""

    def __init__(self, *arguments):
        self.process, self.file = pty.fork()
        if self.process == 0:
            os.execv(common.BINARY, [common.BINARY, "chat", *map(str, arguments)])

    def send(self, text):
        os.write(self.file, text.encode())

    def until(self, text, seconds=30):
        """Whether the text comes in time; with None, whether the end does."""
        found = b""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.file], [], [], 0.1)[0]:
                try:
                    piece = os.read(self.file, 4096)
                except OSError:
                    piece = b""
                if not piece:
                    return text is None
                found += piece
            if text is not None and text.encode() in found:
                return True
        os.kill(self.process, signal.SIGKILL)
        return False


def lines(base, saved):
    asked = f"one two\nthree\n/save {saved}\n/undo\nthree\n"
    result = subprocess.run(
        [common.BINARY, "chat", "--model", base, "--max-tokens", "8", "--system", "be"],
        input=asked, capture_output=True, text=True, errors="replace")
    common.require("lines of stdin: the end is success", result.returncode == 0)
    row = json.loads(saved.read_text())
    roles = [message["role"] for message in row["messages"]]
    common.require("/save: a row of messages",
                   roles == ["system", "user", "assistant", "user", "assistant"])
    answers = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
    answers.append(answers[1])
    common.require("/undo: the same question has the same answer",
                   result.stdout == "".join(answer + "\n" for answer in answers))


def terminal(base):
    chat = Terminal("--model", base, "--max-tokens", 100)
    common.require("terminal: a prompt", chat.until("> "))
    for number in (1, 2, 3):
        time.sleep(0.3)
        chat.send("\x03")
        common.require(f"Ctrl-C {number}: another prompt", chat.until("> "))
    chat.send("one\n")
    time.sleep(0.05)
    chat.send("\x03")
    common.require("Ctrl-C in or after an answer: another prompt", chat.until("> "))
    chat.send("/nope\n")
    common.require("an unknown command is said", chat.until("there is no /nope"))
    chat.send("\x04")
    common.require("Ctrl-D: the end", chat.until(None))
    common.require("Ctrl-D: success", os.waitpid(chat.process, 0)[1] == 0)


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    common.make_tiny_chat_model(folder / "base")
    lines(folder / "base", folder / "row.json")
    terminal(folder / "base")
common.finish()

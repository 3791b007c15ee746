"""The hub's cache: what `qlora download` wrote as the hub's library reads it, and the other way.

A hub on this machine serves a tiny model; nothing leaves the machine. The store of large files
breaks off at random bytes; the token may never reach it.
"""

import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from common import BINARY, ROOT, check, finish, make_tiny_chat_model, require
from fake_hub import COMMIT, ID, FakeHub

DISCONNECTS = 520
BIG = 48 << 20
CHOSEN = ["*.json", "*.safetensors"]


def environment(home, hub):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    ours = {
        "HF_HOME": str(home),
        "HF_ENDPOINT": hub.address,
        "HF_TOKEN": "hf_secret",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
        "QLORA_CACHE": "off",
    }
    return kept | ours


def qlora(env, *arguments):
    command = [BINARY, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)


def python(env, text):
    """What a program prints as JSON, in a process of its own: the library reads variables once."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text], capture_output=True, text=True, env=env
    )
    if result.returncode != 0:
        sys.exit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def requests(hub, server=None):
    return [r for r in hub.requests if server is None or r[0] == server]


def check_broken_connections(work):
    """A large file arrives whole through hundreds of cuts, and little is sent twice."""
    folder = work / "big"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    data = b"".join(hashlib.sha512(b"%d" % i).digest() for i in range(BIG // 64))
    (folder / "model.safetensors").write_bytes(data)
    hub = FakeHub(folder, cuts=DISCONNECTS, seed=1)
    env = environment(work / "broken", hub)
    result = qlora(env, "download", ID, "--json")
    require("broken connections: exit 0", result.returncode == 0)
    if result.returncode == 0:
        path = pathlib.Path(json.loads(result.stdout)["path"])
        require(
            f"broken connections: {hub.disconnects} cuts, file bit for bit",
            hub.disconnects >= 500 and (path / "model.safetensors").read_bytes() == data,
        )
    check("broken connections: share of bytes sent twice", hub.sent / BIG - 1, 0.05)
    strangers = [r for r in requests(hub, "store") if r[3]]
    require("broken connections: the token stayed with the hub", not strangers)
    require("broken connections: the hub got it", all(r[3] for r in requests(hub, "hub")))
    hub.close()


def check_killed(work):
    """Downloads that are killed go on where they stopped."""
    folder = work / "big"
    hub = FakeHub(folder, pause=0.002)
    env = environment(work / "killed", hub)
    generator = random.Random(2)
    kills = 0
    command = [BINARY, "download", ID]

    def arrived():
        return sum(p.stat().st_size for p in (work / "killed").rglob("*.incomplete"))

    for _ in range(40):
        # At most a hundredth of it a time, so that it is not complete before the last.
        target = arrived() + generator.randrange(BIG // 100)
        with open(os.devnull, "w") as nothing:
            process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=nothing, stderr=nothing)
        while arrived() <= target and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    hub.pause = 0
    result = qlora(env, "download", ID, "--json")
    path = pathlib.Path(json.loads(result.stdout)["path"]) if result.returncode == 0 else None
    data = (folder / "model.safetensors").read_bytes()
    right = path is not None and (path / "model.safetensors").read_bytes() == data
    require(f"killed {kills} times, {hub.resumed} went on: file bit for bit", right)
    require("killed: they went on", kills == 40 and hub.resumed >= 39)
    require("killed: the cache is intact", qlora(env, "cache", "verify").returncode == 0)
    hub.close()


def check_company(work):
    """Two at once share the work; one that is asked to stop says how to go on."""
    hub = FakeHub(work / "big", pause=0.001)
    env = environment(work / "company", hub)
    command = [BINARY, "download", ID]
    with open(os.devnull, "w") as nothing:
        both = [subprocess.Popen(command, env=env, stdout=nothing, stderr=nothing) for _ in "ab"]
        codes = [process.wait() for process in both]
    require("two at once: both find it whole", codes == [0, 0])
    require("two at once: fetched once", hub.sent == BIG)
    env = environment(work / "stopped", hub)
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not any((work / "stopped").rglob("*.incomplete")):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].decode()
    require("stopped: 75, and how to go on", process.returncode == 75 and "goes on" in said)
    hub.close()


def check_ours(work, model):
    """What we wrote, read by the library."""
    hub = FakeHub(model)
    env = environment(work / "ours", hub)
    report = json.loads(qlora(env, "download", ID, "--json").stdout)
    asked = len(hub.requests)
    again = json.loads(qlora(env, "download", ID, "--json").stdout)
    require("ours: nothing asked the second time", len(hub.requests) == asked)
    require("ours: same place", again["path"] == report["path"] and not again["askedServer"])
    found = python(
        env | {"HF_HUB_OFFLINE": "1"},
        f"""
import json
from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
info = scan_cache_dir()
print(json.dumps({{
    "path": snapshot_download({ID!r}, allow_patterns={CHOSEN!r}),
    "config": try_to_load_from_cache({ID!r}, "config.json"),
    "warnings": [str(w) for w in info.warnings],
    "repos": [[r.repo_id, r.size_on_disk, sorted(x.commit_hash for x in r.revisions)]
              for r in info.repos],
    "layers": AutoConfig.from_pretrained({ID!r}).num_hidden_layers,
    "tokens": AutoTokenizer.from_pretrained({ID!r})("red green")["input_ids"],
    "weights": AutoModelForCausalLM.from_pretrained({ID!r}).num_parameters(),
}}))
""",
    )
    require("ours: snapshot_download finds it", found["path"] == report["path"])
    require("ours: a file is found", found["config"] == report["path"] + "/config.json")
    require("ours: scanned without warnings", found["warnings"] == [])
    require("ours: scanned commit", [[r[0], r[2]] for r in found["repos"]] == [[ID, [COMMIT]]])
    require("ours: from_pretrained offline", min(found["layers"], found["weights"]) > 0)
    before = len(hub.requests)
    python(
        env,
        f"""
from huggingface_hub import snapshot_download
print('"' + snapshot_download({ID!r}, allow_patterns={CHOSEN!r}) + '"')
""",
    )
    fetched = [r for r in hub.requests[before:] if r[1] == "GET" and "/resolve/" in r[2]]
    require("ours: online it fetches nothing again", fetched == [])
    hub.close()


def check_theirs(work, model):
    """What the library wrote, read by us."""
    hub = FakeHub(model)
    env = environment(work / "theirs", hub)
    path = python(
        env,
        f"""
from huggingface_hub import snapshot_download
print('"' + snapshot_download({ID!r}) + '"')
""",
    )
    asked = len(hub.requests)
    offline = env | {"HF_HUB_OFFLINE": "1"}
    result = qlora(offline, "download", ID, "--json")
    report = json.loads(result.stdout) if result.returncode == 0 else {}
    require("theirs: nothing to download", report.get("path") == path)
    require("theirs: the record of files is read", bool(report.get("files")))
    require("theirs: no request", len(hub.requests) == asked)
    inspected = qlora(offline, "inspect", ID, "--json")
    require("theirs: inspect ORG/NAME", inspected.returncode == 0)
    said = qlora(
        offline, "generate", "--model", ID, "--prompt", "red", "--max-tokens", "4", "--json"
    )
    require("theirs: generate with ORG/NAME", said.returncode == 0)
    require("theirs: cache verify", qlora(offline, "cache", "verify").returncode == 0)
    listed = [json.loads(l) for l in qlora(offline, "cache", "ls", "--json").stdout.splitlines()]
    require("theirs: cache ls", [(e["kind"], e["name"]) for e in listed] == [("model", ID)])
    blob = next(p for p in pathlib.Path(path).parents[1].glob("blobs/*") if p.stat().st_size > 9)
    blob.write_bytes(blob.read_bytes()[:-1] + b"~")
    require("theirs: damage is found", qlora(offline, "cache", "verify").returncode == 65)
    hub.close()


def check_refusals(work, model):
    hub = FakeHub(model)
    env = environment(work / "refused", hub)
    require("missing model: 66", qlora(env, "download", "no/such").returncode == 66)
    missing = qlora(env, "inspect", "no/such")
    require(
        "model not in the cache: 66 and the command",
        missing.returncode == 66 and "qlora download no/such" in missing.stderr,
    )
    offline = qlora(env | {"HF_HUB_OFFLINE": "1"}, "download", ID)
    require("offline and absent: 66", offline.returncode == 66)
    hub.close()
    require("no server: 69", qlora(env, "download", ID).returncode == 69)
    plain = env | {"HF_ENDPOINT": "http://192.0.2.1"}
    require("plain http elsewhere: 64", qlora(plain, "download", ID).returncode == 64)


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        model = work / "model"
        make_tiny_chat_model(model)
        check_ours(work, model)
        check_theirs(work, model)
        check_refusals(work, model)
        check_broken_connections(work)
        check_killed(work)
        check_company(work)
    finish()


if __name__ == "__main__":
    main()

"""Writes SmolLM2's GGUF, dequantized to float32 by transformers, as a Hugging Face folder.

The reference libraries need plain weights. The folder lies under Models/ (ignored by git); where
it is complete nothing is done. It holds no tokenizer: transformers ignores the splitter that a
GGUF names.
"""

import pathlib
import shutil
import tempfile

import torch
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[1]
GGUF = ROOT / "Models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER = ROOT / "Models" / "SmolLM2-135M-Instruct-float32"


def main():
    if FOLDER.exists():
        return
    loaded = AutoModelForCausalLM.from_pretrained(
        str(GGUF.parent), gguf_file=GGUF.name, dtype=torch.float32
    )
    # A model that came from a GGUF refuses to be saved, so its weights move to a fresh one.
    config = AutoConfig.from_pretrained(str(GGUF.parent), gguf_file=GGUF.name)
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    partial = pathlib.Path(tempfile.mkdtemp(prefix=".partial-", dir=FOLDER.parent))
    try:
        plain.save_pretrained(str(partial))
        partial.rename(FOLDER)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


if __name__ == "__main__":
    main()

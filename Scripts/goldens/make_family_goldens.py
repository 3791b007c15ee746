"""Makes families/: a tiny random model of every family of decoders, with what torch makes of it.

Each folder has a model of transformers in bfloat16 and golden.safetensors: tokens and labels, an
adapter, and on the plain base and on one in NF4 (blocks of 64, double quantization, decoded by
bitsandbytes) the logits, the loss and the gradient of every half of the adapter. All parameters are
random, so that no norm, bias, window or cap is without effect. Where llama.cpp has the family,
model.gguf is the same model, laid out as its converter does and written by PyPI's gguf.
usage: make_family_goldens.py [FOLDER [NAME...]]     (Tests/Goldens and all when none is named)
"""

import copy
import math
import pathlib
import shutil
import sys
import zlib

import gguf
import torch
import transformers
from bitsandbytes import functional
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
RANK, SCALE, VOCABULARY, LENGTH = 2, 2.0, 96, 20

SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
GPT2_SIZES = {
    "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24,
    "bos_token_id": 1, "eos_token_id": 2}


def rope(kind, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **more}}


def kinds(*layers):
    return {"num_hidden_layers": len(layers),
            "layer_types": [f"{layer}_attention" for layer in layers]}


SLIDING, FULL = "sliding", "full"
# Name, class of transformers, and what differs from SIZES.
CASES = [
    ("llama-linear", "Llama", rope("linear", factor=3.0) | {"attention_bias": True}),
    ("llama-dynamic", "Llama", rope("dynamic", factor=2.0) | {"max_position_embeddings": 12}),
    ("llama-llama3", "Llama", rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16)),
    ("llama-yarn", "Llama", rope(
        "yarn", factor=4.0, original_max_position_embeddings=16) | {"head_dim": 16}),
    ("mistral", "Mistral", {"sliding_window": 6}),
    ("qwen2", "Qwen2", {
        "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    ("qwen3", "Qwen3", {"head_dim": 16}),
    ("gemma", "Gemma", {"head_dim": 16}),
    ("gemma2", "Gemma2", kinds(SLIDING, FULL) | {
        "head_dim": 16, "sliding_window": 5, "query_pre_attn_scalar": 24,
        "attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.5}),
    ("gemma3", "Gemma3", kinds(SLIDING, SLIDING, FULL) | {
        "head_dim": 16, "sliding_window": 5, "query_pre_attn_scalar": 24, "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
    # The decoder of a model that sees images, too.
    ("gemma3-images", "Gemma3Images", kinds(SLIDING, FULL) | {
        "head_dim": 16, "sliding_window": 5, "query_pre_attn_scalar": 16}),
    ("phi3", "Phi3", {"head_dim": 8} | rope(
        "longrope", short_factor=[1.0, 1.1, 1.3, 1.7], long_factor=[1.0, 2.0, 4.0, 7.0],
        original_max_position_embeddings=16) | {"original_max_position_embeddings": 16}),
    ("phi4", "Phi3", rope("default", partial_rotary_factor=0.5) | {"sliding_window": 7}),
    ("smollm3", "SmolLM3", {"num_hidden_layers": 4}),
    ("granite", "Granite", {
        "embedding_multiplier": 3.0, "residual_multiplier": 0.6, "logits_scaling": 2.5,
        "attention_multiplier": 0.3, "attention_bias": True, "mlp_bias": True}),
    ("olmo2", "Olmo2", {}),
    ("olmo3", "Olmo3", kinds(SLIDING, SLIDING, SLIDING, FULL) | {
        "sliding_window": 5, "rope_parameters": {
            "full_attention": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 5e5,
                               "original_max_position_embeddings": 16},
            "sliding_attention": {"rope_type": "default", "rope_theta": 5e5}}}),
    ("stablelm", "StableLm", rope("default", partial_rotary_factor=0.25) | {"use_qkv_bias": True}),
    ("stablelm-parallel", "StableLm", rope("default", partial_rotary_factor=0.5) | {
        "use_parallel_residual": True}),
    ("stablelm-heads", "StableLm", rope("default", partial_rotary_factor=0.25) | {
        "use_parallel_residual": True, "qk_layernorm": True}),
    ("gpt-neox", "GPTNeoX", rope("default", partial_rotary_factor=0.25)),
    ("gpt-neox-sequential", "GPTNeoX", rope("default", partial_rotary_factor=1.0) | {
        "use_parallel_residual": False}),
    ("gpt2", "GPT2", {}),
    ("mixtral", "Mixtral", {
        "intermediate_size": 16, "num_local_experts": 4, "num_experts_per_tok": 2}),
    ("qwen3-moe", "Qwen3Moe", {
        "head_dim": 16, "num_experts": 5, "num_experts_per_tok": 3, "norm_topk_prob": False,
        "moe_intermediate_size": 16}),
    # Layers 0 and 2 by the step, layer 1 by the list: the last one has experts.
    ("qwen3-moe-dense", "Qwen3Moe", {
        "head_dim": 8, "num_hidden_layers": 4, "num_experts": 3, "num_experts_per_tok": 2,
        "norm_topk_prob": True, "moe_intermediate_size": 16, "mlp_only_layers": [1],
        "decoder_sparse_step": 2}),
    ("olmoe", "Olmoe", {
        "intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}),
    ("seed-oss", "SeedOss", {"head_dim": 16, "attention_bias": True}),
    ("starcoder2", "Starcoder2", {"sliding_window": 6}),
    ("exaone4", "Exaone4", kinds(SLIDING, SLIDING, FULL) | {
        "sliding_window": 5, "sliding_window_pattern": 3}),
    ("glm4", "Glm4", {"head_dim": 16, "attention_bias": True} | rope(
        "default", partial_rotary_factor=0.5)),
    ("ernie4-5", "Ernie4_5", {"head_dim": 16}),
    ("cohere", "Cohere", {"logit_scale": 0.3}),
    ("cohere2", "Cohere2", kinds(SLIDING, SLIDING, SLIDING, FULL) | {
        "logit_scale": 0.3, "sliding_window": 5}),
]


def make_model(kind, more):
    if kind == "Gemma3Images":
        return random_weights(with_images(SIZES | more), kind)
    sizes = GPT2_SIZES if kind == "GPT2" else SIZES
    config = getattr(transformers, ("Gemma3Text" if kind == "Gemma3" else kind) + "Config")(
        **(sizes | more))
    name = "GPT2LMHeadModel" if kind == "GPT2" else kind + "ForCausalLM"
    return random_weights(
        getattr(transformers, name)._from_config(config, attn_implementation="eager"), kind)


def with_images(text):
    vision = {
        "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 8, "patch_size": 4}
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=95,
        boi_token_index=93, eoi_token_index=94, bos_token_id=1, eos_token_id=[2, 3])
    return transformers.Gemma3ForConditionalGeneration._from_config(
        config, attn_implementation="eager")


def random_weights(model, kind):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if parameter.dim() > 1:
                noise = noise * (0.5 if "emb" in name or "wte" in name else 0.2)
            elif name.endswith("weight") and not kind.startswith("Gemma"):
                noise = 1 + 0.2 * noise
            else:
                noise = 0.2 * noise
            # Files are in bfloat16: what is computed with is what they hold.
            parameter.copy_(noise.bfloat16().float())
    return model.eval()


def linears(model):
    """Every linear of the blocks as (name in files, parameter, slice as [out, in])."""
    found = []
    for name, parameter in model.named_parameters():
        outside = "vision_tower" in name or ".layers." not in name and ".h." not in name
        if outside or parameter.dim() < 2:
            continue
        if "experts" in name:
            found += experts(model.config.model_type, name, parameter)
        elif ".gate.weight" not in name:
            turn = model.config.model_type == "gpt2"
            found.append((name.removesuffix(".weight"), name, (lambda p: p.T) if turn else (
                lambda p: p)))
    return found


def experts(kind, name, parameter):
    """The experts' own matrices in a fused parameter, called as files call them."""
    holder = name.rsplit(".", 1)[0]
    if kind == "mixtral":
        holder = holder.replace(".mlp.", ".block_sparse_moe.")
    half = parameter.shape[1] // 2
    words = ("w1", "w3", "w2") if kind == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    found = []
    for expert in range(parameter.shape[0]):
        if name.endswith("gate_up_proj"):
            found += [
                (f"{holder}.{expert}.{words[0]}", name, lambda p, e=expert: p[e, :half]),
                (f"{holder}.{expert}.{words[1]}", name, lambda p, e=expert: p[e, half:])]
        else:
            found.append((f"{holder}.{expert}.{words[2]}", name, lambda p, e=expert: p[e]))
    return found


def quantize(model):
    """Every linear in NF4 and back, by the library's own decoder."""
    with torch.no_grad():
        parameters = dict(model.named_parameters())
        for _, name, view in linears(model):
            matrix = view(parameters[name])
            # Blocks run over the flat matrix, so its rows may be cut to the length of a block.
            packed, state = functional.quantize_4bit(
                matrix.contiguous().reshape(-1, 64), blocksize=64, quant_type="nf4",
                compress_statistics=True)
            matrix.copy_(functional.dequantize_4bit(packed, state).reshape(matrix.shape))


def adapter(model):
    halves = {}
    parameters = dict(model.named_parameters())
    for module, name, view in linears(model):
        out, width = view(parameters[name]).shape
        halves[module] = (
            (torch.rand(RANK, width) * 2 - 1) / width ** 0.5, torch.randn(out, RANK) * 0.1)
    return halves


def with_adapter(model, halves):
    """The model's parameters, with W + scale·B·A in the place of every linear's W."""
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    changed = {}
    for module, name, view in linears(model):
        if name not in changed:
            changed[name] = parameters[name].clone()
        a, b = halves[module]
        view(changed[name]).add_(SCALE * (b @ a))
    return parameters | changed


def outcome(model, tokens, labels, halves):
    plain = model(input_ids=tokens, labels=labels, use_cache=False)
    found = {"logits": plain.logits.detach(), "loss": plain.loss.detach().reshape(1)}
    for pair in halves.values():
        for half in pair:
            half.requires_grad_(True)
            half.grad = None
    loss = torch.func.functional_call(
        model, with_adapter(model, halves),
        kwargs={"input_ids": tokens, "labels": labels, "use_cache": False}).loss
    loss.backward()
    found["adapted_loss"] = loss.detach().reshape(1)
    for module, (a, b) in halves.items():
        found[f"gradient.{module}.A"], found[f"gradient.{module}.B"] = a.grad, b.grad
    return found


# GGUF


ARCHITECTURES = {"mistral": "llama", "mixtral": "llama", "gemma3_text": "gemma3",
                 "olmo3": "olmo2", "gpt_neox": "gptneox", "qwen3_moe": "qwen3moe",
                 "cohere": "command-r"}
PERMUTED = {"llama", "mistral", "mixtral", "smollm3", "granite"}


def write_gguf(path, model):
    config, kind = model.config, model.config.model_type
    name = ARCHITECTURES.get(kind, kind)
    writer = gguf.GGUFWriter(str(path), name)
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", 4 * config.hidden_size))
    writer.add_head_count(heads)
    kv_heads = heads if kind in ("gpt2", "gpt_neox") else config.num_key_value_heads
    writer.add_head_count_kv(kv_heads)
    if hasattr(config, "head_dim"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if kind in ("gpt2", "gpt_neox", "stablelm", "starcoder2", "cohere", "cohere2"):
        writer.add_layer_norm_eps(getattr(config, "layer_norm_eps", 1e-5))
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    add_form(writer, config, kind, head_dim)
    architecture = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == name)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for weight, tensor in stored_tensors(model, heads, kv_heads):
        stem, suffix = weight.rsplit(".", 1)
        data = tensor.detach().float().contiguous()
        is_matrix = data.dim() > 1 and not stem.endswith("layernorm")
        values = (data.bfloat16().view(torch.int16).numpy().view("uint16").view("uint8")
                  if is_matrix else data.numpy())
        writer.add_tensor(
            f"{names.get_name(stem)}.{suffix}", values,
            raw_dtype=gguf.GGMLQuantizationType.BF16 if is_matrix else None)
    add_divisors(writer, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_form(writer, config, kind, head_dim):
    """What the family's part of the converter writes."""
    rope = getattr(config, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    if kind != "gpt2":
        writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1)))
        writer.add_rope_freq_base(rope["rope_theta"])
    scaling = {"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}
    if rope.get("rope_type") in scaling:
        writer.add_rope_scaling_type(scaling[rope["rope_type"]])
        writer.add_rope_scaling_factor(rope["factor"])
    if "original_max_position_embeddings" in rope:
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
        if kind in ("gemma3_text", "qwen2", "olmo3", "exaone4", "cohere2"):
            writer.add_sliding_window_pattern(
                [layer == "sliding_attention" for layer in config.layer_types])
    if kind in ("gemma2", "gemma3_text"):
        writer.add_attention_scale(config.query_pre_attn_scalar ** -0.5)
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if kind == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if kind == "gpt_neox":
        writer.add_parallel_residual(config.use_parallel_residual)
    if kind in ("cohere", "cohere2"):
        writer.add_logit_scale(config.logit_scale)
    if kind in ("mixtral", "qwen3_moe", "olmoe"):
        writer.add_expert_count(getattr(config, "num_local_experts", None) or config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if kind == "qwen3_moe":
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        writer.add_expert_weights_norm(config.norm_topk_prob)


def add_divisors(writer, config):
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        scale = config.max_position_embeddings / rope["original_max_position_embeddings"]
        writer.add_rope_scaling_attn_factors(
            (1 + math.log(scale) / math.log(rope["original_max_position_embeddings"])) ** 0.5)
        for key in ("long", "short"):
            writer.add_tensor(f"rope_factors_{key}.weight",
                              torch.tensor(rope[f"{key}_factor"]).float().numpy())
    if rope.get("rope_type") == "llama3":
        plain = 1 / rope["rope_theta"] ** (
            torch.arange(0, config.head_dim, 2).float() / config.head_dim)
        scaled, _ = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"](config)
        writer.add_tensor("rope_freqs.weight", (plain / scaled).numpy())


def turned_pairs(weight, heads):
    """Rows of a rotary pair side by side instead of a head's halves one after the other."""
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def stacked_heads(tensors):
    """Norms that every head has its own of, in one tensor for all."""
    for name, tensor in tensors.items():
        stem, norm, rest = name.partition(".norms.")
        if not norm:
            yield name, tensor
        elif rest == "0.weight":
            heads = [key for key in tensors if key.startswith(stem + norm)]
            yield stem + ".weight", torch.stack(
                [tensors[f"{stem}{norm}{head}.weight"] for head in range(len(heads))])


def stored_tensors(model, heads, kv_heads):
    """Tensors as the converter lays them out, under the names of files with experts in one."""
    kind = model.config.model_type
    for name, tensor in stacked_heads(model.state_dict()):
        if name in ("lm_head.weight",) and model.config.tie_word_embeddings:
            continue
        if kind in PERMUTED and ".q_proj." in name:
            tensor = turned_pairs(tensor, heads)
        if kind in PERMUTED and ".k_proj." in name:
            tensor = turned_pairs(tensor, kv_heads)
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            tensor = tensor + 1
        if kind == "gpt_neox" and ".query_key_value." in name:
            size = tensor.shape[0] // heads // 3
            tensor = tensor.reshape(heads, 3, size, *tensor.shape[1:]).swapaxes(0, 1).reshape(
                tensor.shape)
        if kind == "gpt2" and any(part in name for part in ("c_attn.w", "c_proj.w", "c_fc.w")):
            tensor = tensor.T
        if name.endswith(".gate_up_proj") and "experts" in name:
            half = tensor.shape[1] // 2
            stem = name.removesuffix("gate_up_proj")
            yield stem + "gate_proj.weight", tensor[:, :half]
            yield stem + "up_proj.weight", tensor[:, half:]
            continue
        yield name if name.endswith(("weight", "bias")) else name + ".weight", tensor


def make(name, kind, more):
    torch.manual_seed(zlib.crc32(name.encode()))
    model = make_model(kind, more)
    folder = FOLDER / "families" / name
    shutil.rmtree(folder, ignore_errors=True)
    # A copy: tables of rotary frequencies would be rounded with the weights.
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(str(folder))
    (folder / "generation_config.json").unlink(missing_ok=True)
    # llama.cpp has no dynamic scaling, nothing that tells windows of Mistral, and no Qwen3-MoE with
    # layers without experts; what sees images is in another file there.
    if name not in ("llama-dynamic", "gemma3-images", "qwen3-moe-dense"):
        write_gguf(folder / "model.gguf", model)
    tokens = torch.randint(0, VOCABULARY, (2, LENGTH))
    labels = tokens.clone()
    labels[0, :5] = -100
    halves = adapter(model)
    tensors = {"input_ids": tokens, "labels": labels}
    for module, (a, b) in halves.items():
        tensors[f"adapter.{module}.A"], tensors[f"adapter.{module}.B"] = a, b
    for base in ("float32", "nf4dq"):
        if base == "nf4dq":
            quantize(model)
        found = outcome(model, tokens, labels, halves)
        tensors.update({f"{base}.{key}": value for key, value in found.items()})
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()},
              str(folder / "golden.safetensors"))


def main():
    torch.set_num_threads(1)
    for name, kind, more in CASES:
        if len(sys.argv) < 3 or name in sys.argv[2:]:
            make(name, kind, more)
            print(name)


if __name__ == "__main__":
    main()

"""Compares our chat templates with PyPI `jinja2`, set up as transformers sets it up, on drawn
conversations: with and without system prompts, tools, calls, parts, and texts full of traps.

Run: python Scripts/interop/template_kinds.py [--count 300] [--seed 1]
The templates are those of make_template_goldens.py and the ones below, written in the manner of the
families' own. Our side is a Swift test, built in release where need be. Exits 1 at any difference.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "goldens"))
ARGUMENTS, sys.argv = sys.argv[1:], sys.argv[:1]
import make_template_goldens as goldens  # noqa: E402

FAMILIES = {
    "llama2": """
{%- if messages[0]['role'] == 'system' -%}
  {%- set rest = messages[1:] -%}{%- set system = messages[0]['content'] -%}
{%- else -%}
  {%- set rest = messages -%}{%- set system = false -%}
{%- endif -%}
{%- for message in rest -%}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception('roles must take turns') }}
  {%- endif -%}
  {%- if loop.index0 == 0 and system != false -%}
    {%- set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] -%}
  {%- else -%}{%- set content = message['content'] -%}{%- endif -%}
  {%- if message['role'] == 'user' -%}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
  {%- elif message['role'] == 'assistant' -%}{{ ' ' + content.strip() + ' ' + eos_token }}
  {%- endif -%}
{%- endfor -%}""",
    "llama32": """{{- bos_token }}
{%- if not date_string is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}{%- set system = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" + system + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'
            + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}{{- raise_exception("one call") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}{{- "}<|eot_id|>" }}
    {%- else %}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}{{- message.content }}{%- endif %}{{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "smollm3": """{%- if enable_thinking is not defined -%}
{%- set enable_thinking = true -%}{%- endif -%}
{%- set reasoning = "/think" if enable_thinking else "/no_think" -%}
{%- if messages[0].role == "system" -%}
  {%- set system = messages[0].content -%}
  {%- if "/no_think" in system -%}{%- set reasoning = "/no_think" -%}{%- endif -%}
  {%- set custom = system.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
<|im_start|>system
{% if custom %}{{ custom }}{% else %}Today: {{ strftime_now("%d %B %Y") }}
{% endif %}
Reasoning: {{ reasoning }}
{% if tools -%}
{{ "### Tools\\n\\n<tools>\\n" -}}
{%- for tool in tools -%}{{- tool | string | length > 0 }}{{ tool | tojson ~ "\\n" }}{%- endfor -%}
{{ "</tools>" }}
{%- endif -%}
<|im_end|>
{% for message in messages -%}
  {%- set content = message.content if message.content is string else "" -%}
  {%- if message.role == "user" -%}{{ "<|im_start|>user\\n" + content + "<|im_end|>\\n" }}
  {%- elif message.role == "assistant" -%}
    {% generation %}
    {%- if reasoning == "/think" -%}
      {{ "<|im_start|>assistant\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
    {%- else -%}
      {{ "<|im_start|>assistant\\n<think>\\n\\n</think>\\n"
         + content.lstrip("\\n") + "<|im_end|>\\n" }}
    {%- endif -%}
    {% endgeneration %}
  {%- elif message.role == "tool" -%}
    {{ "<|im_start|>user\\n<tool_response>" ~ content ~ "</tool_response><|im_end|>\\n" }}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ "<|im_start|>assistant\\n" }}{%- endif -%}
""",
    "granite": """{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = "Knowledge Cutoff Date: April 2024.\\nToday's Date: "
        + strftime_now('%B %d, %Y') + ".\\nYou are an assistant." %}
    {%- if tools and documents %}{%- set system_message = system_message + " Both." %}
    {%- elif tools %}{%- set system_message = system_message + " You have tools." %}{%- endif %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' }}
{%- if tools %}
    {{- '<|start_of_role|>available_tools<|end_of_role|>' }}{{- tools | tojson(indent=4) }}
    {{- '<|end_of_text|>\\n' }}
{%- endif %}
{%- for message in loop_messages %}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' }}
    {{- message['content'] if message['content'] is string else message['content'] | tojson }}
    {{- '<|end_of_text|>\\n' }}
    {%- if loop.last and add_generation_prompt %}
        {{- '<|start_of_role|>assistant' }}
        {%- if controls %}{{- ' ' + controls | tojson() }}{%- endif %}
        {{- '<|end_of_role|>' }}
    {%- endif %}
{%- endfor %}""",
    "phi4": """{% for message in messages %}{% if (message['role'] == 'system') %}
{{'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'}}
{% elif (message['role'] == 'user') %}
{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}
{% elif (message['role'] == 'assistant') %}
{{'<|im_start|>assistant<|im_sep|>' ~ message['content'] ~ '<|im_end|>'}}
{% endif %}{% endfor %}{% if add_generation_prompt %}
{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}""",
    "gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}{%- set prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}{%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}{%- set prefix = "" -%}{%- set loop_messages = messages -%}{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}
    {%- else -%}{%- set role = message['role'] -%}{%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (prefix if loop.first else "") }}
    {%- if message['content'] is string -%}{{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}{{ raise_exception("Invalid content type") }}{%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{'<start_of_turn>model\\n'}}{%- endif -%}
""",
    "mistral3": """{%- set system_message =
    messages[0]['content'] if messages[0]['role'] == 'system' else none %}
{%- set loop_messages = messages[1:] if system_message is not none else messages %}
{%- set user_messages = loop_messages | selectattr('role', 'equalto', 'user') | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == 'tool' or (message.tool_calls is defined
            and message.tool_calls is not none)) %}
        {%- if (message['role'] == 'user') != (ns.index % 2 == 0) %}
            {{- raise_exception('roles must alternate') }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message['role'] == 'user' %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- '[AVAILABLE_TOOLS] [' }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != 'return' %}
                    {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}
                    {%- else %}{{- '"' + key + '": ' + val | tojson }}{%- endif %}
                    {%- if not loop.last %}{{- ', ' }}{%- endif %}
                {%- endfor %}
                {{- '}}' }}{{- ', ' if not loop.last else ']' }}
            {%- endfor %}
            {{- '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {%- if loop.last and system_message %}
            {{- '[INST] ' + system_message + '\\n\\n' + message['content'] + '[/INST]' }}
        {%- else %}{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- '[TOOL_CALLS] [' }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function | tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id | length != 9 %}
                {{- raise_exception('ids have nine letters') }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {{- ', ' if not loop.last else ']' + eos_token }}
        {%- endfor %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] | trim + eos_token }}
    {%- elif message['role'] == 'tool' %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content | string
            + ', "call_id": "' + (message.tool_call_id or 'x') + '"}[/TOOL_RESULTS]' }}
    {%- else %}{{- raise_exception('unknown role ' ~ message.role) }}{%- endif %}
{%- endfor %}
""",
    "olmo2": """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'assistant' %}
{% if not loop.last %}{{ '<|assistant|>\\n' + message['content'] + eos_token + '\\n' }}{% else %}
{{ '<|assistant|>\\n' + message['content'] + eos_token }}{% endif %}{% endif %}
{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}{% endfor %}""",
    "stablelm": """{% for message in messages %}
{{'<|' + message['role'] + '|>' + '\\n' + message['content']}}{{ '<|endoftext|>' if not loop.last }}
{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}""",
    "functionary": """{%- if not tools is defined %}{% set tools = none %}{% endif -%}
{%- set runs = tools | selectattr("type", "equalto", "code_interpreter") | list | length > 0 -%}
{%- set tools = tools | rejectattr("type", "equalto", "code_interpreter") | list -%}
{{ bos_token }}{% for tool in tools %}{{ tool.function | tojson(indent=2) }}{% endfor %}{{ runs }}
{% for message in messages %}{{ "<%s>%s\\n" % (message.role, message.content) }}{% endfor %}""",
    "recursive": """{%- macro kind(value) -%}
{{ "map" if value is mapping else "text" if value is string else "list" if value is iterable
   else "none" if value is none else "%s" | format(value) }}{%- endmacro -%}
{%- for message in messages %}{{ loop.depth }}
  {%- for key, value in message.items() recursive -%}
    [{{ loop.depth }}{{ loop.index }}/{{ loop.length }} {{ key }}={{ kind(value) }}
    {%- if value is mapping and value -%}{{ loop(value.items()) }}
    {%- elif value is string %}{{ "%.5s|%-4s|%3s" % (value, key, loop.index0) }}
    {%- elif value is iterable %}{% for one in value if (one is not none) recursive -%}
      {%- if one is mapping %}{{ one | length }}{% elif one is string %}{{ one }}
      {%- elif one is iterable %}{{ "(" ~ loop(one) ~ ")" }}{% else %}{{ one }}{% endif -%}
      {% else %}nothing{% endfor %}
    {%- endif %}]{% endfor %}
{% endfor %}""",
    "formats": """{%- for message in messages %}
{{ "%5d|%-5i|%05d|%+d|% d|%x|%#X|%o" % (loop.index, loop.index0, loop.index, -loop.index,
   loop.length, loop.index + 250, loop.index + 250, loop.index + 60) }}
{{ "%.2f %8.3f %-9.1e| %g %G %F %.0f" % (loop.index / 3, -loop.index / 7, loop.index * 1e5,
   loop.index / 4, loop.index * 1e9, loop.index, loop.index / 2) }}
{{ "%(role)s: %(role)r %%" % message }}{{ "%*d %.*f" % (6, loop.index, 2, loop.index / 9) }}
{{ "%s and %s" | format(message.role, message.content) }}{{ "%r" % message.content }}
{{ "%c%c" % ("é", 8364) }}{{ "%s" % none }}{{ "%s" % [1, "a"] }}{{ "%d" % 3.9 }}{{ "%d" % true }}
{%- endfor %}""",
}

TEXTS = ["hi", "", " ", "  two  ", "\n", "line\nline\n", "\ttab", "é\u00a0ü", "日本語 🙂", "<|im_end|>",
         "[INST]", "{{ x }} {% y %}", '"quoted" \\ \'it\'', "<think>\nwell\n</think>\n\nSo",
         "</think>", "/no_think", "a\r\nb", "\u2028", "<b>&amp;", "0", "null", "x" * 50]


def text(rng):
    return "".join(rng.choice(TEXTS) for _ in range(rng.randint(1, 3)))


def value(rng, depth=0):
    kind = rng.randrange(7 if depth < 2 else 5)
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    if kind == 6:
        return {rng.choice("abc") + text(rng): value(rng, depth + 1)
                for _ in range(rng.randint(0, 3))}
    return [text(rng), rng.randint(-5, 10**6), rng.random(), None, rng.random() < 0.5][kind]


def conversation(rng):
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": text(rng)})
    for turn in range(rng.randint(1, 5)):
        role = "user" if turn % 2 == 0 else "assistant"
        draw = rng.random()
        if role == "assistant" and draw < 0.35:
            calls = [goldens.call("f", {"a": value(rng), "é": value(rng)}, id="abcdefghi")
                     for _ in range(rng.choice([1, 1, 2]))]
            messages.append({"role": role, "content": rng.choice([None, "", text(rng), text(rng)]),
                             "tool_calls": calls})
            for _ in calls:
                messages.append({"role": "tool", "content": text(rng), "tool_call_id": "abcdefghi",
                                 "name": "f"})
            messages.append({"role": role, "content": text(rng)})
        elif draw < 0.39:
            messages.append({"role": role, "content": [
                {"type": "text", "text": text(rng)}, {"type": "image"},
                {"type": "text", "text": text(rng)}]})
        else:
            messages.append({"role": role, "content": text(rng)})
    if rng.random() < 0.1:
        messages.append({"role": rng.choice(["user", "narrator"]), "content": text(rng)})
    return messages


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where to leave the rows, instead of running our side")
    options = parser.parse_args(ARGUMENTS)
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="qlora-template-kinds-"))
    rng = random.Random(options.seed)
    rows = []
    for name, source in {**goldens.TEMPLATES, **FAMILIES}.items():
        for index in range(options.count):
            tools = goldens.TOOLS if "tools" in source and rng.random() < 0.5 else None
            rows.append(goldens.case(name, source, conversation(rng), tools, rng.random() < 0.5))
    (folder / "rows.json").write_text(json.dumps(rows))
    if options.folder:
        return
    environment = dict(os.environ, QLORA_TEMPLATE_KINDS=str(folder))
    subprocess.run(
        ["swift", "test", "-c", "release", "--disable-testable-imports", "--filter",
         "TemplateKindParityTests"],
        cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
    failures = compare(folder, rows)
    shutil.rmtree(folder)
    sys.exit(1 if failures else 0)


def compare(folder, rows):
    results = json.loads((folder / "result.json").read_text())
    counts = {}
    for row, found in zip(rows, results, strict=True):
        count = counts.setdefault(row["name"], [0, 0, 0])
        count[0] += 1
        count[1] += "error" in row
        # What the reference refuses, we must refuse.
        if row.get("text") != found:
            count[2] += 1
            if count[2] <= 2:
                print(row["name"], ascii(row["messages"])[:300], "\n  expected",
                      ascii(row.get("text", row.get("error")))[:400],
                      "\n  found   ", ascii(found)[:400])
    for name, (total, refused, wrong) in counts.items():
        print(f"{name}: {total} conversations ({refused} refused), {wrong} differ")
    return sum(wrong for _, _, wrong in counts.values())


if __name__ == "__main__":
    main()

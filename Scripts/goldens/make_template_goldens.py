"""Makes Tests/Goldens/templates.json: chat templates and single expressions with the text that
PyPI `jinja2` renders, set up as transformers sets it up (immutable sandbox, trim_blocks,
lstrip_blocks, loop controls, its own tojson, raise_exception).

The templates are written here, in the style of those that models ship.
Needs jinja2.
usage: make_template_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""
import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
NOW = datetime.datetime(2024, 7, 26, 0, 0, 0)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
        sort_keys=sort_keys)


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


def environment():
    result = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    result.filters["tojson"] = tojson
    result.globals["raise_exception"] = refuse
    result.globals["strftime_now"] = lambda form: NOW.strftime(form)
    return result


TEMPLATES = {
    "smollm2": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a careful helper<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}""",
    "chatml": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{% for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
{% endfor %}
{% if add_generation_prompt %}{{- '<|im_start|>assistant\\n' -}}{% endif %}
""",
    "llama31": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message leads, if there is one. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Knowledge until: December 2023\\n" }}
{{- "Today: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "Functions follow as JSON.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{#- Tools may be passed in the first user message. #}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("No first user message to put the tools in") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Answer with a call of one of these functions.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("One call at a time, please") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "qwen25": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a made-up assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\nSignatures within <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nCall like this:\\n<tool_call>\\n{\\"name\\": <name>, \\"arguments\\": <object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a made-up assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "qwen3": """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}""",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if tool_call.id is defined and tool_call.id|length == 9 %}
                {{- ', "id": "' + tool_call.id + '"}' }}
            {%- else %}
                {{- "}" }}
            {%- endif %}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + "}[/TOOL_RESULTS]" }}
    {%- else %}
        {{- raise_exception("Unknown role " + message.role) }}
    {%- endif %}
{%- endfor %}
""",
    "phi": """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% else %}{{'<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role here') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "generation": """{% for message in messages %}
{%- if message.role == 'assistant' %}
<a>{% generation %}{{ message.content }}<end>{% endgeneration %}

{% else %}
<{{ message.role }}>{{ message.content }}
{% endif %}
{% endfor %}""",
    "macros": """{%- macro shout(text, mark='!') -%}{{ text | upper }}{{ mark }}{%- endmacro -%}
{%- macro describe(name, schema, required=false) -%}
{{ name }}: {{ schema.type | default('any') }}{{ '' if required else '?' }}
{%- if schema.properties is defined %} {
{%- for key, value in schema.properties | dictsort %}
{{ '\\n  ' ~ describe(key, value, key in schema.required | default([])) }}{{ ',' if not loop.last }}
{%- endfor %} }
{%- endif -%}
{%- endmacro -%}
{%- macro wrap(tag) -%}<{{ tag }}>{{ caller() }}</{{ tag }}>{%- endmacro -%}
{%- for tool in tools or [] -%}
{{ describe(tool.function.name, tool.function.parameters) }}
{% endfor -%}
{%- for m in messages -%}
{%- call wrap(m.role) %}{{ shout(m.content, mark='?' if m.content.endswith('?') else '!') }}{% endcall %}
{% endfor -%}""",
    "captures": """{% set header %}
# {{ messages | length }} messages
{% endset %}
{% set roles = messages | map(attribute='role') | unique | join(', ') %}
{{ header | trim }} ({{ roles }})
{% filter upper %}{{ messages[0].content }}{% endfilter %}

{% with first = messages[0], n = 3 %}{{ first.role * n }}{% endwith %}
{% raw %}{{ not rendered }} {% if %}{% endraw %}

{%- for m in messages recursive_not_used | default([]) -%}{% endfor -%}
end""".replace("{%- for m in messages recursive_not_used | default([]) -%}{% endfor -%}\n", ""),
    "controls": """{% for m in messages %}
  {% if m.role == 'system' %}{% continue %}{% endif %}
  {{ loop.index }}/{{ loop.length }} {{ m.content[:12] }}{{ '...' if m.content|length > 12 }}
  {%+ if loop.index >= 3 %}{% break %}{% endif %}
{% else %}
nobody spoke
{% endfor %}
{% for word in messages[-1].content.split() if word | length > 2 %}{{ loop.cycle('a', 'b') }}{{ word }}{{ ',' if not loop.last }}{% else %}no words{% endfor %}""",
    "parts": """{% for m in messages %}{{ m.role }}:
{%- if m.content is string %}{{ m.content }}
{%- else %}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% else %}[{{ part.type }}]{% endif %}{% endfor %}
{%- endif %}

{% endfor %}""",
    "deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<|Assistant|><|calls|><|call|>' + tool['type'] + '<|sep|>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments'] | tojson + '\\n' + '```' + '<|call_end|>'}}{%- set ns.is_first = true -%}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|>'}}{% endif %}""",
}

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a \"city\" — today's <b>&</b>",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "enum": ["Zürich", "東京"]},
            "days": {"type": "integer", "default": 3}, "exact": {"type": "boolean", "default": False},
            "scale": {"type": "number", "default": 1.5}, "none": None, "empty": {}, "list": []}}}},
    {"type": "function", "function": {
        "name": "stop", "description": "Stops", "parameters": {"type": "object", "properties": {}}}},
]


def call(name, arguments, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


CONVERSATIONS = {
    "one": [{"role": "user", "content": "What is the capital of France?"}],
    "system": [
        {"role": "system", "content": "  Answer in one word.\n"}, {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": " Four "}, {"role": "user", "content": "3+3?\n"}],
    "long": [
        {"role": "user", "content": "hi \U0001f642 naïve\u00a0"}, {"role": "assistant", "content": "Hello!\n\nHow?"},
        {"role": "user", "content": "\ttabs\tand <|im_end|> marks"},
        {"role": "assistant", "content": "<think>\nlet me see\n</think>\n\nSure: {{ x }} {% y %}"},
        {"role": "user", "content": "bye bye"}, {"role": "assistant", "content": "ok"}],
    "tools": [
        {"role": "user", "content": "Weather in Zürich?"},
        {"role": "assistant", "content": None, "tool_calls": [
            call("get_weather", {"city": "Zürich", "days": 2, "scale": 0.1, "ok": True}, id="abcdefghi")]},
        {"role": "tool", "content": "{\"t\": 21.5}"},
        {"role": "assistant", "content": "21.5 degrees."}, {"role": "user", "content": "Thanks"}],
    "parallel": [
        {"role": "system", "content": "S"}, {"role": "user", "content": "Both?"},
        {"role": "assistant", "content": "", "tool_calls": [call("a", {}), call("b", {"x": [1, None, "y"]})]},
        {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}, {"role": "assistant", "content": "3"}],
    # As the OpenAI API has them: arguments as JSON text, ids, and no content at all.
    "text-arguments": [
        {"role": "user", "content": "Both?"},
        {"role": "assistant", "tool_calls": [
            call("a", "{\"city\": \"Zürich\", \"n\": 1}", id="abcdefghi")]},
        {"role": "tool", "content": "1", "tool_call_id": "abcdefghi", "name": "a"},
        {"role": "assistant", "content": "3"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image"},
                                           {"type": "text", "text": " this"}]}],
}

# One expression or fragment each; `m` is not defined, `messages` is the conversation "system".
FRAGMENTS = r"""
{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}
{{ 1.0 }} {{ 1e20 }} {{ 1e-7 }} {{ 0.1 + 0.2 }} {{ 3.0 * 2 }} {{ 10 / 5 }} {{ 1_000 }} {{ 7 % 2.5 }}
{{ 'a' 'b' ~ 1 ~ none ~ true ~ 1.5 }} {{ "x\ty\\n\u00e9\x41" }} {{ 'it\'s' }} {{ '\q' }}
{{ [1, 'two', none, true, 1.5, (3,), ('a', 'b'), {'k': 'v', 1: [2]}] }} {{ {} }} {{ () }} {{ 1, 2 }}
{{ ["it's", 'say "hi"', "it's \"x\"", "tab\there", "é\u200b\u00a0\n"] }}
{{ 'abc'[0] }}{{ 'abc'[-1] }}{{ 'abc'[1:] }}{{ 'abc'[::-1] }}{{ 'abcdef'[1:5:2] }}{{ 'abc'[:-5] }}{{ 'abc'[5:] }}
{{ [1,2,3][1] }}{{ [1,2,3][::-1] }}{{ [1,2,3][5] is defined }}{{ (1,2,3)[:2] }}{{ [1,2,3].0 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' != 'b' }} {{ [1] == [1] }} {{ (1,) == [1] }}
{{ 'a' in 'cat' }} {{ 'b' not in 'cat' }} {{ 1 in [1] }} {{ 'k' in {'k': 1} }} {{ not 1 in [2] }} {{ 'x' in missing }}
{{ true and false or 'x' }} {{ '' or 'y' }} {{ 'a' and 'b' }} {{ not '' }} {{ none or 0 }}
{{ 'a' if true else 'b' }} {{ 'a' if false }}| {{ 'a' if false else 'b' if false else 'c' }}
{{ missing }}|{{ missing is defined }}|{{ missing | default('d') }}|{{ '' | d('e') }}|{{ '' | d('e', true) }}|{{ none | d('f') }}
{{ 'aBc dE' | upper }} {{ 'aBc' | lower }} {{ 'hello wORLD-x y(z' | title }} {{ 'hELLO w' | capitalize }} {{ "it's" | title }} {{ "it's ok".title() }}
{{ '  x  ' | trim }}| {{ 'xxaxx' | trim('x') }} {{ '  y '.strip() }}|{{ '  y '.lstrip() }}|{{ '  y '.rstrip() }}|{{ 'abca'.strip('ac') }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a b c'.rsplit(' ', 1) }} {{ ' a  b  c '.split(none, 1) }} {{ 'a\nb\n'.splitlines() }}
{{ 'banana' | replace('a', 'o') }} {{ 'banana' | replace('a', 'o', 2) }} {{ 'banana'.replace('an', '') }} {{ 'abc'.replace('', '-') }} {{ 'aaa'.replace('a', 'b', 1) }}
{{ 'abc'.startswith('a') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'banana'.find('n') }} {{ 'banana'.rfind('n') }} {{ 'banana'.find('z') }} {{ 'banana'.count('an') }}
{{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'a1'.isalpha() }} {{ ' '.isspace() }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ '-'.join(['a', 'b']) }}
{{ [1, 2, 3] | join }} {{ ['a', 1, none] | join(', ') }} {{ messages | join(', ', attribute='role') }} {{ 'abc' | join('-') }}
{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 3, 2] | sort(reverse=true) }} {{ messages | sort(attribute='content') | map(attribute='role') | list }}
{{ [1, 1, 2, 'a', 'A'] | unique | list }} {{ [1, 2] | reverse | list }} {{ 'abc' | reverse }} {{ [1, 2, 3] | sum }} {{ [0.5, 1] | sum }} {{ [{'n': 1}, {'n': 2}] | sum(attribute='n') }}
{{ [1, 2, 3] | first }} {{ [1, 2, 3] | last }} {{ [] | first }}| {{ 'abc' | last }} {{ [1, 2] | length }} {{ 'äö' | count }} {{ {'a': 1} | length }} {{ [2, 5, 1] | max }} {{ [2, 5, 1] | min }}
{{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | items | list }} {{ {'b': 1, 'a': 2}.items() | list }} {{ {'b': 1, 'a': 2} | list }} {{ {'a': 2, 'b': 1} | dictsort(by='value') }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }}
{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('x') }} {{ {'a': 1}.get('x', 5) }} {{ {'a': 1}['a'] }} {{ {'a': 1}.a }} {{ {'items': 1}['items'] }} {{ {'a': {'b': 2}}.a.b }}
{{ [1, 2, 3, 4] | select('odd') | list }} {{ [1, 2, 3] | reject('equalto', 2) | list }} {{ [0, 1, '', 'a'] | select | list }} {{ messages | selectattr('role', 'eq', 'user') | map(attribute='content') | list }} {{ messages | rejectattr('role', 'in', ['user']) | list | length }} {{ messages | selectattr('missing') | list }}
{{ ['a', 'b'] | map('upper') | join }} {{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }} {{ [{'a': 1}, {}] | map(attribute='a', default='z') | list }} {{ ['x '] | map('trim') | list }} {{ ['a'] | map('replace', 'a', 'b') | list }}
{{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '3.9' | int }} {{ 3.9 | int }} {{ 'ff' | int(0, 16) }} {{ '1.5' | float }} {{ 'x' | float }} {{ 2 | float }} {{ -3 | abs }} {{ -1.5 | abs }} {{ 42 | string }} {{ true | int }}
{{ 2.567 | round(1) }} {{ 2.5 | round }} {{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }}
{{ {'a': [1, 2.0, none, true, "é\"\\\n\u2028</"], 'b': {}} | tojson }} {{ 'é' | tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': [1, {}]} | tojson(indent=2) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }} {{ [] | tojson(indent=2) }} {{ 1e16 | tojson }} {{ 1e15 | tojson }}
{{ "a\nb\n\nc" | indent }}| {{ "a\nb" | indent(2, true) }}| {{ "a\n\nb" | indent(2, blank=true) }}| {{ "a\nb" | indent('>> ') }}
{{ '<a href="x">&\'' | e }} {{ '<b>' | safe }} {{ '<b>' | escape }}
{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 'a' is string }} {{ {} is mapping }} {{ [] is sequence }} {{ 'a' is sequence }} {{ 1 is iterable }} {{ 1 is number }} {{ 1.5 is integer }} {{ 1 is integer }} {{ true is integer }} {{ true is boolean }} {{ 1.5 is float }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ none is none }} {{ 'a' is in ['a'] }} {{ 'a' is not string }} {{ 1 is eq 1 }} {{ 2 is gt 1 }} {{ missing is undefined }} {{ 'ab' is lower }} {{ range is callable }}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }} {% if true %}{% set x = 9 %}{% endif %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set (c, d) = [3, 4] %}{{ c }}{{ d }} {% for k, v in {'x': 1}.items() %}{{ k }}={{ v }}{% endfor %}
{% for i in range(3) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }} {{ loop.previtem }}-{{ loop.nextitem }}{{ loop.changed(i // 2) }} {% endfor %}
{% for i in range(5, 0, -2) %}{{ i }}{% endfor %} {% for i in range(2, 4) %}{{ i }}{% endfor %} {{ range(3) | list }} {{ range(0) | list }}
{% for i in [] %}x{% else %}empty{% endfor %} {% for i in missing %}x{% else %}none{% endfor %} {% for c in 'ab' %}[{{ c }}]{% endfor %}
{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{{ loop.index }};{% endfor %}
{% set ns = namespace(n=0, s='') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}{{ ns.missing is defined }}
{% macro f(a, b=2) %}{{ a }}-{{ b }};{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(a=4, b=5) }}{{ f() }}{% set g = f(6) | upper %}{{ g }}
{% macro outer(n) %}{{ n }}{% if n > 0 %}{{ outer(n - 1) }}{% endif %}{% endmacro %}{{ outer(5) }}
{% macro twice() %}{{ caller('a') }}{{ caller('b') }}{% endmacro %}{% call(x) twice() %}<{{ x }}>{% endcall %}
{{ dict(a=1, b='x') }} {{ strftime_now('%Y-%m-%d %d %b %B %A %a %j %H:%M:%S %p %I %y %%') }}
{%- if 1 -%}   a   {%- endif -%}   b {{- 'c' -}}   d {#- gone -#} e {# x #} f
{% if a is defined and a %}1{% elif messages | length > 100 %}2{% elif messages %}3{% else %}4{% endif %}
{{ (1, 2) + (3,) }} {{ [1] + [2] }} {{ 'ab' * 2 }} {{ 2 * 'ab' }} {{ [0] * 3 }} {{ 'x' * -1 }}|
{{ messages[0].role.upper() ~ messages[0]['content'].strip() ~ messages[-1].role }} {{ messages[1:] | length }} {{ messages[99] is defined }}
{{ none is not none or 1 }} {{ (1 if 0 else 2) + 3 }} {{ - 3 + 5 }} {{ not true == false }} {{ 1 in [1, 2] and 3 not in [1, 2] }} {{ 2 * 3 ~ 4 }}
{{ 'x' is string and 'y' }} {{ 5 | string | length + 1 }} {{ -5 | abs }} {{ 'a' | upper ~ 'b' | upper }} {{ ('a' ~ 'b') | upper }} {{ 'AbC' | lower | length == 3 }}
{{ 'Σς' | upper }} {{ 'ß' | upper }} {{ 'İ' | lower | length }} {{ 'ǆ' | title }} {{ 'éa' | capitalize }}
{{ "a" if "b" in "abc" and not "z" in "abc" else "c" }}
{{ loop is defined }} {{ bos_token }}{{ eos_token }} {{ tools is none }} {{ add_generation_prompt }}
{{ 1 / 0 }}
{{ missing.attribute }}
{{ missing + 1 }}
{{ 'a' + 1 }}
{{ missing() }}
{{ raise_exception('stop') }}
{{ 'a' | nosuchfilter }}
{{ 'a' is nosuchtest }}
{% for i in 5 %}{% endfor %}
{{ 'a' < 1 }}
{% if %}{% endif %}
{% for x in y %}
{{ 'abc' }
{{ [1, 2 }}
{% endfor %}
{% unknown %}
{{ 'unterminated }}
{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}
{{ messages.append(1) }}
{{ messages[0].update({'a': 1}) }}
{{ ''.__class__.__mro__ }}
{{ range(1000000) | length }}
""".strip("\n").split("\n")


def case(name, source, conversation, tools, prompt):
    row = {"name": name, "template": source, "messages": conversation, "tools": tools,
           "addGenerationPrompt": prompt}
    try:
        row["text"] = environment().from_string(source).render(
            messages=conversation, tools=tools, documents=None, add_generation_prompt=prompt,
            bos_token="<s>", eos_token="</s>")
    except Exception as error:  # What the reference refuses, we must refuse.
        row["error"] = type(error).__name__
    return row


def main():
    templates, fragments = [], []
    for name, source in TEMPLATES.items():
        for title, conversation in CONVERSATIONS.items():
            for tools in ([None, TOOLS] if "tools" in source else [None]):
                label = f"{name} / {title}" + (" / with tools" if tools else "")
                templates.append(case(label, source, conversation, tools, title != "long"))
    for index, source in enumerate(FRAGMENTS):
        fragments.append(case(f"fragment {index}", source, CONVERSATIONS["system"], None, True))
    output = {"jinja2": jinja2.__version__, "templates": templates, "fragments": fragments}
    path = FOLDER / "templates.json"
    path.write_text(json.dumps(output, ensure_ascii=False, indent=1), encoding="utf-8")
    for kind in ("templates", "fragments"):
        rows = output[kind]
        print(kind, len(rows), "of which refused", sum("error" in row for row in rows))
        for row in rows:
            if "error" in row:
                print("  ", row["error"], row["name"], row["template"][:40] if kind == "fragments" else "")


if __name__ == "__main__":
    main()

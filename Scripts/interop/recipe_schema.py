"""The JSON Schema of recipes as check-jsonschema and editors read it: it is a schema in both
drafts, takes every recipe of Recipes/, and agrees with `qlora validate` about hundreds of changed
recipes but for rules that a schema cannot state, which are listed."""

import copy
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import jsonschema

import common

WHOLE = {
    "name": "whole", "device": "cpu", "threads": 2, "output": "runs/whole",
    "maxMemory": {"cpu": "3GiB"}, "digests": {"model": "x"},
    "model": {
        "path": "m", "computeDType": "bfloat16",
        "quantization": {"type": "int8", "blocksize": 64, "doubleQuant": True, "skip": ["a"],
                         "threshold": 6},
    },
    "adapter": {"type": "lora", "rank": 8, "alpha": 16, "dropout": 0.1, "targets": ["q_proj"],
                "initializeFrom": None},
    "data": {
        "train": [{"path": "t", "format": "text", "weight": 2, "limit": 9}],
        "validation": [{"path": "t", "format": "alpaca", "limit": 5}],
        "maxTokens": 128, "packing": True, "shuffle": True, "overLength": "drop",
        "trainOn": "last-assistant",
    },
    "training": {
        "steps": 2, "batchSize": 2, "gradientAccumulation": 4,
        "optimizer": {"type": "adamw", "learningRate": 1e-4, "beta1": 0.9, "beta2": 0.95,
                      "epsilon": 1e-8, "weightDecay": 0.1},
        "schedule": {"type": "linear", "warmupSteps": 7}, "maxGradientNorm": 1,
        "onNonFinite": "skip", "maxNonFinite": 2, "activationMemory": "64MiB", "seed": 3,
        "neftuneAlpha": 5, "evalEvery": 5, "saveEvery": 5, "keep": 1, "logEvery": 1,
        "samples": 1, "maxWallTime": "1h",
    },
}

VALUES = [
    None, True, False, 0, 1, -1, 0.5, 1.5, 64, 48, 4096, 65537, 8.0, 1e300, 2**63, "", "a", "a/b",
    ".", "..", "a\tb", "none", "full", "host", "512MiB", "0MiB", "3 GiB", "12", "1h", "1m1h", "0s",
    "3h50m", [], ["a"], [""], [1], {}, {"a": "b"}, {"a": 1}, {"path": "t"}, [{"path": "t"}], [{}],
    "nf4", "fp4", "int8", "float32", "lion", "sgd", "cosine", "messages", "all-linear", "skip",
    "auto", "cuda", ".*q_proj", "all_linear",
]

# What `qlora validate` says where a schema says nothing.
UNSTATED = {
    "means nothing to": "keys that the optimizer lacks",
    "means nothing:": "weights of validation rows",
    "means nothing where": "maxNonFinite with halt",
    "is for \"int8\" only": "threshold without int8",
    "are both given": "validation rows named and split off",
    "did you mean \"all-linear\"": "near misses of all-linear",
    "a list is written": "lists within a string",
    "is not a regular expression": "patterns that are none",
    "E0112": "inputs that do not exist",
}


def places(value, place=()):
    """Paths of all members and elements."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in members:
        yield place + (key,)
        if isinstance(inner, (dict, list)):
            yield from places(inner, place + (key,))


def changed(generator):
    """The recipe with one or two places changed: another value, none, or another name."""
    recipe = copy.deepcopy(WHOLE)
    for _ in range(generator.choice([1, 1, 2])):
        place = generator.choice(list(places(recipe)))
        parent = recipe
        for key in place[:-1]:
            parent = parent[key]
        kind = generator.randrange(4)
        if kind == 0 and isinstance(parent, dict):
            name = generator.choice(["x", "Rank", "lora_r", place[-1] + "s"])
            parent[name] = parent.pop(place[-1])
        elif kind == 1:
            del parent[place[-1]]
        else:
            parent[place[-1]] = generator.choice(VALUES)
    return recipe


def verdict(folder, recipe):
    """What `qlora validate` says: nothing where the recipe is right."""
    path = folder / "recipe.json"
    path.write_text(json.dumps(recipe))
    result = common.run("validate", path, "--json")
    return "" if result.returncode == 0 else result.stderr


def compare(validator, folder, count):
    generator = random.Random(6)
    right, taken_by_schema, taken_by_qlora, unstated = 0, [], [], {}
    for _ in range(count):
        recipe = changed(generator)
        says = verdict(folder, recipe)
        accepts = validator.is_valid(recipe)
        if accepts == (says == ""):
            right += 1
        elif not accepts:
            taken_by_qlora.append(recipe)
        else:
            lines = [line for line in says.splitlines() if "error[" in line]
            names = [next((v for k, v in UNSTATED.items() if k in line), None) for line in lines]
            if None in names or not names:
                taken_by_schema.append(says)
            for name in names:
                unstated[name] = unstated.get(name, 0) + 1
    return right, taken_by_schema, taken_by_qlora, unstated


def check_metaschema(folder):
    program = pathlib.Path(sys.executable).with_name("check-jsonschema")
    recipes = sorted((common.ROOT / "Recipes").glob("*.json"))
    for draft in ["2020-12", "07"]:
        path = folder / f"schema-{draft}.json"
        path.write_text(common.qlora("schema", "--draft", draft))
        for arguments in [["--check-metaschema", path], ["--schemafile", path, *recipes]]:
            result = subprocess.run(
                [program, *map(str, arguments)], capture_output=True, text=True)
            print(f"draft {draft}:", result.stdout.strip().splitlines()[-1])
            common.require(
                f"draft {draft}: check-jsonschema {arguments[0]} of {len(arguments) - 1} files",
                result.returncode == 0)
        wrong = folder / "wrong.json"
        for text in ['{"modl": {}}', '{"model": {"path": 3}, "data": {"train": [{"path": "t"}]}}']:
            wrong.write_text(text)
            result = subprocess.run(
                [program, "--schemafile", str(path), str(wrong)], capture_output=True)
            common.require(f"draft {draft}: {text} is refused", result.returncode == 1)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file in "mt":
            (folder / file).write_text("")
        check_metaschema(folder)
        schema = json.loads(common.qlora("schema"))
        validator = jsonschema.Draft202012Validator(schema)
        common.require(
            "the unchanged recipe is right",
            verdict(folder, WHOLE) == "" and validator.is_valid(WHOLE))
        count = 600
        right, by_schema, by_qlora, unstated = compare(validator, folder, count)
        print(f"{right} of {count} changed recipes with one verdict; refused by qlora alone:")
        print("  " + "; ".join(f"{number} for {name}" for name, number in unstated.items()))
        common.require("no other difference", not by_schema and not by_qlora)
        for text in by_schema[:5]:
            print("taken by the schema alone:", text.strip()[:300])
        for recipe in by_qlora[:5]:
            print("taken by qlora alone:",
                  [error.message[:200] for error in validator.iter_errors(recipe)])
    common.finish()


if __name__ == "__main__":
    main()

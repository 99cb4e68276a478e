"""Whatever a stranger's files say, the answer is a model or one clear sentence: soon, and without taking memory."""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stylex import StylEx
from stylex.classifiers.classifier import Classifier
from stylex.networks.generator import Generator
from stylex.storage.files import MAX_MESSAGE, ModelError

# More with STYLEX_FUZZ=10000; what is tried follows from the seed.
TRIES = int(os.environ.get("STYLEX_FUZZ", "60"))
SEED = int(os.environ.get("STYLEX_FUZZ_SEED", "0"))
SLOWEST_S = 5.0  # of the processor
MEMORY_KB = 600_000

deep: Any = []
for _ in range(100):
    deep = [deep]
NUMBERS = [-1, 0, 1, 2, 3, 7, 16, 10**4, 2**31, 2**63, 10**9, 10**30, -(10**18), 0.5, 1e308, float("nan"), float("inf")]
TEXTS = [
    "",
    "x",
    "plain",
    "x" * 100_000,
    "../../etc/passwd",
    "\x00",
    "\ud800",
    "nan",
    "[]",
    "e\u0301\u202e",
    "a\nb",
    "{}",
]
OTHERS = [None, True, False, [], {}, [None], {"a": 1}, [10**9] * 3, [8] * 10**5, deep]
EVIL = NUMBERS + TEXTS + OTHERS
NETWORKS = {
    "stylex": ["ConvNet", "Discriminator", "os.system"],
    "torchvision": [
        "resnet18",
        "vit_b_16",
        "inception_v3",
        "swin_t",
        "maskrcnn_resnet50_fpn",
        "raft_large",
        "get_model",
    ],
    "timm": [
        "resnet18",
        "vit_tiny_patch16_224",
        "convnext_atto",
        "hf-hub:me/x",
        "local-dir:/etc",
        "efficientnet_lite0",
    ],
    "transformers": ["vit", "resnet", "bert", "timm_wrapper"],
    "subprocess": ["run"],
}
ARGUMENTS = ["width", "blocks", "depth", "embed_dim", "width_mult", "width_per_group", "groups", "layers", "img_size"]
ARGUMENTS += [
    "num_layers",
    "hidden_size",
    "pretrained",
    "checkpoint_path",
    "weights_backbone",
    "auto_map",
    "block",
    "cls",
]


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The way to every value inside of a JSON value."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def change(value: Any, chance: random.Random) -> Any:
    """A JSON value with one to three of its parts replaced, left out, doubled or added."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        place = chance.choice(list(places(value)))
        if not place:
            if chance.random() < 0.1:
                value = chance.choice(EVIL)
            continue
        parent = value
        for key in place[:-1]:
            parent = parent[key]
        kind = chance.random()
        if kind < 0.7:
            parent[place[-1]] = copy.deepcopy(chance.choice(EVIL))
        elif kind < 0.8:
            del parent[place[-1]]
        elif kind < 0.9 and isinstance(parent, list):
            parent.insert(place[-1], copy.deepcopy(parent[place[-1]]))
        elif isinstance(parent, dict):
            parent[chance.choice(["extra", "", "class", "model", "__class__", "shape", "name"])] = chance.choice(EVIL)
        if not isinstance(value, (dict, list)):
            break
    return value


def damage(raw: bytes, chance: random.Random) -> bytes:
    """Bytes that are cut, flipped, doubled or replaced."""
    at = chance.randrange(len(raw) + 1)
    return chance.choice(
        [
            lambda: raw[:at],
            lambda: raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :],
            lambda: raw[:at] + chance.randbytes(chance.randint(1, 20)) + raw[at:],
            lambda: raw[at:] + raw[:at],
            lambda: raw + raw,
        ]
    )()


def changed_json(raw: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return damage(raw, chance)
    return json.dumps(change(json.loads(raw), chance)).encode(errors="surrogatepass")


def changed_classifier(raw: bytes, chance: random.Random) -> bytes:
    """Also names of networks and arguments that exist, and some that should not be asked for."""
    if chance.random() < 0.5:
        return changed_json(raw, chance)
    library = chance.choice(list(NETWORKS))
    names = chance.sample(ARGUMENTS, chance.randint(0, 3))
    numbers = [1, 2, 3, 8, 64, 1000, 2**15, *NUMBERS, "small", None, [2, 2], {"url": "http://example.org"}]
    values = {"library": library, "architecture": chance.choice(NETWORKS[library])}
    values["arguments"] = {name: chance.choice(numbers) for name in names}
    return json.dumps({**json.loads(raw), **values}).encode(errors="surrogatepass")


def changed_tensors(raw: bytes, chance: random.Random) -> bytes:
    """The header of a safetensors file: its length, its JSON, or single bytes of it; the numbers after it stay."""
    (length,) = struct.unpack("<Q", raw[:8])
    header, numbers = raw[8 : 8 + length], raw[8 + length :]
    kind = chance.random()
    if kind < 0.1:
        return struct.pack("<Q", chance.choice([0, 1, length - 1, length + 1, 10**6, 2**40, 2**64 - 1])) + raw[8:]
    if kind < 0.4:
        return raw[:8] + damage(header, chance)[:length].ljust(length) + numbers
    rows = json.loads(header)
    if kind < 0.7:
        row = rows[chance.choice([name for name in rows if name != "__metadata__"])]
        row["dtype"] = chance.choice(
            ["F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"]
        )
        if chance.random() < 0.7:  # of the right length for its place, as far as that goes
            size = {"64": 8, "32": 4, "16": 2}.get(row["dtype"][-2:], 1)
            row["shape"] = [(row["data_offsets"][1] - row["data_offsets"][0]) // size]
        header = json.dumps(rows).encode()
    else:
        header = json.dumps(change(rows, chance)).encode(errors="surrogatepass")
    return struct.pack("<Q", len(header)) + header + numbers


CASES: dict[str, tuple[Callable[[bytes, random.Random], bytes], Callable[[Path], Any]]] = {
    "config.json": (changed_json, StylEx.from_pretrained),
    "attributes.json": (changed_json, StylEx.from_pretrained),
    "generator/config.json": (changed_json, lambda folder: Generator.from_pretrained(folder, subfolder="generator")),
    "classifier/config.json": (
        changed_classifier,
        lambda folder: Classifier.from_pretrained(folder, subfolder="classifier"),
    ),
    "generator/model.safetensors": (changed_tensors, StylEx.from_pretrained),
    "classifier/model.safetensors": (changed_tensors, StylEx.from_pretrained),
    "style_stats.safetensors": (changed_tensors, StylEx.from_pretrained),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stranger_s_file_gives_a_model_or_one_clear_sentence(name, tiny_model, tmp_path, record_property):
    alter, load = CASES[name]
    slim = copy.copy(tiny_model)
    slim.mapping = slim.discriminator = None
    model_folder = slim.save_pretrained(tmp_path / "model")
    path = model_folder / name
    original, chance = path.read_bytes(), random.Random(f"{name} {SEED}")
    refused, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(TRIES):
        path.write_bytes(alter(original, chance))
        started = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                load(model_folder)
        except ModelError as error:
            refused += 1
            message = str(error)
            assert str(model_folder) in message, f"try {number}: {message}"
            assert len(message) <= MAX_MESSAGE + 3
            assert "\n" not in message
        except Exception as error:
            pytest.fail(f"try {number} of {name}: {type(error).__name__}: {error}")
        assert time.process_time() - started < SLOWEST_S, f"try {number} of {name}"
    assert refused > TRIES // 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KB
    record_property("inputs", TRIES)
    path.write_bytes(original)
    load(model_folder)

"""The real client against the loopback Hub: what is pushed is pulled, and what goes wrong is one sentence."""

from __future__ import annotations

import copy
import json
import re
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import loopback
import pytest
import torch
from hub.server import READ, Hub
from huggingface_hub import HfApi, ModelCard, constants
from small import assert_same

from stylex import StylEx
from stylex.classifiers.classifier import Classifier
from stylex.networks.generator import Generator
from stylex.storage.files import ModelError, seal
from stylex.storage.hub import HubError, fetch, push, split_revision

README = Path(__file__).resolve().parents[2] / "README.md"
NAME = "me/tiny"
WEIGHTS = "generator/model.safetensors"


def state(model: StylEx) -> list[dict]:
    return [dict(module.state_dict()) for module in model.modules()]


def refusal(function, *args, **options) -> str:
    """The one sentence."""
    with pytest.raises(HubError) as caught:
        function(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message[:1] != "<"
    return message


@pytest.fixture
def rounded(model_folder: Path) -> StylEx:
    """The tiny model after its weights went through half precision, as every pulled one did."""
    return StylEx.from_pretrained(model_folder)


# There and back, in each way that large files travel.


def test_a_pulled_model_explains_bit_for_bit_like_the_pushed_one(any_hub, rounded, pictures):
    rounded.push_to_hub(NAME)
    pulled = StylEx.from_pretrained(NAME)
    assert_same(state(pulled), state(rounded))
    assert pulled.attributes == rounded.attributes
    assert pulled.class_names == rounded.class_names
    found = 0
    for picture in sorted((pictures / "spotted").glob("*.png"))[:2]:
        for strategy in ("independent", "subset"):
            ours, theirs = (m.explain(picture, strategy=strategy, top_k=3) for m in (rounded, pulled))
            assert theirs.to_dict() == ours.to_dict()
            found += len(theirs.attributes)
            for a, b in zip(ours.attributes, theirs.attributes, strict=True):
                assert a.image.tobytes() == b.image.tobytes()
    assert found >= 4


def test_the_large_files_really_go_the_way_that_is_tested(any_hub, tiny_model):
    tiny_model.push_to_hub(NAME)
    (blob,) = {commit.files[WEIGHTS] for commit in any_hub.repo(NAME).history()[:1]}
    StylEx.from_pretrained(NAME)
    through_lfs, through_xet = any_hub.count("^PUT /storage"), any_hub.count("xet-write-token")
    if any_hub.mode == "regular":
        assert (through_lfs, through_xet, bool(blob.content)) == (0, 0, True)
    if any_hub.mode == "lfs":
        assert (through_lfs > 3, through_xet, any_hub.count("^GET /storage") > 3) == (True, 0, True)
    if any_hub.mode == "xet":
        assert (through_lfs, through_xet > 0, any_hub.count("xet-read-token") > 0) == (0, True, True)
        assert blob.sha256 in any_hub.xet_names


def test_a_push_is_one_commit(any_hub, tiny_model):
    address = tiny_model.push_to_hub(NAME, commit_message="The first")
    first, initial = any_hub.repo(NAME).history()
    assert (first.title, initial.title) == ("The first", "initial commit")
    assert address == f"http://127.0.0.1:{loopback.PORT}/{NAME}/commit/{first.oid}"
    assert set(initial.files) == {".gitattributes"}
    assert {"config.json", "README.md", WEIGHTS, "classifier/config.json", "attributes.json"} <= set(first.files)
    assert not any(path.endswith((".pt", ".bin", ".pkl", ".py", ".part")) for path in first.files)


def test_an_unchanged_model_is_not_uploaded_again(any_hub, tiny_model):
    first = tiny_model.push_to_hub(NAME)
    uploads = any_hub.count("^PUT /storage")
    assert tiny_model.push_to_hub(NAME) == first
    assert len(any_hub.repo(NAME).history()) == 2
    assert any_hub.count("^PUT /storage") == uploads


def test_tags_branches_and_commits_are_revisions(any_hub, rounded, tmp_path):
    rounded.push_to_hub(NAME, tag="v1")
    changed = copy.copy(rounded)
    changed.generator = copy.deepcopy(rounded.generator)
    with torch.no_grad():
        changed.generator.affine.w.bias.add_(1)
    HfApi().create_branch(NAME, branch="old")
    changed.push_to_hub(NAME, commit_message="Another")
    newest, older, _ = any_hub.repo(NAME).history()
    for revision, expected in (("v1", rounded), ("old", rounded), (older.oid, rounded), (None, changed)):
        assert_same(state(StylEx.from_pretrained(NAME, revision=revision)), state(expected))
    assert fetch(NAME).name == newest.oid
    assert "has a tag v1 already; choose another" in refusal(changed.push_to_hub, NAME, tag="v1")
    assert any_hub.repo(NAME).history()[0] is newest


def test_the_bytes_on_the_hub_are_those_of_the_folder(any_hub, model_folder):
    push(model_folder, NAME, commit_message="All")
    pulled = fetch(NAME)
    for path in model_folder.rglob("*"):
        if path.is_file():
            assert (pulled / path.relative_to(model_folder)).read_bytes() == path.read_bytes()


def test_a_component_is_pulled_alone(any_hub, tiny_model, tmp_path):
    rounded = StylEx.from_pretrained(tiny_model.save_pretrained(tmp_path / "model"))
    rounded.push_to_hub(NAME)
    generator = Generator.from_pretrained(NAME, subfolder="generator")
    assert_same(dict(generator.state_dict()), dict(rounded.generator.state_dict()))
    fetched = {p.relative_to(fetch(NAME, subfolder="generator").parent) for p in fetch(NAME).rglob("*.safetensors")}
    assert Path("encoder/model.safetensors") in fetched  # by the last fetch, of the whole model
    classifier = Classifier.from_pretrained(NAME, subfolder="classifier", cache_dir=tmp_path / "other")
    assert classifier.class_names == rounded.class_names
    snapshot = next((tmp_path / "other").glob("models--*/snapshots/*"))
    assert {p.parent.name for p in snapshot.rglob("*.*")} == {"classifier"}
    with pytest.raises(ModelError, match=r"me/tiny has no folder nothing; check the name|neither a folder here"):
        Generator.from_pretrained(NAME, subfolder="nothing")


def test_a_whole_model_in_a_subfolder_is_pulled(hub, tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "both" / "first")
    push(tmp_path / "both", NAME, commit_message="A model in a folder")
    assert StylEx.from_pretrained(NAME, subfolder="first").attributes == tiny_model.attributes


def test_what_the_model_no_longer_has_leaves_the_repository_and_what_others_put_there_stays(hub, tiny_model):
    tiny_model.push_to_hub(NAME)
    hub.put(NAME, "samples/one.png", b"a picture")
    hub.put(NAME, "theirs/model.safetensors", b"something else")
    slim = copy.copy(tiny_model)
    slim.discriminator = slim.stats = None
    slim.push_to_hub(NAME)
    files = set(hub.repo(NAME).history()[0].files)
    assert {"samples/one.png", "theirs/model.safetensors", WEIGHTS} <= files
    assert not {"discriminator/config.json", "discriminator/model.safetensors", "style_stats.safetensors"} & files
    assert len(hub.repo(NAME).history()) == 5


def test_a_pull_request_leaves_the_branch_as_it_is(hub, pushed, tiny_model):
    before = hub.repo(NAME).history()[0]
    slim = copy.copy(tiny_model)
    slim.discriminator = None
    address = slim.push_to_hub(NAME, create_pr=True, commit_message="Without the discriminator")
    assert address == f"http://127.0.0.1:{loopback.PORT}/{NAME}/discussions/1"
    assert hub.repo(NAME).history()[0] is before
    assert StylEx.from_pretrained(NAME, revision="refs/pr/1").discriminator is None
    assert StylEx.from_pretrained(NAME).discriminator is not None


def test_a_name_without_an_owner_is_of_the_one_who_pushes(hub, tiny_model):
    tiny_model.push_to_hub("tiny")
    assert set(hub.repos) == {("model", NAME)}


def test_the_hub_s_code_of_the_readme_runs(hub, tiny_model):
    (code,) = re.findall(r"^```python\n([^`]*\"me/stylex-mine\"[^`]*)```$", README.read_text(encoding="utf-8"), re.M)
    tiny_model.push_to_hub("me/stylex-mine", private=True, tag="v1")
    ran: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), ran)
    assert set(hub.repo("me/stylex-mine").tags) == {"v1", "v2"}
    assert ran["encoder"].config == tiny_model.config


# Private.


def test_a_private_model_is_for_those_with_a_token(hub, tiny_model, monkeypatch):
    tiny_model.push_to_hub(NAME, private=True)
    assert hub.repo(NAME).private
    assert StylEx.from_pretrained(NAME, token=READ).class_names == tiny_model.class_names
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    says = "me/tiny is neither a folder here nor a repository that the Hub shows you; check the name, and for a private"
    assert says in refusal(StylEx.from_pretrained, NAME)


def test_a_private_push_never_ends_in_a_public_repository(hub, pushed, tiny_model):
    before = hub.repo(NAME).history()
    assert "exists and is public; make it private" in refusal(tiny_model.push_to_hub, NAME, private=True)
    assert hub.repo(NAME).history() == before


# 401, 403, 404, 409, 412.


def test_a_token_that_is_wrong_or_may_not_write_says_so(hub, tiny_model):
    assert "the Hub does not accept your token" in refusal(tiny_model.push_to_hub, NAME, token="hf_wrong")
    assert "your token may not write to me/tiny" in refusal(tiny_model.push_to_hub, NAME, token=READ)
    assert "your token may not write to you/tiny" in refusal(tiny_model.push_to_hub, "you/tiny")
    assert hub.repos == {}


def test_what_is_not_there_is_named(hub, pushed):
    assert "me/nothing is neither a folder here nor a repository" in refusal(StylEx.from_pretrained, "me/nothing")
    says = "me/tiny has no revision v9; use a branch, a tag or a commit of it"
    assert refusal(StylEx.from_pretrained, NAME, revision="v9") == says
    hub.repo(NAME).branches["empty"] = hub.repo(NAME).history()[-1].oid
    with pytest.raises(ModelError, match=r"config\.json is missing; a model folder needs it|neither a folder"):
        StylEx.from_pretrained(NAME, revision="empty")


@pytest.mark.parametrize("name", ["me/ti ny", "a/b/c", "../me", "tiny", "", "me/..", "https://example.org/me", "\0/a"])
def test_a_name_that_can_be_no_repository_is_refused_without_asking(hub, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # beside which there is no folder called me
    assert "is neither a folder nor a repository name such as" in refusal(fetch, name)
    assert hub.log == []


def test_a_name_that_the_client_refuses_is_one_sentence(hub, tiny_model):
    assert "is no name for a repository; use one such as" in refusal(tiny_model.push_to_hub, "me/--tiny")


def test_somebody_else_s_commit_in_between_is_not_lost(hub, pushed, tiny_model):
    """412: the push looks again, finds their card, and leaves it alone."""
    slim = copy.copy(tiny_model)
    slim.discriminator = None
    original = Hub.fault_of

    def edit_first(self, request):
        if "/commit/main" in request:
            Hub.fault_of = original
            self.put(NAME, "README.md", b"# Edited a moment ago\n")
        return original(self, request)

    Hub.fault_of = edit_first
    try:
        with pytest.warns(UserWarning, match="the card of me/tiny was written or edited there, so it stays"):
            slim.push_to_hub(NAME)
    finally:
        Hub.fault_of = original
    assert hub.count("POST .*/commit/main") == 3  # the fixture's, the refused one, and the good one
    assert hub.text(NAME, "README.md") == "# Edited a moment ago\n"
    assert "discriminator/config.json" not in hub.repo(NAME).history()[0].files


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (412, "me/tiny changed while this was uploaded, again and again; try again later"),
        (409, "me/tiny is being changed by somebody else; try again in a moment"),
        (503, "the Hub is away or gave up half-way"),
        (418, "the Hub answers 418 for me/tiny"),
    ],
)
def test_an_error_at_the_commit_leaves_the_repository_as_it_was(hub, pushed, tiny_model, status, says):
    before = hub.repo(NAME).history()
    slim = copy.copy(tiny_model)
    slim.discriminator = None
    hub.fails("/commit/main", status, times=9)
    assert says in refusal(slim.push_to_hub, NAME)
    assert hub.repo(NAME).history() == before


# A server that dies, crawls or lies.


@pytest.mark.parametrize("where", ["/preupload/", "^PUT /storage", "/objects/batch", "resolve/.*model.safetensors"])
@pytest.mark.parametrize("what", ["drop", "half"])
def test_a_connection_that_breaks_once_is_mended_in_both_directions(hub, rounded, impatient, where, what):
    hub.fails(where, what)
    rounded.push_to_hub(NAME)
    assert_same(state(StylEx.from_pretrained(NAME)), state(rounded))
    assert hub.faults[0].times == 0


def test_a_download_goes_on_where_it_broke_off(hub, pushed, rounded, impatient):
    hub.fails("^GET /storage", "half", times=2)
    assert_same(state(StylEx.from_pretrained(NAME)), state(rounded))


@pytest.mark.parametrize("where", ["^POST .*/create", "^PUT /storage", "/commit/main", "^GET /api/models/me/tiny"])
def test_a_server_that_dies_for_good_in_a_push_leaves_no_half_model(hub, pushed, tiny_model, impatient, where):
    before = hub.repo(NAME).history()
    changed = copy.copy(tiny_model)
    changed.encoder = copy.deepcopy(tiny_model.encoder)
    with torch.no_grad():
        changed.encoder.out.bias.add_(1)
    hub.fails(where, "half" if "storage" in where else "drop", times=99)
    assert "the Hub is away or gave up half-way" in refusal(changed.push_to_hub, NAME)
    assert hub.repo(NAME).history() == before
    hub.faults.clear()
    changed.push_to_hub(NAME)
    assert len(hub.repo(NAME).history()) == len(before) + 1


def test_a_server_that_dies_for_good_in_a_pull_is_one_sentence_and_the_next_pull_ends_it(hub, pushed, rounded):
    hub.fails("^GET /storage", 500, times=99)
    hub.fails("^GET /api/models/me/tiny/tree", "slow", seconds=0.0)
    message = refusal(StylEx.from_pretrained, NAME)
    assert "the Hub is away or gave up half-way" in message or "Hub answers 500" in message
    hub.faults.clear()
    assert_same(state(StylEx.from_pretrained(NAME)), state(rounded))


def test_a_slow_server_is_waited_for(hub, pushed, rounded):
    hub.fails("me/tiny", "slow", times=3, seconds=0.5)
    start = time.monotonic()
    assert_same(state(StylEx.from_pretrained(NAME)), state(rounded))
    assert time.monotonic() - start >= 1.0


def test_a_server_that_never_answers_is_given_up(hub, pushed, monkeypatch):
    monkeypatch.setattr("stylex.storage.hub.PATIENCE_S", 0.3)
    hub.fails("^GET /api/models/me/tiny", "slow", times=9, seconds=1.0)
    start = time.monotonic()
    assert "and the Hub cannot be asked; check your network" in refusal(StylEx.from_pretrained, NAME)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("path", [WEIGHTS, "attributes.json"])
def test_a_file_that_is_not_what_the_hub_promised_is_thrown_away(hub, pushed, rounded, path):
    """Of the same size, so that the client itself does not see it."""
    blob = hub.repo(NAME).history()[0].files[path]
    hub.fails(f"^GET /storage/{blob.sha256}" if blob.sha256 else f"^GET .*resolve/.*/{path}", "spoil")
    says = f"me/tiny: {path} is not the file that the Hub keeps: its checksum is wrong. It was thrown away; try again"
    assert refusal(StylEx.from_pretrained, NAME) == says
    assert_same(state(StylEx.from_pretrained(NAME)), state(rounded))


# Without the network.


def test_a_model_that_was_pulled_once_needs_no_hub(hub, pushed, rounded, monkeypatch):
    assert "neither a folder here nor among what was downloaded before" in refusal(fetch, NAME, local_files_only=True)
    StylEx.from_pretrained(NAME)
    asked = len(hub.log)
    assert_same(state(StylEx.from_pretrained(NAME, local_files_only=True)), state(rounded))
    assert len(hub.log) == asked
    hub.stop()
    start = time.monotonic()
    with pytest.warns(UserWarning, match=r"the Hub is away \(ConnectError\); me/tiny is used as it was last"):
        assert_same(state(StylEx.from_pretrained(NAME)), state(rounded))
    assert "the Hub cannot be asked; check your network" in refusal(StylEx.from_pretrained, "me/another")
    assert "the Hub is away or gave up" in refusal(rounded.push_to_hub, NAME)
    assert time.monotonic() - start < 5


def test_offline_mode_asks_nobody(hub, pushed, rounded, monkeypatch):
    StylEx.from_pretrained(NAME)
    asked = len(hub.log)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_same(state(StylEx.from_pretrained(NAME)), state(rounded))
    assert "and HF_HUB_OFFLINE" in refusal(StylEx.from_pretrained, "me/another")
    assert len(hub.log) == asked


# A stranger's repository.


def test_a_repository_larger_than_any_model_is_refused_before_a_byte_is_downloaded(hub, pushed, monkeypatch):
    def too_much(name: str, value: int) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(f"stylex.storage.hub.{name}", value)
            return refusal(StylEx.from_pretrained, NAME)

    assert "a model has at most 5" in too_much("MAX_FILES", 5)
    assert "model.safetensors is" in too_much("MAX_WEIGHTS_BYTES", 1000)
    assert "bytes; more than 100 is not downloaded" in too_much("MAX_TEXT_BYTES", 100)
    assert "more than 10,000 is not downloaded" in too_much("MAX_TOTAL_BYTES", 10_000)
    assert hub.count("GET .*resolve") + hub.count("GET /storage") == 0


def test_nothing_but_data_is_downloaded_and_nothing_of_it_runs(hub, pushed):
    for path in ("modeling.py", "pytorch_model.bin", "generator/model.pt", "setup.sh", "a/b/evil.pkl"):
        hub.put(NAME, path, b"raise SystemExit('I ran')")
    folder = fetch(NAME)
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".md"}
    StylEx.from_pretrained(NAME)


def test_a_hostile_config_takes_no_memory(hub, pushed, rounded):
    config = json.loads(hub.text(NAME, "config.json"))
    config["model"]["channels"] = [10**9] * 3
    hub.put(NAME, "config.json", json.dumps(config).encode())
    with pytest.raises(ModelError, match=r"config\.json: channels is \[1000000000"):
        StylEx.from_pretrained(NAME)


def test_a_pinned_revision_stays_when_the_repository_changes(hub, pushed, rounded):
    source, revision = split_revision(f"{NAME}@{hub.repo(NAME).history()[0].oid}")
    hub.put(NAME, "config.json", b"{}")
    assert_same(state(StylEx.from_pretrained(source, revision=revision)), state(rounded))
    assert split_revision("me/tiny") == ("me/tiny", None)
    assert split_revision("me/tiny@") == ("me/tiny", None)


def test_a_folder_with_an_at_sign_is_a_folder(tiny_model, tmp_path):
    folder = str(tiny_model.save_pretrained(tmp_path / "me@home"))
    assert split_revision(folder) == (folder, None)


# The card.


def test_a_card_that_somebody_edited_is_not_overwritten(hub, tiny_model):
    model = copy.copy(tiny_model)
    model.card = seal("# Generated")
    model.push_to_hub(NAME)
    model.card = seal("# Generated again")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.push_to_hub(NAME)
    assert hub.text(NAME, "README.md") == seal("# Generated again")
    edited = seal("# Generated again").replace("again", "and then edited").encode()
    hub.put(NAME, "README.md", edited)
    model.card = seal("# Generated for the third time")
    with pytest.warns(UserWarning, match="the card of me/tiny was written or edited there, so it stays; delete it"):
        model.push_to_hub(NAME)
    assert hub.text(NAME, "README.md").encode() == edited


def test_metadata_that_the_hub_refuses_is_one_sentence(hub, tiny_model):
    model = copy.copy(tiny_model)
    model.card = "---\nlicense: [1, 2]\n---\n# A card\n"
    assert '"license" must be a string' in refusal(model.push_to_hub, NAME)
    assert len(hub.repo(NAME).history()) == 1


def test_the_card_is_read_by_the_client(hub, pushed):
    assert "tiny" in ModelCard.load(NAME).text


def test_a_pushed_folder_leaves_out_what_is_no_model(hub, model_folder):
    (model_folder / "notes.txt").write_text("mine")
    (model_folder / "checkpoint.pt").write_bytes(b"state")
    (model_folder / "config.json.part").write_text("{")
    shutil.copy(model_folder / "config.json", model_folder / "metrics.json")
    push(model_folder, NAME, commit_message="All")
    assert not {"notes.txt", "checkpoint.pt", "config.json.part"} & set(hub.repo(NAME).history()[0].files)
    assert "metrics.json" in hub.repo(NAME).history()[0].files

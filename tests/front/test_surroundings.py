"""The app starts whatever the environment says of proxies, certificates and folders, or says in a sentence why not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from front.surroundings import Unfit, check_port, keep_loopback_direct, leave_out_certificates, root_path, settle_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _an_environment_to_spoil(monkeypatch):
    """Without proxies to begin with, and as it was afterwards."""
    found = dict(os.environ)
    for name in found:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    yield
    for name in set(os.environ) - set(found):
        del os.environ[name]
    os.environ |= found


def through_a_proxy(url: str) -> bool:
    """Whether the client that gradio uses would ask a proxy for this address."""
    with httpx.Client(verify=False) as client:
        return client._transport_for_url(httpx.URL(url)) is not client._transport


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"])
def test_loopback_goes_through_no_proxy_and_others_go_as_before(name, monkeypatch):
    monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intranet.example, .corp")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "10.0.0.7")
    assert through_a_proxy("http://127.0.0.1:7860/gradio_api/startup-events")
    assert keep_loopback_direct() == []
    for host in ("127.0.0.1:7860", "localhost:7860", "[::1]:7860", "10.0.0.7:7860", "intranet.example", "a.corp"):
        assert not through_a_proxy(f"http://{host}/x")
    assert through_a_proxy("http://huggingface.co/x")
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]


def test_nothing_changes_where_there_is_no_proxy(monkeypatch):
    before = dict(os.environ)
    assert keep_loopback_direct() == []
    assert dict(os.environ) == before
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "*")
    assert keep_loopback_direct() == []
    assert os.environ["NO_PROXY"] == "*"


@pytest.mark.parametrize(
    "url", ["socks://127.0.0.1:1080", "socks4://p:1", "htp://p:1", "http://p:port", "socks5://ann:secret@p:1080"]
)
def test_a_proxy_that_cannot_be_used_stops_nobody_and_is_not_passed_by(url, monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    monkeypatch.setenv("ALL_PROXY", url)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (said,) = keep_loopback_direct()
    assert said.startswith("all_proxy is ")
    assert "asks the Hub for nothing" in said
    assert "secret" not in said
    assert os.environ["http_proxy"] == "http://proxy.example:3128"
    assert not through_a_proxy("http://127.0.0.1:7860/")
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize("host", ["[::1]", "::1/128", "fe80::/10", "é.example"])
def test_what_cannot_be_read_of_no_proxy_is_left_out(host, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", f"intranet.example,{host}")
    (said,) = keep_loopback_direct()
    assert said.startswith(f"no_proxy names {host}, which cannot be read")
    assert not through_a_proxy("http://intranet.example/")
    assert not through_a_proxy("http://[::1]:7860/")


@pytest.mark.parametrize("text", [None, "these are no certificates"])
def test_certificates_that_cannot_be_read_are_left_out(text, tmp_path, monkeypatch):
    named = tmp_path / "own.pem"
    if text:
        named.write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    (said,) = leave_out_certificates()
    assert said.startswith(f"SSL_CERT_FILE is {named}, which holds no certificates that can be read (")
    httpx.Client().close()


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("", ""),
        ("/", ""),
        ("/gradio", "/gradio"),
        ("gradio/", "/gradio"),
        (" //a//b/ ", "/a/b"),
        ("https://example.org/gradio/", "https://example.org/gradio"),
        ("https://example.org:8443", "https://example.org:8443"),
    ],
)
def test_a_sub_path_may_be_written_with_or_without_slashes(given, root, monkeypatch):
    monkeypatch.setenv("GRADIO_ROOT_PATH", given)
    assert root_path() == root


@pytest.mark.parametrize("given", ["/gradio_api", "example.org/gradio", "/a/../b", "/a b", "/a?b", "https:///a", "/ü"])
def test_a_sub_path_where_no_app_can_stand_is_refused(given, monkeypatch):
    monkeypatch.setenv("GRADIO_ROOT_PATH", given)
    with pytest.raises(Unfit, match=r"^GRADIO_ROOT_PATH is .*use a path such as /stylex, or a whole address"):
        root_path()


@pytest.mark.parametrize("port", ["", "web", "0", "70000", "-1", "²"])
def test_a_port_that_is_none_is_refused(port, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    with pytest.raises(Unfit, match=r"^GRADIO_SERVER_PORT is '.*'; use a number from 1 to 65535"):
        check_port()


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The system's folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    return tmp_path


def test_the_usual_folder_is_used_and_nobody_else_can_look_into_it(temporary):
    assert settle_folder() == []
    assert "GRADIO_TEMP_DIR" not in os.environ
    assert (temporary / "gradio").stat().st_mode & 0o77 == 0


def test_a_file_in_the_way_is_gone_round(temporary):
    (temporary / "gradio").write_text("mine")
    (said,) = settle_folder()
    fresh = Path(os.environ["GRADIO_TEMP_DIR"])
    assert said == (
        f"no picture can be kept in {temporary / 'gradio'} (there is a file of that name); {fresh} is used, and "
        "GRADIO_TEMP_DIR names another place"
    )
    assert fresh.parent == temporary
    assert fresh.stat().st_mode & 0o77 == 0


def test_a_folder_of_another_user_is_not_used_even_where_it_can_be_written(temporary, monkeypatch):
    (temporary / "gradio").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4711, raising=False)
    (said,) = settle_folder()
    assert "(it belongs to another user)" in said


def test_a_link_that_leads_nowhere_is_gone_round(temporary):
    (temporary / "gradio").symlink_to(temporary / "file" / "gone")
    (temporary / "file").write_text("")
    (said,) = settle_folder()
    assert said.startswith(f"no picture can be kept in {temporary / 'gradio'} (")


@pytest.mark.parametrize("inner", ["", "below"])
def test_a_folder_that_is_named_and_cannot_be_written_is_refused(inner, temporary, monkeypatch):
    (temporary / "file").write_text("")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(temporary / "file" / inner))
    with pytest.raises(Unfit, match=r"^GRADIO_TEMP_DIR is .*, where no picture can be kept \(.*\); name a folder"):
        settle_folder()


def test_a_folder_that_is_named_is_enough(temporary, monkeypatch):
    """As in a container that can write nowhere else."""

    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.chdir(temporary)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "gettempdir", nowhere)
        with pytest.raises(Unfit, match="name one in TMPDIR"):
            settle_folder()
        patch.setenv("GRADIO_TEMP_DIR", "pictures")
        assert settle_folder() == []
        assert os.environ["GRADIO_TEMP_DIR"] == str(temporary / "pictures")
    assert tempfile.gettempdir() == str(temporary / "pictures")


START = """
import sys, app
from front.models import Shelf
print("\\n".join(app.WARNINGS))
with app.gr.Blocks() as blocks:
    app.gr.HTML("page")
blocks.launch(prevent_thread_lock=True, quiet=True, **app.launch_options())
blocks.close()
from gradio.component_meta import create_or_modify_pyi
print(create_or_modify_pyi(app.gr.HTML, "no class of its file", []))  # which gradio's own refuses
print("served")
"""


def test_the_app_itself_starts(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment |= {"GRADIO_TEMP_DIR": str(tmp_path), "GRADIO_ANALYTICS_ENABLED": "False"}
    environment |= {"http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "socks://127.0.0.1:9", "no_proxy": "[::1]"}
    environment |= {"SSL_CERT_FILE": str(tmp_path / "gone.pem")}
    run = subprocess.run([sys.executable, "-c", START], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.stdout.splitlines()[-2:] == ["None", "served"], run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()[:3]] == ["SSL_CERT_FILE", "all_proxy", "no_proxy"]


def test_the_app_refuses_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "file")}
    run = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == (
        f"error: GRADIO_TEMP_DIR is {tmp_path / 'file'}, where no picture can be kept (there is a file of that name); "
        "name a folder that can be written, or leave it out\n"
    )


WHEN_TORCH_IS_LOADED = """
import os, sys

class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            print(os.environ["OMP_WAIT_POLICY"], flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
import app
"""


@pytest.mark.parametrize("said", [None, "ACTIVE"])
def test_threads_that_wait_for_each_other_let_go_of_their_cores_unless_somebody_says_otherwise(said, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | {"GRADIO_TEMP_DIR": str(tmp_path)}
    environment |= {"OMP_WAIT_POLICY": said} if said else {}
    run = subprocess.run(
        [sys.executable, "-c", WHEN_TORCH_IS_LOADED], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.stdout.split() == [said or "PASSIVE"], run.stderr

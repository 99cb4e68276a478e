"""The app's door: what is too large, too deep or names an address never reaches gradio."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from starlette._utils import get_route_path

from front import cores, guard
from front.guard import Guard, file_paths, kept_bytes, was_sent


class Behind:
    """An application that notes what it was given."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope, receive, send) -> None:
        self.bodies.append(await guard.read(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})


def ask(method: str, path: str, behind: Behind | None = None, root: str = "", **given) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(Guard(behind or Behind()), root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, **given)

    return asyncio.run(go())


def file_at(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=https://example.org/x.png",
        "/gradio_api/deep_link?session_hash=a",
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/file=https://example.org/x.png",
        "/gradio_api/file=HTTP:/example.org/x.png",
        "/gradio_api/file/https://example.org/x.png",
        "/gradio_api/file=ftp://example.org/x.png",
        "/gradio_api/file=file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_is_relayed_from_elsewhere(method, path):
    behind = Behind()
    assert ask(method, path, behind).status_code == 404
    assert behind.bodies == []


# What may be set for an app at /gradio, and a proxy that keeps its root or cuts it off.
ROOTS = ["/gradio", "/gradio/", "gradio", "https://example.org/gradio", "https://example.org/gradio/"]


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("start", ["", "/gradio"])
def test_a_route_is_judged_by_what_it_is_wherever_the_app_stands(root, start):
    for closed in (
        "/gradio_api/deep_link",
        "/monitoring",
        "/gradio_api/file=https://example.org/x",
        "/gradio_api//deep_link",
    ):
        behind = Behind()
        assert ask("GET", f"{start}{closed}", behind, root).status_code == 404
        assert behind.bodies == []
    for route in ("upload", "call/explain", "queue/join", "run/x"):
        assert ask("POST", f"{start}/gradio_api/{route}", root=root, json={"data": [1]}).text == "fine"
    for elsewhere in ("/gradio_api_upload", "/gradiogradio_api/upload", "/gradio_apiupload", "/upload2", "/login"):
        assert ask("POST", f"{start}{elsewhere}", root=root, json={}).status_code in (400, 404)


def test_the_address_of_the_page_ends_in_a_slash():
    answer = ask("GET", "/gradio?model=one&sample=a%26b", root="https://example.org/gradio")
    assert (answer.status_code, answer.headers["location"]) == (307, "/gradio/?model=one&sample=a%26b")
    assert ask("GET", "/gradio/", root="/gradio").text == "fine"


@pytest.mark.parametrize("root", ["", "/a", "/a/b", "/gradio", "/gradio_api"])
@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/gradio/a", "/gradio_api/a", "//a/b", ""])
def test_a_path_is_read_as_the_routes_read_it(root, path):
    assert guard.under(root, path) == get_route_path({"path": path, "root_path": root})


@pytest.mark.parametrize(
    "path", ["/", "/config", "/gradio_api/file=/tmp/a.png", "/gradio_api/file=C:/a.png", "/gradio_api/info"]
)
def test_the_page_and_its_files_pass(path):
    assert ask("GET", path).text == "fine"


def test_only_the_routes_of_the_page_and_of_programs_take_anything():
    for path in ("/gradio_api/run/predict", "/gradio_api/call/explain", "/gradio_api/queue/join", "/gradio_api/cancel"):
        assert ask("POST", path, json={"data": [1]}).text == "fine"
    for path in ("/gradio_api/vibe-edit/", "/gradio_api/process_recording", "/gradio_api/elsewhere", "/login"):
        assert ask("POST", path, json={}).status_code == 404


def test_the_body_that_was_checked_is_the_body_that_arrives(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    behind, body = Behind(), {"data": [file_at(f"{tmp_path}/mine.png"), "https://example.org is a fine name"]}
    assert ask("POST", "/gradio_api/call/explain", behind, json=body).text == "fine"
    assert json.loads(behind.bodies[0]) == body


@pytest.mark.parametrize(
    "path", ["https://example.org/x.png", " HTTP://169.254.169.254/", "file:///etc/passwd", "/etc/passwd", "app.py", ""]
)
def test_a_picture_cannot_be_given_by_its_address(path):
    for data in ([file_at(path)], [[{"index": 0, "deep": [file_at(path)]}]]):
        answer = ask("POST", "/gradio_api/queue/join", json={"data": data})
        assert answer.status_code == 400
        assert answer.text.endswith("send the file itself.")


def test_only_what_was_sent_can_be_named(tmp_path):
    inside = tmp_path / "cache"
    inside.mkdir()
    (tmp_path / "cachet").mkdir()
    (inside / "out").symlink_to("/etc")
    assert was_sent(f"{inside}/a/b.png", inside)
    for path in (f"{inside}/../b.png", f"{tmp_path}/cachet/b.png", f"{inside}/out/passwd", "\0", "b.png", "x" * 9999):
        assert not was_sent(path, inside)


def test_json_that_is_broken_or_bottomless_is_refused():
    for body in (b"{", b"[" * 100_000, json.dumps([[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]).encode(), b"\xff"):
        assert ask("POST", "/gradio_api/call/explain", content=body).status_code == 400


def test_what_is_too_long_is_refused_by_its_header_alone():
    behind = Behind()
    over = {"Content-Length": str(10**12)}
    answer = ask("POST", "/gradio_api/upload", behind, headers=over)
    assert (answer.status_code, answer.text) == (413, "That is more than 20 MB; send a smaller picture.")
    assert ask("POST", "/gradio_api/call/explain", behind, headers=over).status_code == 413
    assert ask("POST", "/gradio_api/upload", behind, headers={"Content-Length": "-1"}).status_code == 411
    assert ask("POST", "/gradio_api/upload", behind, headers={"Content-Length": "9" * 9999}).status_code == 411

    async def endless():
        yield b"x"

    assert ask("POST", "/gradio_api/upload", behind, content=endless()).status_code == 411
    assert behind.bodies == []


def test_a_full_disk_is_said_before_it_is_full(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(3 * guard.MB))
    assert kept_bytes(tmp_path) == 3 * guard.MB
    form = {"files": ("mine.png", b"picture")}
    assert ask("POST", "/gradio_api/upload", files=form).text == "fine"
    monkeypatch.setattr(guard, "MAX_KEPT_MB", 2)
    answer = ask("POST", "/gradio_api/upload", files=form)
    assert (answer.status_code, answer.text.split(";")[0]) == (507, "There are too many pictures here at the moment")


def test_paths_are_found_only_where_a_file_is_named():
    assert file_paths({"data": [[{"path": "a"}], {"path": "b", "more": {"path": "c"}}]}) == ["b", "a", "c"]
    for harmless in (None, 3, "https://example.org", {"url": "http://here/file"}, {"path": 7}):
        assert file_paths({"data": [harmless]}) == []


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({}, float("inf")),
    ],
)
def test_the_share_of_a_container_is_read(tmp_path, files, share):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores.share(tmp_path) == share
    seen = cores.usable_cores(tmp_path / "nothing")
    assert seen >= 1
    assert cores.usable_cores(tmp_path) == (min(seen, -(-share // 1)) if share < float("inf") else seen)

"""How fast the app is, and what many visitors do to it.

    python benchmarks/app.py --json app.json

A fresh `python app.py` is started and asked as a browser asks it, over plain HTTP: the same events with the same
inputs, explanations through the line, knobs past it. The visitors come from this process, so on a small machine they
take time from the app that they measure.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.output import ready
from stylex.storage.outputs import put_json
from stylex.terminal import print_anything

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "checkpoints" / "leaves" / "samples"
PATIENCE_S = 600
# What the app's events are called; each is the name of the function that answers it.
FIRST, UPLOAD, KNOB = "show_first", "show_upload", "turn_knobs"
FLICKER = "sx-flicker"


class Refused(RuntimeError):
    """The app did not do what a visitor asked."""


class Visitor:
    """One browser tab: a session of its own, and the values that its page holds.

    Attributes:
        told: the first place in line that the app named since the last call, None if it named none.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.session = secrets.token_hex(8)
        self.told: int | None = None
        config = json.loads(self.ask("GET", "/config"))
        self.api = config["api_prefix"]
        self.kind = {c["id"]: c["type"] for c in config["components"]}
        self.value = {c["id"]: c["props"].get("value") for c in config["components"]}
        self.events = {e["api_name"]: e for e in config["dependencies"]}
        # As the page does: while this is open, the visitor is there.
        self.there = self.open(f"{self.api}/heartbeat/{self.session}")

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body else {})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise Refused(f"{path}: {answer.status} {said[:200].decode(errors='replace')}")
        return said

    def open(self, path: str) -> HTTPResponse:
        """A stream of server-sent events, until it is closed."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("GET", path, headers={"Connection": "close"})  # so that the response owns the socket
        return connection.getresponse()

    def upload(self, picture: bytes) -> dict[str, Any]:
        """The file as the page names it afterwards."""
        edge = secrets.token_hex(8)
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="mine.png"\r\n\r\n'
        body = head.encode() + picture + f"\r\n--{edge}--\r\n".encode()
        (path,) = json.loads(self.ask("POST", f"{self.api}/upload", body, f"multipart/form-data; boundary={edge}"))
        return {"path": path, "orig_name": "mine.png", "size": len(picture), "meta": {"_type": "gradio.FileData"}}

    def data(self, event: str, file: dict[str, Any] | None, amounts: list[float]) -> dict[str, Any]:
        amount = iter(amounts)
        given = []
        for i in self.events[event]["inputs"]:
            if self.kind[i] == "file":
                given.append(file)
            elif self.kind[i] == "slider":
                given.append(next(amount, 0.0))
            else:
                given.append(None if self.kind[i] == "state" else self.value[i])
        return {"data": given, "fn_index": self.events[event]["id"], "session_hash": self.session}

    def turn(self, amounts: list[float]) -> str:
        """The page after the knobs stand at `amounts`: one POST, past the line."""
        answer = self.ask("POST", f"{self.api}/run/predict", json.dumps(self.data(KNOB, None, amounts)).encode())
        return json.dumps(json.loads(answer)["data"])

    def join(self, event: str, file: dict[str, Any] | None = None) -> None:
        """Stand in line for an answer."""
        self.told = None
        self.ask("POST", f"{self.api}/queue/join", json.dumps(self.data(event, file, [])).encode())

    def listen(self) -> HTTPResponse:
        return self.open(f"{self.api}/queue/data?session_hash={self.session}")

    def wait(self, event: str, file: dict[str, Any] | None = None) -> str:
        """The page after an explanation."""
        self.join(event, file)
        with self.listen() as stream:
            for line in stream:
                if not line.startswith(b"data: "):
                    continue
                message = json.loads(line[6:])
                if message["msg"] == "estimation" and self.told is None:
                    self.told = message["rank"]
                if message["msg"] == "process_completed":
                    page = json.dumps(message["output"].get("data"))
                    if not message["success"] or FLICKER not in page:
                        raise Refused(f"{event}: {json.dumps(message['output'])[:200]}")
                    return page
            raise Refused(f"{event}: the app fell silent")

    def leave(self) -> None:
        self.there.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running_app(model: str | None, cores: int) -> Iterator[tuple[int, subprocess.Popen, float]]:
    """`python app.py` on some of the cores, as (port, process, time of its start)."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": f"{folder}/cache",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_OFFLINE": "1",
        }
        if model:
            settings["STYLEX_MODELS"] = model
        log = Path(folder) / "log"
        start = time.perf_counter()
        with log.open("wb") as out:
            app = subprocess.Popen(
                [sys.executable, str(ROOT / "app.py")],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: keep_to(cores),
            )
        try:
            yield port, app, start
            said = log.read_text(encoding="utf-8", errors="replace")
            if "Traceback" in said:
                raise Refused(f"the app printed an error:\n{said[-3000:]}")
        except OSError as error:
            raise Refused(
                f"{error}; the app said:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}"
            ) from error
        finally:
            app.send_signal(signal.SIGTERM)
            app.wait(timeout=60)


def keep_to(cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def first_page(port: int, app: subprocess.Popen) -> None:
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except ConnectionRefusedError:
            if app.poll() is not None:
                raise
            time.sleep(0.02)
        finally:
            connection.close()


def memory(app: subprocess.Popen, which: str) -> float | None:
    """Megabytes: "VmRSS" now, "VmHWM" at most. Only Linux tells."""
    try:
        found = re.search(rf"{which}:\s+(\d+) kB", Path(f"/proc/{app.pid}/status").read_text(encoding="ascii"))
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None


def processor_s(app: subprocess.Popen) -> float | None:
    """Seconds of a processor that the app has taken: what busy neighbours do not change. Only Linux tells."""
    try:
        user, system = Path(f"/proc/{app.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    except OSError:
        return None
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def new_picture(files: list[Path], n: int) -> bytes:
    """A picture that no other visitor has sent."""
    with tempfile.SpooledTemporaryFile() as file, Image.open(files[n % len(files)]) as image:
        ImageEnhance.Brightness(image.convert("RGB")).enhance(0.8 + 0.4 * random.Random(n).random()).save(file, "PNG")
        file.seek(0)
        return file.read()


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cost(app: subprocess.Popen, work: Callable[[], Any]) -> tuple[Any, float | None]:
    """What `work` returns, and the seconds of a processor that it cost the app."""
    before = processor_s(app)
    result = work()
    after = processor_s(app)
    return result, None if before is None or after is None else after - before


def percentile(values: list[float], p: float) -> float:
    """The smallest value that a share `p` of them does not exceed."""
    return sorted(values)[max(0, -(-len(values) * int(100 * p) // 100) - 1)]


def turns(visitor: Visitor, count: int, dice: random.Random) -> list[float]:
    """Milliseconds of each turn of the knobs."""
    return [1e3 * timed(lambda: visitor.turn([dice.random() for _ in range(5)])) for _ in range(count)]


def measure_alone(
    port: int, app: subprocess.Popen, pictures: list[Path], knobs: int, uploads: int
) -> dict[str, float | None]:
    """One visitor who has the app to themselves, and then one whose neighbour has pictures explained meanwhile."""
    visitor, neighbour = Visitor(port), Visitor(port)
    sent = [new_picture(pictures, n) for n in range(uploads)]
    upload_s, upload_cost = cost(app, lambda: [timed(lambda: visitor.wait(UPLOAD, visitor.upload(p))) for p in sent])  # noqa: B023
    ms, knob_cost = cost(app, lambda: turns(visitor, knobs, random.Random(0)))
    busy = threading.Event()

    def work() -> None:
        n = uploads
        while not busy.is_set():
            neighbour.wait(UPLOAD, neighbour.upload(new_picture(pictures, n)))
            n += 1

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        busy_ms = turns(visitor, knobs, random.Random(1))
        busy.set()
        working.result()
    visitor.leave()
    neighbour.leave()
    return {
        "knobs": knobs,
        "knob_p50_ms": percentile(ms, 0.5),
        "knob_p95_ms": percentile(ms, 0.95),
        "knob_processor_ms": knob_cost and 1e3 * knob_cost / knobs,
        "knob_busy_p50_ms": percentile(busy_ms, 0.5),
        "knob_busy_p95_ms": percentile(busy_ms, 0.95),
        "uploads": uploads,
        "upload_to_explanation_s": statistics.median(upload_s),
        "upload_to_explanation_max_s": max(upload_s),
        "upload_processor_s": upload_cost and upload_cost / uploads,
    }


def measure_visitors(port: int, app: subprocess.Popen, pictures: list[Path], count: int, knobs: int) -> dict[str, Any]:
    """Everybody at once: open the page, have an own picture explained, turn knobs, stay until the last is done."""
    before = memory(app, "VmRSS")
    ready = threading.Barrier(count)
    said: list[str] = []

    def visit(n: int) -> tuple[float, bool, list[float]] | None:
        dice = random.Random(n)
        visitor = None
        try:
            try:
                visitor = Visitor(port)
                picture = new_picture(pictures, 1000 + n)
            finally:
                ready.wait(PATIENCE_S)
            s = timed(lambda: visitor.wait(UPLOAD, visitor.upload(picture)))
            told = visitor.told is not None
            ms = turns(visitor, knobs, dice)
            return s, told, ms
        except Exception as error:  # a visitor's bad day is what is counted here
            said.append(f"{type(error).__name__}: {error}")
            return None

    with ThreadPoolExecutor(count) as pool:
        start = time.perf_counter()
        found = [visit for visit in pool.map(visit, range(count)) if visit]
        all_s = time.perf_counter() - start
    for line in sorted(set(said)):
        print(f"a visitor met: {line}", file=sys.stderr)
    seconds = [s for s, _, _ in found] or [float("nan")]
    ms = [m for *_, row in found for m in row] or [float("nan")]
    after = memory(app, "VmRSS")
    return {
        "visitors": count,
        "visitors_errors": count - len(found),
        "visitors_all_s": all_s,
        "visitors_median_s": statistics.median(seconds),
        "visitors_slowest_s": max(seconds),
        "visitors_told_their_place": sum(told for _, told, _ in found),
        "visitors_knob_p50_ms": percentile(ms, 0.5),
        "visitors_knob_p95_ms": percentile(ms, 0.95),
        "memory_before_mb": before,
        "memory_after_mb": after,
        "memory_peak_mb": memory(app, "VmHWM"),
    }


def measure_leaving(port: int, pictures: list[Path], count: int) -> dict[str, Any]:
    """Visitors who stand in line and close the page; then one who stays."""

    def leave(n: int) -> None:
        visitor = Visitor(port)
        visitor.join(UPLOAD, visitor.upload(new_picture(pictures, 5000 + n)))
        with visitor.listen() as stream:
            stream.readline()  # the app has begun to answer
        visitor.leave()

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(leave, range(count)))
    stayed = Visitor(port)
    picture = stayed.upload(new_picture(pictures, 6000))
    s = timed(lambda: stayed.wait(UPLOAD, picture))
    waiting = json.loads(stayed.ask("GET", f"{stayed.api}/queue/status"))["queue_size"]
    stayed.leave()
    return {"leavers": count, "after_leavers_s": s, "after_leavers_waiting": waiting}


def measure(
    model: str | None, pictures: list[Path], knobs: int, uploads: int, visitors: int, cores: int
) -> dict[str, Any]:
    with running_app(model, cores) as (port, app, start):
        first_page(port, app)
        start_s = time.perf_counter() - start
        visitor = Visitor(port)
        visitor.wait(FIRST)
        first_explanation_s = time.perf_counter() - start
        visitor.leave()
        numbers: dict[str, Any] = {
            "cores": min(cores, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores),
            "start_s": start_s,
            "first_explanation_s": first_explanation_s,
            "first_explanation_processor_s": processor_s(app),
            "memory_start_mb": memory(app, "VmRSS"),
        }
        print("started", file=sys.stderr)
        numbers |= measure_alone(port, app, pictures, knobs, uploads)
        print("one visitor measured", file=sys.stderr)
        numbers |= measure_visitors(port, app, pictures, visitors, max(1, knobs // 10))
        print(f"{visitors} visitors measured", file=sys.stderr)
        return numbers | measure_leaving(port, pictures, max(1, visitors // 2))


def table(n: dict[str, Any]) -> str:
    def say(name: str, unit: str, digits: int = 0) -> str:
        return "?" if n[name] is None else f"{n[name]:.{digits}f} {unit}"

    def pair(name: str) -> str:
        return f"{n[f'{name}_p50_ms']:.0f} / {n[f'{name}_p95_ms']:.0f} ms"

    rows = [
        ("start to the first page", say("start_s", "s", 1), ""),
        ("start to the first explained sample", say("first_explanation_s", "s", 1), "< 10 s"),
        ("… its time on a processor", say("first_explanation_processor_s", "s", 1), ""),
        ("knob to picture, p50 / p95", pair("knob"), "< 100 ms"),
        ("… its time on a processor, mean", say("knob_processor_ms", "ms"), ""),
        ("… while another picture is explained", pair("knob_busy"), ""),
        ("upload to explanation, median", say("upload_to_explanation_s", "s", 2), "< 2 s"),
        ("… its time on a processor, mean", say("upload_processor_s", "s", 2), ""),
        (f"{n['visitors']} visitors at once: errors", str(n["visitors_errors"]), "0"),
        ("… told their place in line", str(n["visitors_told_their_place"]), ""),
        ("… explained, median", say("visitors_median_s", "s", 1), ""),
        ("… explained, slowest", say("visitors_slowest_s", "s", 1), "< 60 s"),
        ("… their knobs, p50 / p95", pair("visitors_knob"), ""),
        ("memory at the start", say("memory_start_mb", "MB"), ""),
        ("… before the visitors", say("memory_before_mb", "MB"), ""),
        ("… after them", say("memory_after_mb", "MB"), ""),
        ("… at most", say("memory_peak_mb", "MB"), ""),
        (f"upload to explanation when {n['leavers']} have left the line", say("after_leavers_s", "s", 2), ""),
    ]
    head = "| what | measured | bar |\n| --- | --- | --- |\n"
    return head + "\n".join(f"| {what} | {measured} | {bar} |" for what, measured, bar in rows)


def main(args: list[str] | None = None) -> dict[str, Any]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model folder; what the app shows by itself without it")
    parser.add_argument("--data", type=Path, default=SAMPLES, help="folder of PNG pictures that visitors send")
    parser.add_argument("--knobs", type=int, default=200, help="turns of the knobs; a tenth for each of the visitors")
    parser.add_argument("--uploads", type=int, default=10, help="pictures sent by a visitor alone")
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--cores", type=int, default=2, help="cores that the app may use (Linux)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    o = parser.parse_args(args)
    ready(parser, o.json)
    pictures = sorted(o.data.glob("*.png"))
    if not pictures:
        parser.error(f"--data {o.data} holds no PNG pictures; name a folder that does")
    n = measure(o.model, pictures, o.knobs, o.uploads, o.visitors, o.cores)
    print(f"{n['cores']} cores, {n['knobs']} turns of the knobs, {n['uploads']} uploads, {n['visitors']} visitors")
    print(table(n))
    if o.json:
        put_json(o.json, n, option="--json")
    return n


if __name__ == "__main__":
    main()

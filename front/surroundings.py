"""What the environment must allow before gradio and torch are imported: they read it then, and gradio dies with a trace
if it cannot.

The app asks itself whether it answers, keeps pictures among the temporary files, and may stand under a sub-path. A
setting of the machine that is in the way of that is put right with a warning, or refused in one sentence.
"""

from __future__ import annotations

import atexit
import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

import httpx

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PROXIES = ("http", "https", "all")
# Where gradio's own routes begin; a root of the same name could not be told from them.
TAKEN = ("/gradio_api", "/assets", "/static", "/svelte")


class Unfit(Exception):
    """No app can run in this environment; the message names the setting and the way out."""


def settle() -> list[str]:
    """Put right what can be put right, before gradio is imported.

    Returns:
        A sentence for everything that is now otherwise than it was asked for.

    Raises:
        Unfit: if the app could not run.
    """
    check_port()
    let_waiting_threads_sleep()
    write_no_stubs()
    return [*leave_out_certificates(), *keep_loopback_direct(), *settle_folder()]


# The processor.


def let_waiting_threads_sleep() -> None:
    """Threads of one computation wait for each other at the end of every layer, by default without letting go of their
    cores. Where those are shared, with other answers or another program, each then waits for a core that its neighbour
    holds: an explanation that takes two seconds took twenty-four. To be said before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


# The start.


class WithoutStubs:
    """Finds gradio's maker of type stubs, and has it make none."""

    NAME = "gradio.component_meta"

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == cls.NAME else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            if hasattr(module, "create_or_modify_pyi"):
                module.create_or_modify_pyi = lambda *args: None  # type: ignore[attr-defined]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def write_no_stubs() -> None:
    """Whenever gradio is imported it reads the sources of all its components and writes stubs for editors beside them,
    which takes half of the import. An app needs none, and often may not write there."""
    if "gradio" not in sys.modules:
        sys.meta_path.insert(0, WithoutStubs)


# The network.


def check_port() -> None:
    """
    Raises:
        Unfit: if it is no number of a port.
    """
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Unfit(f"GRADIO_SERVER_PORT is {port!r}; use a number from 1 to 65535, or leave it out")


def leave_out_certificates() -> list[str]:
    """Without a file of certificates that cannot be read, no client can be made, not even for this machine."""
    named = os.environ.get("SSL_CERT_FILE")
    if not named or not (why := failure(lambda: ssl.create_default_context(cafile=named))):
        return []
    del os.environ["SSL_CERT_FILE"]
    return [f"SSL_CERT_FILE is {named}, which holds no certificates that can be read ({why}); it is left out"]


def keep_loopback_direct() -> list[str]:
    """No request to this machine goes through a proxy; those to others go as before.

    A proxy that cannot be used is taken away, and then the Hub is asked for nothing: whoever names a proxy may not want
    to be seen without it.
    """
    found = getproxies()
    proxies = {scheme: found[scheme] for scheme in PROXIES if found.get(scheme)}
    spared = [host.strip() for host in found.get("no", "").split(",") if host.strip()]
    said = []
    for name in (*PROXIES, "no"):
        set_both(f"{name}_proxy", "")  # each is tried alone
    for scheme, url in proxies.items():
        # On some systems it came from elsewhere, where nobody looks any more once the environment names something.
        set_both(f"{scheme}_proxy", url)
        if why := failure(make_client):
            set_both(f"{scheme}_proxy", "")
            os.environ["HF_HUB_OFFLINE"] = "1"
            said.append(
                f"{scheme}_proxy is {without_password(url)}, which cannot be used ({why}); the app goes without it and "
                "asks the Hub for nothing. Use http://host:port, or socks5://host:port with `pip install socksio`"
            )
    for host in list(spared):
        set_both("no_proxy", host)
        if why := failure(make_client):
            spared.remove(host)
            said.append(f"no_proxy names {host}, which cannot be read ({why}); that part of it is left out")
    if proxies and "*" not in spared:
        own = os.environ.get("GRADIO_SERVER_NAME", "").strip("[]")
        spared += [host for host in (*LOOPBACK, own) if host and host not in spared]
    set_both("no_proxy", ",".join(spared))
    return said


def set_both(name: str, value: str) -> None:
    """An environment variable in small and in capital letters; readers differ in which one they prefer."""
    for spelling in (name, name.upper()):
        if value:
            os.environ[spelling] = value
        else:
            os.environ.pop(spelling, None)


def make_client() -> None:
    """As gradio does, with what the environment says of proxies."""
    httpx.Client(verify=False).close()


def without_password(url: str) -> str:
    """The address of a proxy, for the log."""
    start, at, host = url.rpartition("@")
    return f"{start.partition('://')[0]}://…@{host}" if at and "://" in start else host


def failure(trial: Callable[[], Any]) -> str | None:
    """Why it cannot be done, without a full stop; None if it can."""
    try:
        trial()
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        # An error of the system has its reason beside the number, all others begin with it.
        reason = getattr(error, "strerror", None) or str(error).split(". ")[0].split(" for proxy URL")[0]
        return reason.strip(". ") or type(error).__name__
    return None


def root_path() -> str:
    """Where the app stands behind a reverse proxy: "/gradio" or "https://example.org/gradio"; "" at the top.

    From GRADIO_ROOT_PATH, whose slashes at both ends do not count.

    Raises:
        Unfit: if it cannot be such a place.
    """
    given = os.environ.get("GRADIO_ROOT_PATH", "").strip()
    whole = given.startswith(("http://", "https://"))
    path = urlsplit(given).path if whole else given
    names = [name for name in path.split("/") if name]
    root = "".join(f"/{name}" for name in names)
    # What has a dot in front may be a host without its scheme.
    odd = root != quote(root) or {".", ".."} & set(names) or (not given.startswith("/") and not whole and "." in given)
    if odd or root in TAKEN or (whole and not urlsplit(given).hostname):
        raise Unfit(
            f"GRADIO_ROOT_PATH is {given}, where no app can stand; use a path such as /stylex, or a whole address such "
            "as https://example.org/stylex"
        )
    return f"{given.removesuffix(path)}{root}" if whole else root


# The folder of what visitors send.


def settle_folder() -> list[str]:
    """A folder for pictures that can be written and is nobody else's.

    Raises:
        Unfit: if the one that is named cannot be written, or no folder of the system can.
    """
    named = os.environ.get("GRADIO_TEMP_DIR")
    if named:
        folder = Path(named).absolute()
        if why := unwritable(folder):
            raise Unfit(
                f"GRADIO_TEMP_DIR is {named}, where no picture can be kept ({why}); name a folder that can be written, "
                "or leave it out"
            )
        os.environ["GRADIO_TEMP_DIR"] = str(folder)  # what is sent is named by its whole path
    try:
        usual = Path(tempfile.gettempdir()) / "gradio"
    except OSError as error:
        if not named:
            raise Unfit("no folder for temporary files can be written; name one in TMPDIR") from error
        tempfile.tempdir = os.environ["GRADIO_TEMP_DIR"]
    if named or not (why := unwritable(usual) or ("it belongs to another user" if not is_ours(usual) else None)):
        return []
    fresh = tempfile.mkdtemp(prefix="stylex-pictures-")
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = fresh
    return [f"no picture can be kept in {usual} ({why}); {fresh} is used, and GRADIO_TEMP_DIR names another place"]


def unwritable(folder: Path) -> str | None:
    """Why no folders and files can be made in a folder, which is itself made if there is none."""

    def trial() -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as inner:
            (Path(inner) / "picture").write_bytes(b"as gradio does")

    return "there is a file of that name" if folder.is_file() else failure(trial)


def is_ours(path: Path) -> bool:
    """Whether it belongs to the user who runs this; nobody else should choose where a visitor's picture lies."""
    return not hasattr(os, "geteuid") or path.lstat().st_uid == os.geteuid()

"""The Hub: a model repository comes down as a folder, bounded and checked; a folder goes up as one commit.

huggingface_hub is imported when it is needed: it reads HF_ENDPOINT and its other settings at that moment.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import ssl
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from .files import MAX_TEXT_BYTES, ModelError, is_sealed, read_text
from .outputs import MANIFEST

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

Kind = Literal["model", "space"]

# What belongs to a model folder; nothing else is fetched or pushed, and nothing of it can run.
FILES = ("*.json", "*.safetensors", "*.md", "*.png", "*.jpg", "*.gif", "*.webp")
# What a stranger's repository may hold.
MAX_FILES = 500
MAX_WEIGHTS_BYTES = 4_000_000_000
MAX_TOTAL_BYTES = 8_000_000_000

REPO_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
SUBFOLDER = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")
PATIENCE_S = 10.0
# Whose errors are the network's, but for those that say that an address is none.
CLIENTS = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
NO_ADDRESS = ("InvalidURL", "UnsupportedProtocol")
ATTEMPTS = 3  # at a commit, when others commit at the same time


class HubError(ModelError):
    """The Hub does not give or take what was asked for; the message says why and what to do."""


def split_revision(name: str) -> tuple[str, str | None]:
    """("someone/stylex-leaves", "v2") of "someone/stylex-leaves@v2"; a folder, or a name without "@", has none."""
    if os.path.isdir(name) or "@" not in name:
        return name, None
    source, _, revision = name.rpartition("@")
    return source, revision or None


def pin(repo_id: str, *, token: str | None = None) -> str:
    """ "someone/stylex-leaves@" and its present commit, which `split_revision` takes apart again.

    Raises:
        HubError: if the Hub does not show it.
    """
    from huggingface_hub import HfApi

    with _plain_errors(repo_id):
        return f"{repo_id}@{HfApi(token=token).model_info(repo_id, timeout=PATIENCE_S).sha}"


# Down.


class Where(TypedDict, total=False):
    """What `fetch` takes by name, and every `from_pretrained` passes on."""

    revision: str | None
    subfolder: str | None
    token: str | None
    cache_dir: str | Path | None
    local_files_only: bool


def fetch(
    source: str | Path,
    *,
    revision: str | None = None,
    subfolder: str | None = None,
    token: str | Literal[False] | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    max_bytes: int | None = None,
) -> Path:
    """The folder of a model: `source` itself if it is one, else a snapshot of that repository.

    Args:
        source: a folder, or a repository such as "someone/stylex-leaves".
        revision: branch, tag or commit of the repository; a folder has none.
        subfolder: a folder inside of either; of a repository only that is downloaded.
        token: for a private repository; without one, the token that `hf auth login` or HF_TOKEN left; False for none.
        cache_dir: where downloads are kept, instead of the usual place.
        local_files_only: ask no network; what was downloaded before is enough.
        max_bytes: of all files together, MAX_TOTAL_BYTES if not given; a larger repository is refused before a byte
            of it is downloaded.

    Raises:
        HubError: if it is neither, if the Hub does not give it, if it is larger than any model may be, or if what came
            is not what the Hub promised.
        ModelError: if there is no such subfolder.
    """
    if subfolder is not None and not SUBFOLDER.fullmatch(subfolder):
        raise ModelError(f"subfolder is {subfolder!r}; use a relative path without '..', such as generator")
    if os.path.isdir(source):
        folder = Path(source)
    elif REPO_ID.fullmatch(str(source)):
        most = MAX_TOTAL_BYTES if max_bytes is None else max_bytes
        folder = _download(str(source), revision, subfolder, token, cache_dir, local_files_only, most)
    else:
        raise HubError(f"{source} is neither a folder nor a repository name such as someone/stylex-leaves")
    if subfolder is not None:
        folder = folder / subfolder
        if not folder.is_dir():
            raise ModelError(f"{source} has no folder {subfolder}; check the name")
    return folder


def _download(
    repo_id: str,
    revision: str | None,
    subfolder: str | None,
    token: str | Literal[False] | None,
    cache_dir: str | Path | None,
    local_files_only: bool,
    max_bytes: int,
) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download

    patterns = [f"{subfolder}/{pattern}" if subfolder else pattern for pattern in FILES]
    options: dict[str, Any] = {"cache_dir": cache_dir, "token": token, "allow_patterns": patterns}
    with _plain_errors(repo_id, revision):
        if local_files_only or constants.HF_HUB_OFFLINE:
            return Path(snapshot_download(repo_id, revision=revision, local_files_only=True, **options))
        try:
            info = HfApi(token=token).model_info(repo_id, revision=revision, files_metadata=True, timeout=PATIENCE_S)
        except Exception as error:
            if not _is_away(error):
                raise
            folder = Path(snapshot_download(repo_id, revision=revision, local_files_only=True, **options))
            warnings.warn(
                f"{_of_this_machine(error, repo_id) or f'the Hub is away ({type(error).__name__})'}; {repo_id} is used "
                "as it was last downloaded",
                stacklevel=4,
            )
            return folder
        wanted = [s for s in info.siblings or [] if s.rfilename.startswith(f"{subfolder}/" if subfolder else "")]
        wanted = [s for s in wanted if Path(s.rfilename).suffix in {Path(pattern).suffix for pattern in FILES}]
        _check_sizes(repo_id, wanted, max_bytes)
        try:
            folder = Path(snapshot_download(repo_id, revision=revision, **options))
        except Exception as error:
            if not _is_away(error):
                raise
            # The client mends most broken connections itself, but not all; what came before is kept.
            folder = Path(snapshot_download(repo_id, revision=revision, **options))
        if folder.name != info.sha:
            raise HubError(f"{repo_id} changed while it was downloaded; try again")
        _check_sums(repo_id, folder, wanted)
        return folder


def _check_sizes(repo_id: str, files: list[RepoSibling], max_bytes: int) -> None:
    """Refuse a repository that is larger than any model, or than was asked for, before a byte of it is downloaded."""
    if len(files) > MAX_FILES:
        raise HubError(f"{repo_id} holds {len(files):,} files; a model has at most {MAX_FILES}")
    for file in files:
        limit = MAX_WEIGHTS_BYTES if file.rfilename.endswith(".safetensors") else MAX_TEXT_BYTES
        if (file.size or 0) > limit:
            raise HubError(f"{repo_id}: {file.rfilename} is {file.size:,} bytes; more than {limit:,} is not downloaded")
    total = sum(file.size or 0 for file in files)
    if total > max_bytes:
        raise HubError(f"{repo_id} is {total:,} bytes; more than {max_bytes:,} is not downloaded")


def _check_sums(repo_id: str, folder: Path, files: list[RepoSibling]) -> None:
    """Compare each file with the hash that the Hub keeps; the client itself looks at the size alone."""
    for file in files:
        path = folder / file.rfilename
        if file.lfs is not None:
            digest, expected = hashlib.sha256(), file.lfs.sha256
        else:
            digest, expected = hashlib.sha1(b"blob %d\0" % path.stat().st_size), file.blob_id or ""
        with open(path, "rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != expected:
            for bad in {path.resolve(), path}:
                bad.unlink()
            raise HubError(
                f"{repo_id}: {file.rfilename} is not the file that the Hub keeps: its checksum is wrong. "
                "It was thrown away; try again"
            )


# Up.


def push(
    folder: Path,
    repo_id: str,
    *,
    kind: Kind = "model",
    private: bool | None = None,
    commit_message: str,
    create_pr: bool = False,
    tag: str | None = None,
    token: str | None = None,
    files: Iterable[str] = FILES,
    remove: Iterable[str] = (),
    variables: Mapping[str, str] | None = None,
) -> str:
    """Make `repo_id` if there is none, and upload a folder to it as one commit: nobody ever sees half of it.

    A README.md that somebody edited there stays as it is; see `files.seal`.

    Args:
        folder: what to upload.
        repo_id: "me/stylex-leaves", or "stylex-leaves" in the namespace of the token.
        private: whether a new repository is; None for the namespace's default.
        create_pr: propose the commit as a pull request instead of making it.
        tag: name for the commit, such as v1.
        files: patterns of what is uploaded.
        remove: patterns of what is taken away from the repository where the folder does not have it.
        variables: of a Space: settings that its app finds in the environment.

    Returns:
        The address of the commit or pull request.

    Raises:
        HubError: one sentence with the way out. The repository is then as it was.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with _plain_errors(repo_id):
        repo_id = api.create_repo(
            repo_id, repo_type=kind, private=private, exist_ok=True, space_sdk="gradio" if kind == "space" else None
        ).repo_id
        if tag is not None and tag in {ref.name for ref in api.list_repo_refs(repo_id, repo_type=kind).tags}:
            raise HubError(f"{repo_id} has a tag {tag} already; choose another one, or delete that one there first")
        for attempt in range(ATTEMPTS):
            info = api.repo_info(repo_id, repo_type=kind)
            if private and not info.private:
                raise HubError(
                    f"{repo_id} exists and is public; make it private in its settings, or push without private"
                )
            skip = ["*.part", MANIFEST, f"*/{MANIFEST}"]
            if kind == "model" and _is_edited(api, repo_id, info, folder / "README.md"):
                skip.append("README.md")
            try:
                commit = api.upload_folder(
                    repo_id=repo_id,
                    repo_type=kind,
                    folder_path=folder,
                    commit_message=commit_message,
                    create_pr=create_pr,
                    # What was just read of the repository is still true when the commit is made.
                    parent_commit=None if create_pr else info.sha,
                    allow_patterns=list(files),
                    ignore_patterns=skip,
                    delete_patterns=list(remove) or None,
                )
                break
            except Exception as error:
                if _status(error) != 412 or attempt + 1 == ATTEMPTS:
                    raise
        if tag is not None:
            api.create_tag(repo_id, repo_type=kind, tag=tag, revision=commit.oid)
        for key, value in (variables or {}).items():
            api.add_space_variable(repo_id, key, value)
    return str(commit.pr_url or commit.commit_url)


def _is_edited(api: Any, repo_id: str, info: Any, ours: Path) -> bool:
    """Whether the repository has a card that somebody wrote or changed there."""
    if not ours.is_file() or "README.md" not in {file.rfilename for file in info.siblings or []}:
        return False
    theirs = read_text(Path(api.hf_hub_download(repo_id, "README.md", revision=info.sha)))
    if is_sealed(theirs) or theirs == read_text(ours):
        return False
    warnings.warn(
        f"the card of {repo_id} was written or edited there, so it stays; delete it there to have it replaced",
        stacklevel=4,
    )
    return True


# Errors.


def _status(error: Exception) -> int | None:
    """The HTTP status of an error of the client; None if no server answered."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_away(error: Exception) -> bool:
    """Nobody answered in time, or the server itself is in trouble: worth another try later."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        status = _status(error)
        return status is None or status == 429 or status >= 500
    # What the part of the client that is no Python raises has no type of its own.
    if type(error) is RuntimeError and any("xet" in frame.name for frame in traceback.extract_tb(error.__traceback__)):
        return True
    if isinstance(error, (ModelError, ValueError)) or type(error).__name__ in NO_ADDRESS:
        return False
    return any(
        isinstance(e, (OfflineModeIsEnabled, ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError))
        or (isinstance(e, OSError) and e.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN))
        or type(e).__module__.partition(".")[0] in CLIENTS
        for e in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _of_this_machine(error: Exception, repo_id: str) -> str | None:
    """What stands between this machine and any Hub, whatever the client calls it: certificates, a proxy's address."""
    for e in _chain(error):
        if isinstance(e, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(e):
            found = re.search(r"verify failed: (.*?)\.?( \(_ssl|$)", str(e))
            why = found[1] if found else "verify failed"
            return (
                f"the certificate of the Hub is not trusted here ({why}), so {repo_id} cannot be asked for; "
                f"{_way_to_trust(why)}"
            )
        is_proxy = isinstance(e, (ImportError, ValueError)) and "proxy" in str(e).lower()
        if is_proxy or type(e).__name__ == "InvalidURL":
            return (
                f"a proxy in the environment cannot be used ({str(e).split('. ')[0]}), so {repo_id} cannot be asked "
                "for; set https_proxy to http://host:port, install socksio for socks5://, or unset it"
            )
    named = os.environ.get("SSL_CERT_FILE")
    if named and any(isinstance(e, OSError) for e in _chain(error)):  # ssl.SSLError is one
        try:
            ssl.create_default_context(cafile=named)
        except OSError as unread:
            return (
                f"SSL_CERT_FILE is {named}, which holds no certificates that can be read "
                f"({unread.strerror or unread}); name another file, or unset it"
            )
    return None


def _way_to_trust(why: str) -> str:
    """What a person can do about a certificate."""
    if "expired" in why or "not yet valid" in why:
        return "set this machine's clock, or ask whoever runs the network"
    if "mismatch" in why:
        return "it is another server's; look at HF_ENDPOINT, and whether your network asks for a login first"
    unread = next((name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)), None)
    return (
        "if your network signs certificates of its own, name a file with its certificate in SSL_CERT_FILE"
        f"{f' ({unread} is not read)' if unread else ''}"
    )


@contextmanager
def _plain_errors(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """What goes wrong between the client and the Hub, in one sentence with the way out."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        status = _status(error)
        if status is None and (ours := _of_this_machine(error, repo_id)):
            says = ours
        elif isinstance(error, GatedRepoError):
            says = f"{repo_id} is gated; accept its terms on its page, and log in with `hf auth login`"
        elif isinstance(error, RevisionNotFoundError):
            says = f"{repo_id} has no revision {revision or 'main'}; use a branch, a tag or a commit of it"
        elif isinstance(error, RepositoryNotFoundError):
            says = (
                f"{repo_id} is neither a folder here nor a repository that the Hub shows you; "
                "check the name, and for a private one your token (`hf auth login`)"
            )
        elif isinstance(error, LocalEntryNotFoundError):
            says = (
                f"{repo_id} is neither a folder here nor among what was downloaded before, and the Hub cannot be "
                "asked; check your network, or go without local_files_only and HF_HUB_OFFLINE"
            )
        elif isinstance(error, HFValidationError):
            says = f"{repo_id} is no name for a repository; use one such as me/stylex-leaves"
        elif status == 401:
            says = f"the Hub does not accept your token for {repo_id}; log in with `hf auth login`, or set HF_TOKEN"
        elif status == 403:
            says = f"your token may not write to {repo_id}; use one with write access to it, or push with create_pr"
        elif status == 409:
            says = f"{repo_id} is being changed by somebody else; try again in a moment"
        elif status == 412:
            says = f"{repo_id} changed while this was uploaded, again and again; try again later"
        elif status == 400 or type(error) is ValueError:  # the client itself reads the Hub's word on a card
            says = f"the Hub refuses what was sent to {repo_id}: {_last_lines(error)}"
        elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            says = f"{repo_id} cannot be stored here: {error}"
        elif _is_away(error):
            says = f"the Hub is away or gave up half-way ({type(error).__name__}); try again later, nothing is lost"
        elif status is not None:
            says = f"the Hub answers {status} for {repo_id}: {_last_lines(error)}"
        else:  # a fault of the client's, or of ours
            says = f"{repo_id} cannot be fetched or pushed ({type(error).__name__}: {_last_lines(error)})"
        raise HubError(says) from error


def _last_lines(error: Exception) -> str:
    """What the Hub said, or else the end of what the client says."""
    said = getattr(error, "server_message", None) or "; ".join(str(error).split("\n")[-2:])
    return said[:300] or "without a reason"

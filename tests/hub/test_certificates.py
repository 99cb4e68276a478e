"""What stands between this machine and the Hub is called by its name: certificates, proxies, or a fault of our own."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stylex import StylEx
from stylex.storage.hub import HubError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate and its key in one file, signed by nobody else."""
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    made += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "-", "-out", "-"]
    path.write_bytes(subprocess.run(made, capture_output=True, check=True).stdout)
    return path


@pytest.fixture
def tls_hub(certificate, monkeypatch, tmp_path) -> Iterator[None]:
    """A Hub behind it, which has no repository."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"https://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    close_session()  # a client keeps the certificates that it began with
    yield
    server.shutdown()
    server.server_close()
    close_session()


def refusal() -> str:
    with pytest.raises(HubError) as error:
        StylEx.from_pretrained("me/tiny")
    said = str(error.value)
    assert "\n" not in said
    return said


def test_a_certificate_that_nobody_signed_is_called_one(tls_hub):
    assert refusal() == (
        "the certificate of the Hub is not trusted here (self-signed certificate), so me/tiny cannot be asked for; if "
        "your network signs certificates of its own, name a file with its certificate in SSL_CERT_FILE"
    )


def test_a_push_says_it_too(tls_hub, tiny_model):
    with pytest.raises(HubError, match=r"^the certificate of the Hub is not trusted here .* SSL_CERT_FILE$"):
        tiny_model.push_to_hub("me/tiny")


@pytest.mark.parametrize(
    ("why", "way"),
    [
        ("certificate has expired", "set this machine's clock, or ask whoever runs the network"),
        ("certificate is not yet valid", "set this machine's clock, or ask whoever runs the network"),
        (
            "IP address mismatch, certificate is not valid for '127.0.0.1'",
            "it is another server's; look at HF_ENDPOINT, and whether your network asks for a login first",
        ),
        ("unable to get local issuer certificate", "if your network signs .* in SSL_CERT_FILE"),
    ],
)
def test_the_way_out_is_that_of_the_certificate(tls_hub, why, way, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ssl.SSLCertVerificationError(
            1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {why} (_ssl.c:1)"
        )

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    assert re.fullmatch(
        rf"the certificate of the Hub is not trusted here \({re.escape(why)}\), so .*; {way}", refusal()
    )


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_file_that_is_named_where_nobody_looks_is_said(tls_hub, certificate, name, monkeypatch):
    monkeypatch.setenv(name, str(certificate))
    assert refusal().endswith(f"name a file with its certificate in SSL_CERT_FILE ({name} is not read)")


def test_with_its_certificate_named_the_hub_is_asked(tls_hub, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert refusal().startswith("me/tiny is neither a folder here nor a repository that the Hub shows you")


@pytest.mark.parametrize("text", [None, "no certificates"])
def test_a_file_of_certificates_that_cannot_be_read_is_named(tls_hub, text, tmp_path, monkeypatch):
    path = tmp_path / "gone.pem"
    if text:
        path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert refusal().startswith(f"SSL_CERT_FILE is {path}, which holds no certificates that can be read (")


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:9", "http://host:port"])
def test_a_proxy_that_is_none_is_called_one(tls_hub, proxy, monkeypatch):
    monkeypatch.setenv("https_proxy", proxy)
    assert refusal().startswith("a proxy in the environment cannot be used (")


@pytest.mark.parametrize(
    "error", [TypeError("unexpected keyword"), KeyError("sha"), RuntimeError("a bug"), MemoryError()]
)
def test_an_error_that_is_none_of_the_network_s_is_not_called_one(tls_hub, error, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    said = refusal()
    assert type(error).__name__ in said
    assert "network" not in said
    assert "away" not in said


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), OSError(101, "Network is unreachable")])
def test_an_error_of_the_network_s_is_called_one(tls_hub, error, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    assert "check your network" in refusal()

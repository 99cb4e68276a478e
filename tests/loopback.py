"""Settings of the Hub's client, which reads them when it is first imported: it asks a port of this machine alone.

Behind the port is the Hub of tests/hub while one of its tests runs, and nobody else ever.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import sys
import tempfile

assert "huggingface_hub" not in sys.modules, "too late: the client has read its settings"

# Bound, not listened on: whoever asks is refused, nobody else is given it, not another worker of the run either, and
# yet the Hub can have it, since both say SO_REUSEADDR.
HELD = socket.socket()
HELD.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
HELD.bind(("127.0.0.1", 0))
PORT: int = HELD.getsockname()[1]
HOME = tempfile.mkdtemp(prefix="stylex-hub-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

os.environ |= {
    "HF_ENDPOINT": f"http://127.0.0.1:{PORT}",
    "HF_HOME": HOME,
    "HF_TOKEN": "hf_write",
    "HF_HUB_OFFLINE": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DOWNLOAD_TIMEOUT": "3",
}
for name in ("HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_XET_CACHE", "HF_HUB_DISABLE_XET"):
    os.environ.pop(name, None)

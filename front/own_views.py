"""What the page says of a visitor's own model, as HTML: how to bring one, or how to see it at home."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from front.guests import MAX_MB, MAX_RESOLUTION

# In a copy of this app, with pictures in a folder for each class; a test holds them to the code.
AT_HOME = (
    "pip install -r requirements.txt",
    "python train/train_classifier.py --data PICTURES --output runs/mine-classifier",
    "python train/train.py --data PICTURES --classifier runs/mine-classifier --output runs/mine",
    "python train/find_attributes.py --model runs/mine/model --data PICTURES",
    "STYLEX_MODELS=runs/mine/model python app.py",
)


def how(allowed: Sequence[object]) -> str:
    """What a model needs to be shown here; or, where none can be brought, the five lines to see it at home."""
    if not allowed:
        return (
            "<p class='small'>This page shows the models of whoever runs it. In a copy of it, five lines train one on "
            "your own pictures, in a folder for each class, and show it; README.md says more.</p>"
            f"<pre class='sx-lines' tabindex='0'>{escape(chr(10).join(AT_HOME))}</pre>"
            "<p class='small quiet'>A model that lies on the Hub needs the first line, and then "
            "<code>STYLEX_MODELS=me/stylex-mine python app.py</code>.</p>"
        )
    listed = ", ".join(f"<code>{escape(str(rule))}</code>" for rule in allowed)
    return (
        f"<p class='small'>Name a public repository of the Hub, and it is shown here, to you alone. These may be: "
        f"{listed}.</p><p class='small quiet'>It has to be a StylEx as <code>train/push_to_hub.py</code> uploads it: "
        f"safetensors and JSON, of which nothing is run, up to {MAX_MB} MB and {MAX_RESOLUTION} pixels on a side. Only "
        "a few fit at a time; the one that nobody looks at makes way.</p>"
    )

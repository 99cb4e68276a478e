"""What every network of a StylEx can do on its own: be loaded from its subfolder, and saved into one."""

from __future__ import annotations

from pathlib import Path
from typing import Self, Unpack

import torch
from torch import nn

from ..gradients import differentiable
from ..storage.files import ModelError, load_weights, read_json, save_weights, write_json
from ..storage.hub import Where, fetch
from ..storage.outputs import claim
from .config import ConfigError, ModelConfig


class Component(nn.Module):
    """A network whose shape follows from a `ModelConfig`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    @differentiable()
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu", **where: Unpack[Where]) -> Self:
        """Load a network alone, in eval mode: `Generator.from_pretrained("me/stylex-leaves", subfolder="generator")`.

        Args:
            source, where: see `StylEx.from_pretrained`.

        Raises:
            ModelError: naming the file, the key and the way out.
        """
        folder = fetch(source, **where)
        path = folder / "config.json"
        values = read_json(path)
        name = values.pop("class", None)
        if name != cls.__name__:
            kind = f"a {name}" if isinstance(name, str) else "no single network"
            raise ModelError(
                f"{path} is of {kind}, not of a {cls.__name__}; set subfolder to the folder of the {cls.__name__}"
            )
        try:
            config = ModelConfig.from_dict(values)
        except ConfigError as error:
            raise ModelError(f"{path}: {error}") from None
        return cls.from_file(config, folder / "model.safetensors").to(device).eval()

    @classmethod
    @differentiable()
    def from_file(cls, config: ModelConfig, weights: Path) -> Self:
        """The network of `config` with the weights of a safetensors file.

        Raises:
            ModelError: see `files.load_weights`.
        """
        with torch.device("meta"):  # shapes first: memory is taken only for a file that fits
            network = cls(config)
        load_weights(network, weights)
        return network.to(memory_format=torch.channels_last)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the folder that `from_pretrained` reads; floating-point weights in half precision.

        Raises:
            OutputError: if the folder holds files of these names that are not ours.
        """
        folder = Path(folder)
        claim(folder, ["config.json", "model.safetensors"], option="folder")
        save_weights(self, folder / "model.safetensors")
        write_json(folder / "config.json", {"class": type(self).__name__, **self.config.to_dict()})
        return folder

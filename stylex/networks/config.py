"""What a StylEx is made of, as numbers: one frozen record, its presets, its checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .places import POSITIONS

# The largest network anybody may ask for. A stranger's config.json is read before any memory is taken.
MAX_CHANNELS = 1024
MAX_RESOLUTION = 1024
MAX_CLASSES = 10_000
MAX_W_DIM = 2048
MAX_MAPPING_LAYERS = 16
MAX_PLACES = 64
# A level on top of a model has half as many channels as the one below, but no fewer than this unless that one has.
NARROWEST = 16
# Coarser pictures have no 8x8 map below their own pixels.
SMALLEST_WITH_PLACES = 16

DiscriminatorKind = Literal["stylegan2", "projected"]


class ConfigError(ValueError):
    """A configuration that cannot be built; the message names the key, what came, and what is allowed."""


@dataclass(frozen=True)
class ModelConfig:
    """Shapes of the networks.

    `channels` are the generator's feature maps at 4x4, 8x8, ... up to `resolution`; `trunk_channels` the same for the
    encoder and the discriminator, which read the picture from `resolution` down to 4x4. `places` are the channels of
    the map that says where things are (places.py); 0 is the network of the paper. `discriminator` names its kind.
    """

    resolution: int
    num_classes: int
    channels: tuple[int, ...]
    trunk_channels: tuple[int, ...]
    w_dim: int = 512
    z_dim: int = 512
    mapping_layers: int = 8
    places: int = 0
    discriminator: DiscriminatorKind = "stylegan2"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "trunk_channels", tuple(self.trunk_channels))
        if not _is_int(self.resolution, 8, MAX_RESOLUTION) or self.resolution & (self.resolution - 1):
            raise ConfigError(f"resolution is {self.resolution!r}; use a power of two from 8 to {MAX_RESOLUTION}")
        levels = self.resolution.bit_length() - 2
        for name in ("channels", "trunk_channels"):
            value = getattr(self, name)
            if len(value) != levels or not all(_is_int(c, 1, MAX_CHANNELS) for c in value):
                raise ConfigError(
                    f"{name} is {list(value)!r}; {self.resolution} px needs {levels} whole numbers from 1 to "
                    f"{MAX_CHANNELS}, for 4x4 up to {self.resolution}x{self.resolution}"
                )
        for name, low, high in (
            ("num_classes", 2, MAX_CLASSES),
            ("w_dim", 1, MAX_W_DIM),
            ("z_dim", 1, MAX_W_DIM),
            ("mapping_layers", 1, MAX_MAPPING_LAYERS),
            ("places", 0, MAX_PLACES),
        ):
            value = getattr(self, name)
            if not _is_int(value, low, high):
                raise ConfigError(f"{name} is {value!r}; use a whole number from {low} to {high}")
        if self.places and self.resolution < SMALLEST_WITH_PLACES:
            raise ConfigError(
                f"places is {self.places} and resolution {self.resolution}; places need {SMALLEST_WITH_PLACES} px or "
                "more, use places 0"
            )
        if self.discriminator not in get_args(DiscriminatorKind):
            raise ConfigError(
                f"discriminator is {self.discriminator!r}; use one of {', '.join(get_args(DiscriminatorKind))}"
            )

    @property
    def place_dim(self) -> int:
        """Width of t, the map of places as one row."""
        return self.places * POSITIONS

    @property
    def code_dim(self) -> int:
        """Width of `w ⊕ t`, what the encoder says of a picture and the mapping of a random one."""
        return self.w_dim + self.place_dim

    @property
    def latent_dim(self) -> int:
        """Width of `w ⊕ t ⊕ probs`, from which the generator takes its styles."""
        return self.code_dim + self.num_classes

    def grown(
        self,
        resolution: int,
        channels: Sequence[int] | None = None,
        trunk_channels: Sequence[int] | None = None,
        w_dim: int | None = None,
        places: int | None = None,
    ) -> ModelConfig:
        """These shapes with finer levels up to `resolution`, as wide as asked for, or as follows from the finest here;
        and with places, where there were none.

        Raises:
            ConfigError: if `resolution` is lower or no power of two, or what is asked for does not begin with what is
                here. Levels on top of the trunk must be as wide as its finest, for they hand on what that sees.
        """
        if resolution < self.resolution:
            raise ConfigError(f"a model of {self.resolution} px grows to more, not to {resolution} px")
        if w_dim not in (None, self.w_dim):
            raise ConfigError(f"w_dim is {w_dim}; a model with {self.w_dim} keeps these")
        if places is not None and self.places not in (0, places):
            raise ConfigError(f"places is {places}; a model with {self.places} keeps these")
        wide, trunk = list(channels or self.channels), list(trunk_channels or self.trunk_channels)
        levels, finest = resolution.bit_length() - 2, self.trunk_channels[-1]
        while not channels and len(wide) < levels:
            wide.append(min(wide[-1], max(NARROWEST, wide[-1] // 2)))
        while not trunk_channels and len(trunk) < levels:
            trunk.append(finest)
        for name, asked, has in (("channels", wide, self.channels), ("trunk_channels", trunk, self.trunk_channels)):
            if asked[: len(has)] != list(has):
                raise ConfigError(
                    f"{name} is {asked}; a model of {list(has)} keeps these and has finer ones after them"
                )
        if min(trunk[len(self.trunk_channels) :], default=finest) < finest:
            raise ConfigError(
                f"trunk_channels is {trunk}; levels above {self.resolution} px need {finest} or more, as the one below"
            )
        return dataclasses.replace(
            self,
            resolution=resolution,
            channels=tuple(wide),
            trunk_channels=tuple(trunk),
            places=self.places if places is None else places,
        )

    @classmethod
    def preset(cls, resolution: int, num_classes: int, **changes: Any) -> ModelConfig:
        """The preset for `resolution` with some fields changed.

        Raises:
            ConfigError: if there is no preset for this resolution, or a field is unknown or out of range.
        """
        if resolution not in PRESETS:
            raise ConfigError(f"no preset for {resolution!r} px; there are presets for {sorted(PRESETS)}")
        return cls.from_dict({**PRESETS[resolution], "resolution": resolution, "num_classes": num_classes, **changes})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Build from parsed JSON; unknown and missing keys are refused by name."""
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f"unknown key {', '.join(unknown)}; known are {', '.join(known)}")
        missing = [n for n, f in known.items() if f.default is dataclasses.MISSING and n not in values]
        if missing:
            raise ConfigError(f"missing key {', '.join(missing)}")
        for name in ("channels", "trunk_channels"):
            if not isinstance(values[name], (list, tuple)):
                raise ConfigError(f"{name} is {values[name]!r}; use a list of whole numbers")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _is_int(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


# 256 px is the size of the published model (StyleGAN2 config F): 5,760 conv coordinates, 8,704 with toRGB.
# The smaller ones are sized for a few thousand pictures and a laptop.
PRESETS: dict[int, dict[str, Any]] = {
    32: {
        "channels": (128, 128, 96, 64),
        "trunk_channels": (128, 128, 96, 64),
        "w_dim": 128,
        "z_dim": 128,
        "mapping_layers": 4,
        "places": 8,
    },
    64: {
        "channels": (192, 192, 160, 96, 48),
        "trunk_channels": (192, 192, 128, 64, 32),
        "w_dim": 128,
        "z_dim": 128,
        "mapping_layers": 4,
        "places": 8,
    },
    128: {
        "channels": (384, 384, 384, 256, 128, 64),
        "trunk_channels": (384, 384, 384, 256, 128, 64),
        "w_dim": 256,
        "z_dim": 256,
        "mapping_layers": 6,
        "places": 8,
    },
    256: {
        "channels": (512, 512, 512, 512, 512, 256, 128),
        "trunk_channels": (512, 512, 512, 512, 512, 256, 128),
        "w_dim": 512,
        "z_dim": 512,
        "mapping_layers": 8,
        "places": 8,
    },
}

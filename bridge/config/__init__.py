"""Configuration of a bridge: schema, loading with provenance, checks."""

from bridge.config.load import LoadedConfig, load_config
from bridge.config.schema import BridgeConfig

__all__ = ["BridgeConfig", "LoadedConfig", "load_config"]

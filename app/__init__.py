"""The ML Registry: which artifacts exist, where the bytes are, who changed them, and who must be told."""

__version__ = "0.1.0"

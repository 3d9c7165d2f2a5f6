"""The command ``ndgrad``: ``ndgrad demo`` and ``ndgrad run``."""

"""The handwritten digits of ``ndgrad demo``; LICENSE.txt says whose they are."""

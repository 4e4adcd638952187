"""The embedded default: synthetic newswire and a small backbone."""

NEWSROOM = "newsroom"
"""What options call it: as labels, as plain text, and as the backbone."""

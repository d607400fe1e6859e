"""Virtual readers: cards in memory, behind vpcd, with faults and an image file."""

"""Texts of items that a tower has to cope with."""

TEXTS = [
    "red lamp",
    "a blue lamp of the shop for tea",
    "",
    "tea",
    "运动鞋 跑步鞋",
    "lamp " * 40,
    "red lamp",
    "shop for red tea lamp",
]
"""Of different lengths; one of nothing, one too long, two the same, one in another script."""

"""The messages of a federation, by Flower's message type. Nothing but names, so that the thin ClientApp can import it."""

OFFER = "query.model"
"""The current global model, for devices to recommend with; answered by the resident service alone."""

CATALOGUE = "query.catalogue"
"""Pieces of a new catalogue; answered by the resident service alone."""

MESSAGES = (
    "train",
    "evaluate",
    "query.hello",
    "query.secure_keys",
    "query.secure_shares",
    "query.secure_confirm",
    "query.secure_unmask",
    OFFER,
    CATALOGUE,
)

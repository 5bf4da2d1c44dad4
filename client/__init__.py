"""The device: the Flower ClientApp, its private store and its ledger."""

"""Language models that are fine-tuned on the devices: loading, adapters, the cached frozen part, the item's and the user's tower."""

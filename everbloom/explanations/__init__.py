"""Why an item is recommended: computed on the device, from the model, its owner's history and public item vectors."""

"""The resident service of one device: its owner's events, policy and page on one side, a federation's messages on the other."""

"""What devices in one hand send in place of their updates."""

"""Run records turned into tables and pictures."""

"""Run records turned into tables, pictures and one self-contained page."""

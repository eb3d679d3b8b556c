"""What a run leaves for people: one self-contained HTML page, no network."""

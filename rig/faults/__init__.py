"""What can go wrong on the bench, by name: a catalogue, what each fault owes, and how it is brought about."""

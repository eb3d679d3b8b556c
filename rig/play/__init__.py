"""Plays scenarios: on virtual time in this process, or in real time as processes; each run leaves a folder."""

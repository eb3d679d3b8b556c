"""The contract with the monitoring provider: topics and payloads."""

"""Orders that a provider loads while the bridge runs: their book, their zones, and the plan that they make."""

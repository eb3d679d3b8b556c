"""The provider's side of the contract: an independent subscriber that trusts nothing but topics and payloads."""

"""From what endangers a protected person to her smart tag and back to the provider. Nothing here waits for a broker."""

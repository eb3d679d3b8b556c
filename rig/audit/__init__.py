"""What a court or an inspector asks of the records: is the chain whole, and what do they say of a tag and a period."""

"""The clauses of NIJ 1004.00 that are known with their numbers, played and measured."""

"""The approach suite: seven families of five runs each, drawn from a seed, judged by the truth."""

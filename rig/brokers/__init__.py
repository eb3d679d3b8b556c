"""Real brokers on the bench: started, killed, paused and started again on the same port."""

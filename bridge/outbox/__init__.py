"""Messages that wait for a broker: kept on disk until they are delivered, or in memory where there is no disk."""

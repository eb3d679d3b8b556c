"""What a bench consists of: roles and the hardware, emulators or recordings behind them, and what holds them ready."""

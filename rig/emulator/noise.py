"""Random processes of the emulator; each draws from a stream of its own, named after the seed and what it models."""

import math
import random


def stream(seed: int, name: str) -> random.Random:
    """Make a generator that another model's draws cannot disturb."""
    return random.Random(f"{seed}/{name}")


class OrnsteinUhlenbeck:
    """Zero-mean Gauss-Markov noise of unit standard deviation, exact for any step length.

    x' = a x + sqrt(1 - a^2) N(0, 1) with a = exp(-dt / tau); starts in its stationary state.
    """

    def __init__(self, rng: random.Random, tau_s: float) -> None:
        self._rng = rng
        self.tau_s = tau_s
        self.value = rng.gauss(0.0, 1.0)

    def advance(self, dt_s: float) -> float:
        """Return the value after a step; a step of zero changes nothing."""
        if dt_s > 0:
            a = math.exp(-dt_s / self.tau_s)
            self.value = a * self.value + math.sqrt(1 - a * a) * self._rng.gauss(0.0, 1.0)
        return self.value


class Spells:
    """Alternates between off and on with exponential lengths; a mean of 0 s never comes, infinity never ends."""

    def __init__(self, rng: random.Random, *, mean_off_s: float, mean_on_s: float, start_on: bool = False) -> None:
        self._rng = rng
        self._mean_s = (mean_off_s, mean_on_s)
        self.on = start_on
        self.started = False
        """True for the step in which an on-spell began."""
        self._left_s = self._draw()

    def _draw(self) -> float:
        mean_s = self._mean_s[self.on]
        return math.inf if math.isinf(mean_s) else self._rng.expovariate(1 / mean_s)

    def advance(self, dt_s: float) -> bool:
        """Whether a spell is on after a step."""
        self.started = False
        self._left_s -= dt_s
        while self._left_s <= 0:
            self.on = not self.on
            self.started = self.on
            self._left_s += self._draw()
        return self.on

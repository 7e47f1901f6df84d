"""The engine: steps, loop, checkpoints and logs; it knows not which framework it runs."""

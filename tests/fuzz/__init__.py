"""Real and generated files, damaged at random, and what becomes of each."""

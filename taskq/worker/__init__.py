"""The worker: claims jobs, runs them, writes what became of them."""

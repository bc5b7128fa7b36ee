"""Records, contexts, addressed randomness and errors. Imports nothing of ours and no torch."""

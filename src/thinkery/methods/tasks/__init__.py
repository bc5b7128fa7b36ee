"""Methods whose novelty is what is trained on: generators, curricula, benchmarks."""

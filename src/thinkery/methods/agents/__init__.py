"""Methods whose novelty is how a model acts: with tools, in environments, over several turns."""

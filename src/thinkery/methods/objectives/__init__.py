"""Methods whose novelty is the reward, the advantage or the loss."""

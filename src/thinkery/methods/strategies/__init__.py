"""Methods whose novelty is a way of thinking, or how a model is taught to choose one."""

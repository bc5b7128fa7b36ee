"""The one legend for shapes, used in every docstring.

B   rows of a step; one row is one Turn          T   output tokens of a row (padded; masks are true where a token counts)
R   rollouts of a step                           G   samples per problem          P   problems per step
N   nodes of a packed token tree                 V   vocabulary                   L   layers
D   model width                                  H   query heads                  K   key/value heads
E   width of one head                            F   feed-forward width           S   slots of the key/value pool

Units: log-probabilities, entropies and KL in nats; lengths in tokens; times in seconds. Masks: True counts.
"""

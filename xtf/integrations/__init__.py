"""XTF inside other people's trainers: weights for every token in TRL, and a check of what a trainer really learns.

Begin in ``trl`` (the trainer that reads ``weights``) and ``checking`` (a trainer's batches against a run's labels).
"""

"""XTF inside other people's trainers and data pipelines.

Begin in ``trl`` (the trainer that reads ``weights``), ``checking`` (a trainer's batches against a run's labels) and
``pipelines`` (rows that pass by, labelled).
"""

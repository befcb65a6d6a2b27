"""Task relevance: how close a token's embedding is to what the task is about.

Begin reading in ``scorer``; ``words`` holds what stands for four domains.
"""

from .scorer import TaskRelevance, TaskRelevanceParams

__all__ = ["TaskRelevance", "TaskRelevanceParams"]

"""XTF: see which tokens of your fine-tuning data are worth learning, and why."""

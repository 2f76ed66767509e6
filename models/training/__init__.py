"""Training and distillation: data, losses, resumable runs, test phrases."""

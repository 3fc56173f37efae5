"""What the product says about itself: metrics and structured logs, never a prompt and never a secret."""

"""The durable, tamper-evident record of decisions, attempts, usage and cost."""

"""What may happen to a call: labels, rules, permits and limits."""

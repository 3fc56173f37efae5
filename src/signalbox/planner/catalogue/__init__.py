"""Facts with their sources: models, accelerators and edge devices, and what they cost to rent or to buy."""

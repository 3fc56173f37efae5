"""What a text contains: personal data, secrets, identifiers, markings, code; pure functions from text to spans."""

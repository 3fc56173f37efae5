"""What the operator declares: the schema of signalbox.yaml, its strict reading, presets and discovery."""

"""Use cases of the control plane: the supervisor, its workers, keys and the state directory."""

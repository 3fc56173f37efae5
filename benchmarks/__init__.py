"""Side-by-side measurements of the gateway and its peers on one machine: `python -m benchmarks.run`."""

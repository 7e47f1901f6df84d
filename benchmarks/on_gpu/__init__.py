"""Parts of gpu.py, a file each: `measure(device, tiny)` returns what can be written as JSON."""

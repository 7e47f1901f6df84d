"""Image files: list them, read their bytes, decode and preprocess them.

`archives.open_collection` lists the images of a folder, zip or tar; `decode.preprocess` converts one image to
uint8 (size, size, channels) as a `Preprocessing` says; `workers.preprocess_parallel` does so on all cores.
Files are untrusted: whatever is wrong with one becomes an `UnreadableError` with a short reason, in bounded
time and memory. Open `decode.py` first; `read.py` combines all of them for a trained model.
"""

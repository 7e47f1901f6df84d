"""Reconstruct a picture with onnxruntime and NumPy alone (Pillow reads and writes the files).

python reconstruct_onnx.py FOLDER PICTURE NEW.png, where FOLDER was written by avae export.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

folder, picture, new = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
about = json.loads((folder / "preparation.json").read_text())
networks, to = about["networks"], about["pictures"]


def call(name, **arrays):
    session = onnxruntime.InferenceSession(folder / networks[name]["file"])
    return session.run(None, {port["name"]: arrays[port["name"]] for port in networks[name]["inputs"]})


def normal(stream, columns):  # any N(0, 1) will do; these are the numbers of avae's seed 0
    philox = np.random.Philox(key=np.array([0, zlib.crc32(stream.encode())], np.uint64))
    return np.random.Generator(philox).standard_normal((64, columns), np.float32)[:1]


image = Image.open(picture).convert("RGB" if to["channels"] == 3 else "L")
assert to["fit"] == "crop", "pad and squash: see docs/data.md"
share = 1 if image.size == (to["size"], to["size"]) else to["crop"]
side = round(share * min(image.size))
left, top = ((extent - side) // 2 for extent in image.size)
small = image.crop((left, top, left + side, top + side)).resize((to["size"],) * 2, Image.Resampling.LANCZOS)
x = (np.asarray(small, np.float32) / 127.5 - 1).reshape(1, to["size"], to["size"], -1).transpose(0, 3, 1, 2)

code = call("encoder", image=x)[0]
label = call("head", code=code)[0].argmax(1) if "head" in networks else None
noise, xi = normal("z", about["code_dim"]), normal("xi", about["xi_dim"])
drawer = "generator" if "generator" in networks else "decoder"
(drawn,) = call(drawer, code=code, noise=noise, xi=xi, label=label)
pixels = ((drawn[0].transpose(1, 2, 0) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
Image.fromarray(pixels.squeeze()).save(new)

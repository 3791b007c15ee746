"""Makes the goldens of reading pictures: JPEG and WebP files of every kind with the pixels that
Pillow reads from them, and pictures that Pillow scaled.

pictures/*.jpg, pictures/*.webp, pictures/goldens.safetensors.
usage: make_picture_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""

import shutil
import sys
import pathlib

import numpy
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_goldens import FOLDER

ORIENTATION = 0x0112
SIZES = [(25, 17), (12, 8), (7, 5), (60, 33), (25, 9), (3, 17)]


def smooth():
    rows, columns = numpy.mgrid[0:17, 0:25]
    waves = [128 + 100 * numpy.sin(rows / 3 + columns / (4 + k) + k) for k in range(3)]
    return numpy.stack(waves, -1).astype(numpy.uint8)


def files(folder):
    picture = Image.fromarray(smooth())
    picture.save(folder / "color.jpg", quality=90)
    picture.save(folder / "whole.jpg", quality=95, subsampling=0)
    picture.save(folder / "halves.jpg", quality=80, subsampling=1)
    picture.save(folder / "progressive.jpg", quality=85, progressive=True)
    picture.convert("L").save(folder / "grey.jpg", quality=90)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        picture.save(folder / f"turned-{orientation}.jpg", quality=90, exif=exif)
    picture.convert("CMYK").save(folder / "inks.jpg")
    picture.save(folder / "lossy.webp", quality=80)
    alpha = Image.fromarray(smooth()[..., 0])
    clear = picture.copy()
    clear.putalpha(alpha)
    clear.save(folder / "alpha.webp", lossless=True, exact=True)
    picture.save(folder / "moving.webp", save_all=True, append_images=[picture.rotate(180)])


def tensors(folder):
    found = {}
    for path in sorted(folder.iterdir()):
        if path.stem in ["inks", "moving"]:
            continue
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        found["pixels." + path.stem] = torch.from_numpy(numpy.asarray(picture).copy())
    random = numpy.random.default_rng(7)
    noise = random.integers(0, 256, (17, 25, 3), dtype=numpy.uint8)
    found["original"] = torch.from_numpy(noise)
    for size in SIZES:
        scaled = Image.fromarray(noise).resize(size, Image.Resampling.BILINEAR)
        found[f"scaled.{size[0]}x{size[1]}"] = torch.from_numpy(numpy.asarray(scaled).copy())
    return found


folder = FOLDER / "pictures"
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
files(folder)
save_file(tensors(folder), folder / "goldens.safetensors")

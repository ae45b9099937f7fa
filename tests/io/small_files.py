"""Small valid files, to be read or to be damaged."""

import numpy as np

from cryoinv.io import write_stack

OPTICS = {
    "rlnOpticsGroup": [1],
    "rlnOpticsGroupName": ["one"],
    "rlnVoltage": [300.0],
    "rlnSphericalAberration": [2.7],
    "rlnAmplitudeContrast": [0.1],
    "rlnImagePixelSize": [2.0],
    "rlnImageSize": [8],
    "rlnImageDimensionality": [2],
}


def noise(count=4, n=8, seed=0):
    return np.random.default_rng(seed).standard_normal((count, n, n)).astype(np.float32)


def make_stack(path, count=4, n=8, pixel_size=2.0, seed=0):
    images = noise(count, n, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_stack(path, images, pixel_size)
    return images


def loop(name, columns):
    """A loop_ block as RELION spells it."""
    rows = zip(*columns.values(), strict=True)
    header = "".join(f"_{label} #{number}\n" for number, label in enumerate(columns, start=1))
    body = "".join(" ".join(str(value) for value in row) + " \n" for row in rows)
    return f"\n# version 30001\n\ndata_{name}\n\nloop_ \n{header}{body} \n"


def make_star(path, particles, optics=OPTICS):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = loop("optics", optics) + "\n" + loop("particles", particles)
    path.write_text(text)
    return path


def names(count=4, stack="stack.mrcs"):
    return [f"{index + 1:06d}@{stack}" for index in range(count)]


def full_columns(count=4, stack="stack.mrcs"):
    """All particle columns that are read."""
    rng = np.random.default_rng(5)
    return {
        "rlnImageName": names(count, stack),
        "rlnMicrographName": [f"00{index}" for index in range(count)],
        "rlnDefocusU": rng.uniform(1e4, 2e4, count).round(2),
        "rlnDefocusV": rng.uniform(1e4, 2e4, count).round(2),
        "rlnDefocusAngle": rng.uniform(0, 180, count).round(2),
        "rlnPhaseShift": rng.uniform(0, 90, count).round(2),
        "rlnCtfBfactor": rng.uniform(0, 90, count).round(2),
        "rlnAngleRot": rng.uniform(-180, 180, count).round(3),
        "rlnAngleTilt": rng.uniform(1, 179, count).round(3),
        "rlnAnglePsi": rng.uniform(-180, 180, count).round(3),
        "rlnOriginXAngst": rng.uniform(-5, 5, count).round(3),
        "rlnOriginYAngst": rng.uniform(-5, 5, count).round(3),
        "rlnRandomSubset": 1 + np.arange(count) % 2,
        "rlnOpticsGroup": [1] * count,
    }

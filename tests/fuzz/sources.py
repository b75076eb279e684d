"""Small files of every kind that is read: the damaged ones are made of them."""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import tifffile
from PIL import Image
from pydicom import uid

from tests.fuzz import dicom_files as dicom

Kind = Literal["dicom", "png", "jpeg", "tiff", "nifti"]


@dataclass(frozen=True)
class Source:
    """A file to damage: its name, its kind, and where its bytes are."""

    name: str
    kind: Kind
    path: str


def write(folder: Path, shared: Path | None) -> list[Source]:
    """Write every source below a folder, with a list of them; the real ones too where they are at hand."""
    found: list[Source] = []
    for kind, name, data in [*_generated(), *([] if shared is None else _real(shared))]:
        path = folder / f"{len(found)}"
        path.write_bytes(data)
        found.append(Source(name, kind, str(path)))
    (folder / "sources.json").write_text(json.dumps([asdict(source) for source in found]))
    return found


def load(folder: Path) -> list[Source]:
    """Return what `write` wrote."""
    return [Source(**entry) for entry in json.loads((folder / "sources.json").read_text())]


Made = tuple[Kind, str, bytes]


def _generated() -> Iterator[Made]:
    yield from (("dicom", f"native {name}", data) for name, data in _native())
    yield from (("dicom", f"compressed {name}", data) for name, data in _compressed())
    yield from (("png", name, data) for name, data in _pngs())
    yield from (("jpeg", name, data) for name, data in _jpegs())
    yield from (("tiff", name, data) for name, data in _tiffs())
    yield from (("nifti", name, data) for name, data in _niftis())


def _native() -> Iterator[tuple[str, bytes]]:
    explicit = uid.ExplicitVRLittleEndian
    ct = dicom.picture(1, 1, 12, signed=True)
    for syntax in (uid.ImplicitVRLittleEndian, explicit, uid.DeflatedExplicitVRLittleEndian):
        yield f"ct {syntax.name}", dicom.saved(dicom.dataset(ct, bits=12), syntax)
    big = dicom.dataset(ct, bits=12)
    big.PixelData = ct.astype(">i2").tobytes()
    yield "ct big endian", dicom.saved(big, uid.ExplicitVRBigEndian)
    yield "no preamble", dicom.saved(dicom.dataset(ct, bits=12), explicit)[132:]
    padded = {"PixelPaddingValue": -2048, "PixelPaddingRangeLimit": -2040}
    yield "padding", dicom.saved(dicom.dataset(ct, "MONOCHROME1", 12, **padded), explicit)
    eight, twelve = dicom.picture(2, 1, 8), dicom.picture(2, 1, 12)
    yield "8 bits", dicom.saved(dicom.dataset(eight), explicit)
    yield (
        "tables",
        dicom.saved(dicom.dataset(eight, VOILUTSequence=dicom.table(), ModalityLUTSequence=dicom.table(8)), explicit),
    )
    enhanced = dicom.dataset(twelve, bits=12, **dicom.per_frame(2))
    yield "enhanced", dicom.saved(enhanced, explicit)
    yield "palette", dicom.saved(dicom.dataset(eight, "PALETTE COLOR", **dicom.palette()), explicit)
    colour = dicom.picture(2, 3, 8)
    yield "rgb", dicom.saved(dicom.dataset(colour, "RGB"), explicit)
    planes = dicom.dataset(colour, "RGB", PlanarConfiguration=1)
    planes.PixelData = np.ascontiguousarray(colour.transpose(0, 3, 1, 2)).tobytes()
    yield "planes", dicom.saved(planes, explicit)
    yield "ybr", dicom.saved(dicom.dataset(colour, "YBR_FULL"), explicit)
    halved = dicom.dataset(colour, "YBR_FULL_422")
    halved.PixelData = dicom.half_chroma(colour).tobytes()
    yield "ybr 422", dicom.saved(halved, explicit)
    words = dicom.picture(1, 1, 16).astype("u4")
    yield "32 bits", dicom.saved(dicom.dataset(words, bits=20), explicit)


def _compressed() -> Iterator[tuple[str, bytes]]:
    twelve, ct, eight = dicom.picture(2, 1, 12), dicom.picture(1, 1, 16, signed=True), dicom.picture(2, 1, 8)
    lossless = (uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless)
    wavelets = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2K)
    for syntax in (*lossless, *wavelets):
        yield f"{syntax.name} 16 bits", dicom.saved(dicom.compressed(dicom.dataset(twelve), twelve, syntax), syntax)
        yield f"{syntax.name} 8 bits", dicom.saved(dicom.compressed(dicom.dataset(eight), eight, syntax), syntax)
    for syntax in (uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless):
        yield f"{syntax.name} signed", dicom.saved(dicom.compressed(dicom.dataset(ct), ct, syntax), syntax)
    baseline = uid.JPEGBaseline8Bit
    yield "baseline", dicom.saved(dicom.compressed(dicom.dataset(eight), eight, baseline), baseline)
    extended = dicom.compressed(dicom.dataset(twelve, bits=12), twelve, uid.JPEGExtended12Bit)
    yield "extended", dicom.saved(extended, uid.JPEGExtended12Bit)
    colour = dicom.picture(2, 3, 8)
    for syntax, photometric in (
        (uid.RLELossless, "RGB"),
        (uid.JPEG2000Lossless, "YBR_RCT"),
        (baseline, "YBR_FULL_422"),
    ):
        made = dicom.compressed(dicom.dataset(colour, photometric), colour, syntax)
        yield f"{syntax.name} colour", dicom.saved(made, syntax)


def _grey(bits: int) -> Any:  # noqa: ANN401 - an array of bytes or words
    return dicom.picture(1, 1, bits)[0]


def _pngs() -> Iterator[tuple[str, bytes]]:
    image = Image.fromarray(_grey(8))
    colour = Image.fromarray(dicom.picture(1, 3, 8)[0])
    texts = {"grey": image, "16 bits": Image.fromarray(_grey(16)), "colour": colour, "palette": colour.quantize(16)}
    texts |= {"alpha": colour.convert("RGBA"), "grey alpha": image.convert("LA"), "one bit": image.convert("1")}
    for name, picture in texts.items():
        yield name, _saved(picture, "png")


def _jpegs() -> Iterator[tuple[str, bytes]]:
    image, colour = Image.fromarray(_grey(8)), Image.fromarray(dicom.picture(1, 3, 8)[0])
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, dicom.CANARY
    yield "grey", _saved(image, "jpeg")
    yield "colour", _saved(colour, "jpeg", comment=dicom.CANARY)
    yield "progressive", _saved(colour, "jpeg", progressive=True)
    yield "turned", _saved(colour, "jpeg", exif=exif)
    yield "cmyk", _saved(colour.convert("CMYK"), "jpeg")


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _tiffs() -> Iterator[tuple[str, bytes]]:
    grey, words, colour = _grey(8), _grey(16), dicom.picture(1, 3, 8)[0]
    yield "grey", _tiff(grey)
    yield "16 bits, big endian", _tiff(words, byteorder=">")
    yield "float", _tiff(words.astype("f4") / 65535)
    yield "signed", _tiff(dicom.picture(1, 1, 12, signed=True)[0])
    yield "big", _tiff(words, bigtiff=True)
    yield "pages", _tiff(dicom.picture(3, 1, 8), photometric="minisblack")
    yield "white is zero", _tiff(grey, photometric="miniswhite")
    yield "planes", _tiff(colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    for compression in ("lzw", "zlib", "packbits", "jpeg", "zstd", "lzma"):
        yield f"colour {compression}", _tiff(colour, photometric="rgb", compression=compression)
    yield "tiles", _tiff(words, tile=(16, 16), compression="zlib", predictor=True)
    yield "strips", _tiff(grey, rowsperstrip=7, compression="lzw")


def _tiff(pixels: Any, **options: Any) -> bytes:  # noqa: ANN401 - tifffile's
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, description=dicom.CANARY, metadata=None, **options)
    return stream.getvalue()


def _niftis() -> Iterator[tuple[str, bytes]]:
    volume = dicom.picture(4, 1, 12, signed=True).transpose(2, 1, 0)
    volumes: dict[str, Any] = {"int16": volume, "uint8": dicom.picture(4, 1, 8).transpose(2, 1, 0)}
    volumes |= {"float32": volume.astype("f4"), "4d": np.stack([volume, volume], axis=-1)}
    for name, values in volumes.items():
        yield name, _nifti(values, nib.Nifti1Image).to_bytes()
    second = _nifti(volume, nib.Nifti2Image)
    yield "second version", second.to_bytes()
    scaled = _nifti(volume, nib.Nifti1Image)
    scaled.header.set_slope_inter(0.5, -100)
    data = scaled.to_bytes()
    yield "scaled", data
    yield "zipped", _gzip(data)


def _nifti(values: Any, kind: Any) -> Any:  # noqa: ANN401 - nibabel has no types
    image = kind(values, np.diag([1.0, 1.0, 2.0, 1.0]))
    image.header["descrip"] = dicom.CANARY.encode()
    return image


def _gzip(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data, mtime=0)


def _real(shared: Path) -> Iterator[Made]:
    scans = sorted((shared / "data/dicom").glob("*/*.dcm"))
    series = [path for path in scans if path.parent.name == "ct_rider_lung"][:2]
    for path in [path for path in scans if path.parent.name != "ct_rider_lung"] + series:
        # The two progressive ones are of a kind that nothing here can decode, and stay as they are.
        whole = "Process10_12" in path.name or "Process6_8" in path.name
        yield "dicom", f"real {path.name}", path.read_bytes() if whole else dicom.small(path.read_bytes())
    for collection in ("chest-xray", "dermatoscopy", "lung-ultrasound"):
        for path in sorted((shared / "data" / collection / "images").iterdir())[:2]:
            with Image.open(path) as image:
                piece = image.crop((20, 20, 84, 84))
            yield "jpeg", f"real {path.name}", _saved(piece, "jpeg", exif=image.info.get("exif", b""))
            yield "png", f"real {path.name} as PNG", _saved(piece, "png")

"""What tells one model from another: a hash of all that decoding a text depends on."""

from __future__ import annotations

import hashlib
import json

from onmt_lattice.bitstream.file import FINGERPRINT
from onmt_lattice.bitstream.representation import RepresentationCodec
from onmt_lattice.opennmt.checkpoint import LoadedAutoencoder, embedded_files
from onmt_lattice.opennmt.data.sentences import transform_names

SEGMENTATION = ("subword_type", "onmttok_kwargs")
ARCHITECTURE = ("rnn_type", "bottleneck_site")


def model_fingerprint(loaded: LoadedAutoencoder, codec: RepresentationCodec) -> bytes:
    """Return a hash of every tensor, both vocabularies, the segmentation and the ``codec``.

    It depends neither on the device nor on where files lie, nor on how the model was trained: the
    same model has the same fingerprint. Another one has it by a chance of 2⁻³².
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(_values(loaded, codec), sort_keys=True).encode())
    for name, content in sorted(embedded_files(loaded.opt).items()):
        digest.update(f"{name} {len(content)}".encode() + bytes(content.tolist()))
    for name, tensor in sorted(loaded.model.state_dict().items()):
        exact = tensor.detach().cpu().contiguous()
        exact = exact.float() if exact.is_floating_point() else exact
        digest.update(f"{name} {tuple(exact.shape)}".encode())
        digest.update(exact.numpy().astype(exact.numpy().dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:FINGERPRINT]


def _values(loaded: LoadedAutoencoder, codec: RepresentationCodec) -> dict[str, object]:
    """Return what decides and is no tensor, in plain values."""
    opt = loaded.opt
    names = (*ARCHITECTURE, *(f"{side}_{name}" for side in ("src", "tgt") for name in SEGMENTATION))
    vocabularies = {side: loaded.fields[side].base_field.vocab.itos for side in ("src", "tgt")}
    options = {name: str(getattr(opt, name, None)) for name in names}
    transforms = transform_names(loaded)
    return {"codec": codec.fingerprint, "transforms": transforms, **options, **vocabularies}

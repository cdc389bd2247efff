"""Vectors of any origin: at the rate, error or noise that was asked for, and the same when read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Capture, Mistake
from hypothesis import given
from hypothesis import strategies as st
from test_golden_blocks import ENVIRONMENTS, python_in

from onmt_lattice.bitstream import BitstreamError, WrongCode
from onmt_lattice.bitstream.file import FileWriter, Header, Mode, Section
from onmt_lattice.bitstream.vector_codec import VectorCodec
from onmt_lattice.bitstream.vector_fitting import rate_distortion_bits, water_level
from onmt_lattice.cli import main
from onmt_lattice.errors import UserError

WIDTH, ROWS = 16, 4000


@cache
def vectors(law: str = "normal", seed: int = 0) -> np.ndarray[Any, Any]:
    """Return correlated vectors far from 0, of sources that differ in size by 100."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(7).normal(size=(WIDTH, WIDTH)) * np.geomspace(0.1, 10, WIDTH)
    source = (
        rng.normal(size=(ROWS, WIDTH)) if law == "normal" else rng.uniform(-1, 1, (ROWS, WIDTH))
    )
    made: np.ndarray[Any, Any] = (source @ mix + 100).astype(np.float32)
    return made


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20), st.floats(0.001, 0.999))
def test_the_water_level_has_the_error_asked_for(variances: list[float], share: float) -> None:
    v = np.array(variances)
    level = water_level(v, share * v.mean())
    assert np.minimum(v, level).mean() == pytest.approx(share * v.mean(), rel=1e-9)
    assert rate_distortion_bits(v, v.mean()) == 0 < rate_distortion_bits(v, share * v.mean())


@pytest.mark.parametrize(("lattice", "bits"), [("Z", 20), ("E8", 60), ("conv16", 60)])
def test_the_bits_are_those_asked_for(lattice: str, bits: float) -> None:
    x = vectors()
    costs = VectorCodec.fit(x, lattice, bits=bits).costs(x)
    assert costs.coded_bits == pytest.approx(bits, rel=0.01)
    assert costs.expected_bits == pytest.approx(costs.coded_bits, rel=0.005)


@pytest.mark.parametrize("law", ["normal", "uniform"])
@pytest.mark.parametrize("decorrelate", [True, False])
def test_the_error_is_that_asked_for(law: str, decorrelate: bool) -> None:
    x = vectors(law)
    costs = VectorCodec.fit(x, "E8", mse=0.3, decorrelate=decorrelate).costs(x)
    assert costs.mse == pytest.approx(0.3, rel=0.02)
    assert costs.rows == ROWS and costs.width == WIDTH
    assert f"{costs.coded_bits:.2f} bits per vector" in costs.describe()


def test_few_bits_are_met_on_more_vectors_than_the_prior_is_fitted_to() -> None:
    x = np.random.default_rng(0).standard_normal((10000, 32))
    assert VectorCodec.fit(x, "Z", bits=5).costs(x).coded_bits == pytest.approx(5, rel=0.01)


def test_the_bits_of_vectors_that_are_not_gaussian_are_those_asked_for() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 8)) * rng.lognormal(0, 1, (1000, 1))
    for bits in (2, 20):
        costs = VectorCodec.fit(x, "Z", bits=bits).costs(x)
        assert costs.coded_bits == pytest.approx(bits, rel=0.01) != costs.expected_bits


def test_at_high_rate_the_gap_is_the_lattices_loss() -> None:
    """Z loses 0.2546 bits per number to a Gaussian source's rate-distortion function, E8 0.1460."""
    x = vectors().astype(np.float64)
    for lattice, loss in (("Z", 0.2546), ("E8", 0.1460)):
        costs = VectorCodec.fit(x, lattice, mse=1e-6).costs(x)
        gap = (costs.expected_bits - costs.gaussian_bits) / WIDTH
        assert gap == pytest.approx(loss, abs=0.006)


@pytest.mark.parametrize("noise", [0.5, np.linspace(0.1, 2, WIDTH)])
def test_noise_is_added_and_nothing_else(noise: Any) -> None:
    x = vectors("uniform").astype(np.float64)
    codec = VectorCodec.fit(x, "E8", noise=noise)
    error = codec.decompress(codec.compress(x)) - x
    np.testing.assert_allclose(error.std(0), np.broadcast_to(noise, WIDTH), rtol=0.05)
    assert np.abs(error.mean(0) / error.std(0)).max() < 5 / np.sqrt(ROWS)
    correlation = np.corrcoef(x.T, error.T)[:WIDTH, WIDTH:]
    assert np.abs(correlation).max() < 5 / np.sqrt(ROWS)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_without_variance_come_back_for_nothing(dtype: Any) -> None:
    x = vectors()[:500].astype(dtype)
    x[:, 3] = 0.25
    codec = VectorCodec.fit(x, "Z", mse=1.0)
    assert codec.decompress(codec.compress(x))[:, 3] == pytest.approx(0.25, abs=1e-4)


@pytest.fixture(scope="module")
def codec() -> VectorCodec:
    return VectorCodec.fit(vectors()[:500], "E8", bits=40)


def test_a_saved_codec_reads_and_writes_the_same(codec: VectorCodec, tmp_path: Path) -> None:
    x = vectors()
    data = codec.compress(x, seed=3)
    codec.save(tmp_path / "codec.safetensors")
    again = VectorCodec.load(tmp_path / "codec.safetensors")
    assert again.compress(x, seed=3) == data != codec.compress(x, seed=4)
    np.testing.assert_array_equal(again.decompress(data), codec.decompress(data))
    assert again.to_bytes() == codec.to_bytes()
    assert codec.costs(x, 3, codec.compress(x, 3, embed=True)) == codec.costs(x, 3)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_other_processors_write_the_same_bytes(
    codec: VectorCodec, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Their products differ in last digits, which move no point."""
    codec.save(tmp_path / "codec.safetensors")
    np.save(tmp_path / "x.npy", vectors())
    words = "-input x.npy -codec codec.safetensors -seed 3 -output x.olz".split()
    python_in(environment, "-m", "onmt_lattice", "pack", *words, cwd=tmp_path)
    assert (tmp_path / "x.olz").read_bytes() == codec.compress(vectors(), seed=3)


def test_damaged_files_and_codecs_are_refused(codec: VectorCodec) -> None:
    data, held = codec.compress(vectors()[:100]), codec.to_bytes()
    rng = np.random.default_rng(0)
    for whole, read in ((data, codec.decompress), (held, VectorCodec.from_bytes)):
        for position in rng.choice(len(whole), 60, replace=False):
            altered = bytearray(whole)
            altered[position] ^= 1 << rng.integers(8)
            with pytest.raises(UserError):
                read(bytes(altered))
        with pytest.raises(UserError):
            read(whole[:-1])
    with pytest.raises(WrongCode):
        VectorCodec.fit(vectors()[:500], "E8", bits=41).decompress(data)
    writer = FileWriter(Header(codec.fingerprint, Mode.VECTORS, 12, 0, 1, WIDTH, 4 * WIDTH))
    writer.add({Section.EMPTY: b""})
    with pytest.raises(BitstreamError, match="no points"):
        codec.decompress(writer.data())


def test_a_vector_far_from_those_fitted_to_is_refused(codec: VectorCodec) -> None:
    x = vectors()[:5].copy()
    x[3] = 1e30
    with pytest.raises(UserError, match="vector 3: too large; expected vectors like"):
        codec.compress(x)
    with pytest.raises(UserError, match="vectors that are no array"):
        codec.compress([[1.0], [1.0, 2.0]])


def test_a_seed_that_no_file_can_hold_is_refused(codec: VectorCodec) -> None:
    x = vectors()[:5]
    assert codec.decompress(codec.compress(x, 2**63 - 1)).shape == x.shape
    for seed in (-1, 2**63, 0.5):
        with pytest.raises(UserError, match=f"seed {seed}: expected an integer from 0 to"):
            codec.compress(x, seed)  # type: ignore[arg-type]


def test_parts_of_two_codecs_are_no_codec(codec: VectorCodec) -> None:
    tensors = {**codec.tensors, "mean": codec.tensors["mean"][:3]}
    with pytest.raises(UserError, match=r"do not fit each other: shapes .*\(3,\)"):
        VectorCodec(codec.settings, tensors)


BAD: dict[str, Any] = {
    "vectors of shape (3,)": (np.zeros(3), {"bits": 1}),
    "vectors of shape (0, 4)": (np.zeros((0, 4)), {"bits": 1}),
    "vectors of int64": (np.zeros((200, 4), int), {"bits": 1}),
    "99 vectors: expected at least 100": (np.ones((99, 4)), {"bits": 1}),
    "300 vectors: expected at least 400 to fit to, or no dec": (np.ones((300, 200)), {"bits": 1}),
    "vectors that are all the same": (np.ones((200, 4)), {"bits": 1}),
    "vector 7: a number that is not finite": (np.where(np.arange(800) == 31, np.nan, 1.0), {}),
    "nothing given: expected one of bits, mse, noise": (vectors(), {}),
    "bits and mse given: expected one of": (vectors(), {"bits": 1, "mse": 1}),
    "mse -1: expected a number, above 0": (vectors(), {"mse": -1}),
    "noise of 1e-09: less than float32 can show": (vectors(), {"noise": 1e-9}),
    "noise of 1e-320: expected float32's range": (vectors(), {"noise": 1e-320}),
    "noise of 1e+200: expected float32's range": (vectors(), {"noise": 1e200}),
    "mse 1e-15: less than float32 can show": (vectors(), {"mse": 1e-15}),
    "bits 10000: 3": (vectors(), {"bits": 10000}),
    "bits 'many': expected a number, above 0": (vectors(), {"bits": "many"}),
    "vector 0: a number that is not finite; expected float32's range": (
        vectors().astype(np.float64) * 1e100,
        {"bits": 1},
    ),
    "-seed -1: expected at least 0": (vectors(), {"bits": 1, "seed": -1}),
    "noise [1.0, 2.0]: expected a number or 16 of them, ab": (vectors(), {"noise": [1.0, 2.0]}),
    "mse 10000000.0: expected less than": (vectors(), {"mse": 1e7}),
    "unknown lattice 'E9'": (vectors(), {"mse": 1, "lattice": "E9"}),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_fitted_is_an_error(message: str) -> None:
    x, words = BAD[message]
    with pytest.raises(UserError) as error:
        VectorCodec.fit(
            *((x.reshape(-1, 4), "Z") if np.ndim(x) == 1 and len(x) > 3 else (x,)),
            **(words or ({"bits": 1} if np.ndim(x) == 1 else {})),
        )
    assert message in str(error.value)


def test_the_commands(tmp_path: Path, capfd: Capture, mistake: Mistake) -> None:
    x, codec = vectors()[:500], tmp_path / "codec.safetensors"
    np.save(tmp_path / "x.npy", x)
    words = ["-input", str(tmp_path / "x.npy")]
    asked = ["-lattice", "E8", "-mse", "0.5"]
    files = {name: str(tmp_path / f"{name}.olz") for name in ("alone", "shared", "again")}
    assert main(["pack", *words, *asked, "-output", files["alone"]]) == 0
    for name, more in (("shared", asked), ("again", [])):
        given = [*words, *more, "-codec", str(codec), "-output", files[name]]
        assert main(["pack", *given]) == 0
    assert "500 vectors of 16 numbers: " in capfd.readouterr().err
    assert Path(files["shared"]).read_bytes() == Path(files["again"]).read_bytes()
    assert main(["inspect", files["alone"]]) == 0
    assert re_units(capfd.readouterr().out)
    outputs = []
    for name, more in (("alone", []), ("shared", ["-codec", str(codec)])):
        output = tmp_path / f"{name}.npy"
        assert main(["unpack", "-input", files[name], "-output", str(output), *more]) == 0
        outputs.append(np.load(output))
    np.testing.assert_array_equal(*outputs)
    assert np.square(outputs[0] - x).mean() == pytest.approx(0.5, rel=0.05)
    assert "no codec in it" in mistake("unpack", "-input", files["again"], "-output", "y.npy")
    used = [*words, "-codec", str(codec), "-output", files["again"]]
    for more in (["-bits", "3"], ["-lattice", "E8"], ["-no_decorrelation"]):
        assert f"{more[0]}: the codec {codec} was fitted before" in mistake("pack", *used, *more)
    text = ["-model", "m", "-input", files["alone"], "-output", "y.txt"]
    assert "a file of vectors; decode it with 'onmt_lattice unpack'" in mistake("decompress", *text)


def re_units(shown: str) -> bool:
    return all(part in shown for part in ("500 vectors", "8000 numbers", "per number", "codec"))


def test_the_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parent.parent / "docs/vectors.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", vectors()[:300])
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    assert np.square(names["x"] - names["y"]).mean() == pytest.approx(0.1, rel=0.05)

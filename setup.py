"""Packaging of onmt_lattice; tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

setup(
    name="onmt-lattice",
    version="0.1.0",
    description="Text autoencoders for OpenNMT-py whose sentence representation "
    "is a lattice point, paid for in bits",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["onmt_lattice", "onmt_lattice.*"]),
    package_data={"onmt_lattice": ["py.typed", "report/page.html"]},
    install_requires=[
        "OpenNMT-py==2.3.0",
        # From 2.6 every torch.load reads weights only unless told otherwise, so that no
        # checkpoint can run code; the upper bound is the last line tried.
        "torch>=2.6,<2.14",
        "numpy",
        "pyyaml",
        "sentencepiece",
        "sacrebleu",
        "sacremoses>=0.2,<0.3",  # its tables and rules are widened from within
        "subword-nmt>=0.3.8",
        "constriction",
        "matplotlib",
        "tqdm",
        "rich",
    ],
    extras_require={
        "test": ["pytest", "hypothesis", "ruff==0.17.6", "mypy==2.4.1", "submitit>=1.5,<2"],
        "cluster": ["submitit>=1.5,<2"],
    },
    entry_points={"console_scripts": ["onmt_lattice=onmt_lattice.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Typing :: Typed",
    ],
)

"""Packaging of onmt_lattice; tool settings live in pyproject.toml.

Ranges for people who install into an environment of their own; requirements.lock holds one exact
version of each. A bound above stands where the code leans on what a package does not promise.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
RUN = [
    # plugin.py lists what is replaced in it. It asks for pyonmttok, which only its transform
    # onmt_tokenize imports and which has no wheels for Python 3.13 and later: there OpenNMT-py is
    # installed by pip install --no-deps, and the next two are the rest of what it imports.
    'OpenNMT-py==2.3.0; python_version < "3.13"',
    "torchtext==0.5.0",
    "tensorboard>=2.3",
    "ConfigArgParse>=1.7,<2",  # OpenNMT-py's parser, whose actions are changed
    # From 2.6 every torch.load reads weights only unless told otherwise, so that no
    # file of word vectors can run code.
    "torch>=2.6,<3",
    "numpy>=1.26",  # the oldest with wheels for every Python here, and tried by make test-oldest
    "safetensors>=0.5,<1",  # checkpoints and codecs; its header is read
    "numba>=0.60,<0.70",  # kernels ask for tuples whose length the compiler knows
    "pyyaml>=6,<7",  # its loader composes mappings our way
    "sentencepiece",
    "sacrebleu>=2.3,<3",  # its list of test sets is read
    "sacremoses>=0.2,<0.3",  # its tables and rules are widened from within
    "subword-nmt>=0.3.8,<0.4",  # the function is called that its command learns merges with
    "joblib>=1.4,<2",  # the error is caught by which its pool says that a worker has died
    "requests>=2.31,<3",
    "constriction>=0.4,<0.6",  # what it writes has no version of its own
    "matplotlib>=3.8,<4",
    "jinja2>=3.1,<4",
    "tqdm",
    "rich",
]
CLUSTER = ["submitit>=1.5,<2"]  # the files of its jobs are looked at
HUB = ["huggingface_hub>=0.30,<3"]  # downloads models that are shared: hf://user/name
VQ = ["vector-quantize-pytorch>=1.32,<2"]  # the threshold of its codebooks is set as it trains
# For the kernels for GPUs, which it interprets and compiles without one. torch's builds for CUDA
# bring it themselves, 2.6 the first of these.
TRITON = 'triton>=3.2,<4; sys_platform == "linux" and platform_machine == "x86_64"'
CHECKERS = ["ruff==0.17.6", "mypy==2.4.1"]
PACKAGERS = ["build", "setuptools>=77", "uv>=0.5"]  # tests build the package and resolve it
TEST = [*CLUSTER, *HUB, *VQ, TRITON, "pytest", "hypothesis", *CHECKERS, *PACKAGERS]

setup(
    name="onmt-lattice",
    version="0.1.0",
    description="Text autoencoders for OpenNMT-py whose sentence representation "
    "is a lattice point, paid for in bits",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["onmt_lattice", "onmt_lattice.*"]),
    package_data={
        "onmt_lattice": [
            "py.typed",
            "experiments/corpus/rules.txt",
            "experiments/corpus/words.ini",
            "experiments/demo/*.yaml",
            "experiments/report/page.html",
            "opennmt/commands/model_card.md",
        ]
    },
    install_requires=RUN,
    extras_require={"cluster": CLUSTER, "hub": HUB, "vq": VQ, "test": TEST},
    entry_points={"console_scripts": ["onmt_lattice=onmt_lattice.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Typing :: Typed",
    ],
)

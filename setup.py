"""Packaging of seqgnn. Floors only, so that the torch a user has survives; constraints.txt pins what was tested."""

import re
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "seqgnn" / "__init__.py").read_text(encoding="utf-8")).group(1)

kernels = Path("seqgnn/nn/scan/cpp/kernels")


class BuildKernels(build_ext):
    """Builds the compiled engine, a library with a plain C interface: one file serves every Python and every torch."""

    def get_ext_filename(self, name):
        return str(Path(*name.split("."))) + (".pyd" if sys.platform == "win32" else ".so")

    def get_export_symbols(self, extension):
        return []  # no PyInit: ctypes loads it


setup(
    name="seqgnn",
    version=version,
    description="Graph layers, recurrent layers and their hybrids, compared on the same samples",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="seqgnn contributors",
    license_expression="MIT",
    keywords=[
        "pytorch",
        "graph neural networks",
        "recurrent neural networks",
        "temporal graphs",
        "spatio-temporal forecasting",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # Explicit, so that an editable install is a line in a .pth file. An import hook would come after sys.path, where a
    # checkout in a folder seqgnn/ next to a script counts as a namespace package.
    package_dir={"": "."},
    packages=find_packages(include=["seqgnn", "seqgnn.*"]),
    ext_modules=[
        Extension(
            "seqgnn.nn.scan.cpp._kernels",
            sources=[str(kernels / f"{name}.cpp") for name in ("interface", "threads", "portable", "avx2", "avx512")],
            depends=[str(path) for path in kernels.glob("*.h")],
            language="c++",
            # Not -ffast-math: inf and nan must stay. One product and one sum may be rounded once.
            extra_compile_args=["-std=c++17", "-O3", "-ffp-contract=fast", "-fvisibility=hidden", "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels},
    package_data={"seqgnn": ["py.typed", "report/html/templates/*"]},
    install_requires=[
        "torch>=2.6",
        "torch-geometric>=2.6",
        "networkx>=3.2",
        "scikit-learn>=1.4",
        "matplotlib>=3.10",
        "joblib>=1.4",
        "typer>=0.16",
        "rich>=13",
        "pooch>=1.8",
        "safetensors>=0.4",
        "jinja2>=3.1",
        "numpy>=1.26",
        "pandas>=2.2",
        "narwhals>=1.20",
        "scipy>=1.11",
        "filelock>=3.13",
        "threadpoolctl>=3.2",
    ],
    extras_require={
        "signals": ["h5py>=3.10", "hdf5plugin>=4.4", "pyarrow>=15"],
        "scatter": ["torch-scatter>=2.1.2"],
        "distributed": ["lightning-fabric>=2.4"],
        "dask": ["distributed>=2024.1"],
        "ray": ["ray>=2.9"],
        "triton": ["triton>=3.3"],
        "onnx": ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.22"],
        "test": [
            "pytest>=8",
            "pytest-cov>=5",
            "pytest-xdist>=3.5",
            "hypothesis>=6",
            "mypy>=1.10",
            "ruff>=0.6",
            "lightning-fabric>=2.4",
            "distributed>=2024.1",
            "h5py>=3.10",
            "hdf5plugin>=4.4",
            "pyarrow>=15",
            "polars>=1.10",
            "tables>=3.10",
            "setuptools>=77.0.3",
            "onnx>=1.18",
            "onnxscript>=0.5",
            "onnxruntime>=1.22",
            "captum>=0.8",
        ],
    },
    entry_points={"console_scripts": ["seqgnn = seqgnn.cli.main:run"]},
)

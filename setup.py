from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = {}
exec((HERE / "ecgsk" / "_version.py").read_text(encoding="utf-8"), VERSION)

EXTRAS = {
    # Recordings of devices and archives: DICOM, XML, SCP-ECG, EDF and others.
    "formats": ["ecgdatakit>=2.0.3", "pydicom>=3.0", "h5py>=3.10"],
    "hub": ["huggingface_hub>=0.23"],
    # The EBM itself comes with interpret-core; this adds interpret's interactive dashboards.
    "interpret": ["interpret>=0.7.4"],
    # Export, and the engines that predictions can be computed with. torch 2.5 to 2.7 cannot export
    # a network for any number of recordings; 2.13 is the oldest version that was seen to.
    "onnx": [
        "torch>=2.13",
        "onnx>=1.16",
        "onnxscript>=0.7",
        "onnxruntime>=1.18",
        "openvino>=2024.2",
    ],
    # Tables of predictions as .parquet.
    "parquet": ["pyarrow>=15"],
    # Tables of users as .xlsx.
    "excel": ["openpyxl>=3.1"],
    # joblib's "dask" backend: workers on other machines.
    "dask": ["dask>=2024.8", "distributed>=2024.8"],
    # examples/http_service.py
    "service": ["fastapi>=0.110", "uvicorn>=0.29"],
    "docs": [
        "sphinx>=7.3",
        "numpydoc>=1.8",
        "sphinx-gallery>=0.17",
        "myst-parser>=4",
        "pydata-sphinx-theme>=0.15",
    ],
    # What the tests need besides the extras above; without these, tests of them are skipped.
    "test": [
        "pytest>=8",
        "pytest-xdist>=3.8",
        "psutil>=5.9",
        "pyedflib>=0.1.38",
        "httpx>=0.27",
        "setuptools>=77.0.3",
    ],
    "dev": ["ruff>=0.6", "mypy>=1.13"],
}
for name in ("formats", "onnx", "parquet", "excel", "dask", "service", "docs", "test"):
    EXTRAS["dev"] += EXTRAS[name]

setup(
    name="ecgsk",
    version=VERSION["__version__"],
    description="scikit-learn estimators for the 12-lead ECG",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="BSD-3-Clause",
    license_files=["LICENSE"],
    packages=find_packages(include=["ecgsk", "ecgsk.*"]),
    package_data={
        "ecgsk": ["py.typed"],
        "ecgsk.datasets._ptbxl": ["*.txt"],
        "ecgsk.weights": ["*.safetensors", "*.md", "*.txt"],
    },
    python_requires=">=3.10",
    install_requires=[
        "numpy>=1.26.4",
        "scipy>=1.13",
        "scikit-learn>=1.6",
        "skorch>=1.3.1",
        "torch>=2.5",
        "wfdb>=4.3.1",
        "pandas>=2.2.3",
        "interpret-core>=0.7.4",
        "optuna>=4.0",
        "joblib>=1.4",
        "safetensors>=0.4",
        "skops>=0.11",
        "tqdm>=4.66",
        "matplotlib>=3.9",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ecgsk = ecgsk.__main__:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Intended Audience :: Healthcare Industry",
        "Intended Audience :: Developers",
        "Operating System :: MacOS",
        "Operating System :: Microsoft :: Windows",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Typing :: Typed",
    ],
)

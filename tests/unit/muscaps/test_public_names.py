"""The public names of `muscaps`: found without imports of torch, typed, complete."""

import subprocess
import sys
from importlib.resources import files

import muscaps


def test_every_public_name_is_listed_and_exists():
    assert set(muscaps.__all__) <= set(dir(muscaps))
    assert all(getattr(muscaps, name) is not None for name in muscaps.__all__)


def test_listing_the_names_does_not_import_torch():
    code = "import sys, muscaps; dir(muscaps); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_states_that_it_is_typed():
    assert files("muscaps").joinpath("py.typed").is_file()

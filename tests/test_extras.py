"""Extras: what is missing is named, and a folder of the same name is no package."""

import pytest

from avae.errors import UserError
from avae.extras import EXTRAS, require_extra


def test_a_folder_of_that_name_is_no_package(tmp_path, monkeypatch):
    monkeypatch.setitem(EXTRAS, "onnx", ("onnx_of_a_run",))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "onnx_of_a_run").mkdir()  # as avae export RUN --out NAME makes, seen by python -m avae
    with pytest.raises(UserError, match=r"avae export needs onnx_of_a_run: pip install 'avae\[onnx\]'"):
        require_extra("onnx", "avae export")


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_that_is_installed_is_found(extra):
    require_extra(extra, "this test")

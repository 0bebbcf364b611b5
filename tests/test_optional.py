import json

import pytest

from ecgsk._optional import import_optional


def test_what_is_there_is_imported():
    assert import_optional("json", extra="hub", purpose="read") is json


def test_what_is_missing_comes_with_the_command_that_installs_it():
    with pytest.raises(ImportError, match=r"no_such is needed to fetch weights.*'ecgsk\[hub\]'"):
        import_optional("no_such", extra="hub", purpose="fetch weights")

"""The reference tables that the project publishes."""

import pytest

from gm.commands import archive as packing
from gm.commands import verify


@pytest.mark.parametrize("name", ["digits", "sampling"])
def test_the_published_archives_are_whole(name):
    path = packing.plan.REPOSITORY / "results/published" / f"{name}.zip"
    assert path.stat().st_size < 400_000 and verify.main([str(path)]) == 0

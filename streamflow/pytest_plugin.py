"""The pytest plugin: a fixture `prove`, there wherever streamflow is installed.

Every start of pytest imports it, so it stands outside of `streamflow.testing`, which imports much more.

def test_results_do_not_depend_on_crashes(prove):
    prove(build, {"bids": rows}, seeds=50)
"""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def prove() -> Any:
    """`streamflow.testing.prove`, whose failure ends with what repeats it."""
    from streamflow.testing.proving import Disproved, Proof
    from streamflow.testing.proving import prove as prove_

    def proved(*args: Any, **options: Any) -> Proof:
        __tracebackhide__ = True
        try:
            return prove_(*args, **options)
        except Disproved as error:
            pytest.fail(f'{error}\nrepeat it: prove(..., replay="{error.trial}")', pytrace=False)

    return proved

"""Real servers for tests, each on a free port of loopback. `python -m tests.services` installs what they need.

A test asks for the fixture of a service (`tests/conftest.py`). Where the service is not installed the test is skipped
with the reason; with STREAMFLOW_REQUIRE_SERVICES=1, as in CI, it fails.
"""

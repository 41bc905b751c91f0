"""Where it runs and how parallel: one step a file, a Prefect task over Ray actors or Ray tasks."""

import os

# Both libraries read these when they are imported, which the modules of this package do.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Whoever waits for a result tells its failure; Ray would print those of the other results as well.
os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
# A thread that still works while an interrupted run ends must not start a Ray of its own.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
# Ray's notice about a future default would stand between the user and the ranking.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
if "RAY_ADDRESS" not in os.environ:
    # The Ray we start ourselves listens on the loopback only; clusters keep their tokens.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")

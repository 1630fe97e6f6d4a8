"""SQLAlchemy's test plugin, which takes the whole run over: so this folder is run on its own."""

import pytest

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403

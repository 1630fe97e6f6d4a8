"""Which tests of SQLAlchemy's dialect suite Rome must pass: those that stock SQLite passes, except for REFUSED."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

from rome.dbapi.isolation import LEVELS
from rome.dialect.base import RomeDialect

OPEN = frozenset(
    {
        "autocommit",
        "boolean_col_expressions",
        "check_constraint_reflection",
        "computed_columns",
        "computed_columns_reflect_persisted",
        "computed_columns_stored",
        "computed_columns_virtual",
        "create_table_as",
        "create_temp_table_as",
        "ctes",
        "ctes_with_values",
        "date_historic",
        "datetime_historic",
        "datetime_literals",
        "dbapi_lastrowid",
        "deferrable_fks",
        "delete_from",
        "emulated_lastrowid",
        "emulated_lastrowid_even_with_sequences",
        "except_",
        "expression_server_defaults",
        "fk_constraint_option_reflection_ondelete_noaction",
        "fk_constraint_option_reflection_ondelete_restrict",
        "fk_constraint_option_reflection_onupdate_restrict",
        "float_or_double_precision_behaves_generically",
        "foreign_key_constraint_name_reflection",
        "foreign_key_constraint_option_reflection_ondelete",
        "foreign_key_constraint_option_reflection_onupdate",
        "get_isolation_level_values",
        "has_temp_table",
        "implicit_default_schema",
        "index_ddl_if_exists",
        "indexes_check_column_order",
        "indexes_with_expressions",
        "infinity_floats",
        "inline_check_constraint_reflection",
        "intersect",
        "isolation_level",
        "json_array_indexes",
        "json_type",
        "legacy_unconditional_json_extract",
        "mod_operator_as_percent_sign",
        "non_updating_cascade",
        "nullsordering",
        "nvarchar_types",
        "order_by_collation",
        "order_by_label_with_expression",
        "percent_schema_names",
        "precision_numerics_enotation_small",
        "precision_numerics_retains_significant_digits",
        "reflect_table_options",
        "reflects_pk_names",
        "regexp_match",
        "repeated_column_foreign_keys",
        "repeated_remote_col_foreign_keys",
        "savepoints",
        "server_defaults",
        "skip_autocommit_rollback",
        "supports_bitwise_and",
        "supports_bitwise_not",
        "supports_bitwise_or",
        "supports_bitwise_shift",
        "supports_bitwise_xor",
        "table_ddl_if_exists",
        "temp_table_names",
        "temporary_views",
        "timestamp_microseconds",
        "timestamp_microseconds_implicit_bound",
        "tuple_in",
        "tuple_in_w_empty",
        "unicode_ddl",
        "update_from",
        "uuid_data_type",
        "view_column_reflection",
        "view_reflection",
        "views",
        "window_functions",
        "window_range",
        "window_range_numeric",
    }
)
"""Requirements that the suite leaves closed unless a dialect opens them."""

CLOSED = {"implicitly_named_constraints": "SQLite gives a constraint no name of its own"}
"""Requirements that the suite leaves open unless a dialect closes them, and that SQLite does not meet."""

REFUSED = {"schemas": "ATTACH is refused: a connection has one database"}
"""Requirements that are closed on Rome alone; stock SQLite, with which the tests compare, runs their tests."""

FAILING = {
    "parens_in_union_contained_select_w_limit_offset": "not in SQLite's grammar",
    "parens_in_union_contained_select_wo_limit_offset": "not in SQLite's grammar",
    "precision_numerics_many_significant_digits": "SQLite keeps decimals as floats",
}
"""Requirements that SQLite does not meet. Their tests run and must fail, as SQLAlchemy declares it for SQLite."""


class Requirements(SuiteRequirements):
    """Rome's requirements: pytest's option `--requirements rome.dialect.requirements:Requirements` selects them."""

    def get_isolation_levels(self, config: object) -> dict[str, Any]:
        """The default isolation level, and all of them."""
        return {"default": "SERIALIZABLE", "supported": list(LEVELS)}

    def get_order_by_collation(self, config: object) -> str:
        """A collation with which the suite tests ORDER BY."""
        return "NOCASE"


def refused(reason: str) -> Any:
    """A rule that skips a requirement's tests on Rome, with this reason."""

    def on_rome(config: Any) -> bool:
        return bool(config.db.dialect.driver == RomeDialect.driver)

    condition: Any = exclusions.LambdaPredicate(on_rome, reason)  # type: ignore[no-untyped-call]
    return exclusions.skip_if(condition)  # type: ignore[no-untyped-call]


def made_by(make: Callable[..., Any], *reason: str) -> property:
    """A requirement whose rule is made anew each time it is read: SQLAlchemy adds other rules to the one it gets."""
    return property(lambda requirements: make(*reason))


for _name in OPEN:
    setattr(Requirements, _name, made_by(exclusions.open))
for _name, _reason in CLOSED.items():
    setattr(Requirements, _name, made_by(exclusions.closed, _reason))
for _name, _reason in REFUSED.items():
    setattr(Requirements, _name, made_by(refused, _reason))
for _name, _reason in FAILING.items():
    setattr(Requirements, _name, made_by(exclusions.fails, _reason))

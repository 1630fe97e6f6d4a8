"""What SQLAlchemy's own dialect suite may ask of Rome: what it may ask of SQLite, except for CLOSED."""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

from rome.dbapi.isolation import LEVELS

OPEN = frozenset(
    {
        "autocommit",
        "boolean_col_expressions",
        "check_constraint_reflection",
        "column_collation_reflection",
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
        "dbapi_lastrowid",
        "deferrable_fks",
        "delete_from",
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
        "indexes_with_expressions",
        "infinity_floats",
        "inline_check_constraint_reflection",
        "intersect",
        "isolation_level",
        "json_array_indexes",
        "json_type",
        "mod_operator_as_percent_sign",
        "nullsordering",
        "nvarchar_types",
        "order_by_label_with_expression",
        "percent_schema_names",
        "precision_numerics_enotation_small",
        "reflect_table_options",
        "reflects_pk_names",
        "regexp_match",
        "savepoints",
        "server_defaults",
        "skip_autocommit_rollback",
        "supports_bitwise_and",
        "supports_bitwise_not",
        "supports_bitwise_or",
        "supports_bitwise_shift",
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
"""What the suite leaves closed unless a dialect opens it."""

CLOSED = {
    "implicitly_named_constraints": "SQLite gives a constraint no name of its own",
    "parens_in_union_contained_select_w_limit_offset": "not in SQLite's grammar",
    "parens_in_union_contained_select_wo_limit_offset": "not in SQLite's grammar",
    "schemas": "ATTACH is refused: a connection has one database",
}
"""What the suite leaves open unless a dialect closes it, and why Rome does."""


class Requirements(SuiteRequirements):
    """For pytest's option `--requirements rome.dialect.requirements:Requirements` of SQLAlchemy's test plugin."""

    def get_isolation_levels(self, config: object) -> dict[str, Any]:
        return {"default": "SERIALIZABLE", "supported": list(LEVELS)}


def _when(closed: bool, reason: str = "") -> property:
    condition: Any = exclusions.BooleanPredicate(closed, reason)  # type: ignore[no-untyped-call]
    return property(lambda requirements: exclusions.skip_if(condition))  # type: ignore[no-untyped-call]


for _name in OPEN:
    setattr(Requirements, _name, _when(closed=False))
for _name, _reason in CLOSED.items():
    setattr(Requirements, _name, _when(closed=True, reason=_reason))

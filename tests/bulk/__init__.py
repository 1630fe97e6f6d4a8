"""rome.bulk: changes of more rows than one transaction may write."""

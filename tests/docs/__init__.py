"""What README and the pages below docs/ show and list is so."""

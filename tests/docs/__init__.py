"""Check that what README and the pages in docs/ show and list is true."""

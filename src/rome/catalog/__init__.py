"""The schema: as rows of table 0 (`objects`), as values (`schema`), and how DDL changes it (`definition`, `mirror`)."""

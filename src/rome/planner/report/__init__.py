"""A plan in words (`explain`), and the reasons why a table is read whole (`reasons`)."""

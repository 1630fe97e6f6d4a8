"""Key/value stores: the contract (`spi`), where a database is (`location`), and one store per module or package."""

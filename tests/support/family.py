"""Parents, their children, and a table without a key: what tests of single statements run on."""

SCHEMA = """
    CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
    CREATE UNIQUE INDEX parent_name ON parent (name);
    CREATE TABLE child (uuid TEXT PRIMARY KEY, parent INT REFERENCES parent, note TEXT);
    CREATE INDEX child_parent ON child (parent);
    CREATE TABLE log (line);
    INSERT INTO parent VALUES (1, 'ann'), (2, 'bob');
    INSERT INTO child VALUES ('u1', 1, 'x'), ('u2', 1, NULL), ('u3', 2, 'z');
    INSERT INTO log VALUES ('first'), ('second');
"""

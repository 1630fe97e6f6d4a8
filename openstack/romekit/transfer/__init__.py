"""The databases of Nova and Keystone, with many servers and users, from a real MariaDB into Rome and back.

`make transfer-test` runs `python -m romekit.transfer`. multiply.py fills the databases, nova_objects.py and
keystone_objects.py read them through the services' own code, comparison.py compares two of MariaDB's by itself.
"""

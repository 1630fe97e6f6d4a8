"""A store on an engine with ordered keys and transactions, such as etcd: one implementation for all of them."""

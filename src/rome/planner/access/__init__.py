"""Which index finds a leaf's rows (`access`, `partial`), in which wave (`order`), and with which keys (`bounds`)."""

"""rome.transfer: databases of other kinds into Rome's and back."""

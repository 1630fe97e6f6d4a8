"""The statements of real services, and their plans."""

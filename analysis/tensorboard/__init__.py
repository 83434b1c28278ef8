"""The TensorBoard plugin: routes only; what it shows is made by ``report``."""

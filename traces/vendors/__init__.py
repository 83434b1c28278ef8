"""What vendors call things: the only place that knows the raw names of calls, copies and kernels."""

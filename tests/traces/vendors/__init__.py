"""What vendors call things."""

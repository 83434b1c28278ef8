"""What is shown of the results: a folder a view, a module in it a format; ``html`` holds the pages."""

"""What people read: the terminal, numbers, Markdown, pages and plots."""

"""Where shares are kept: a folder or a bucket. It knows no pictures and no HTTP requests."""

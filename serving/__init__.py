"""All that speaks HTTP and HTML: requests, answers, pages. It knows no pixels and no bucket."""

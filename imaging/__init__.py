"""Pictures: from encoded bytes to encoded bytes. It knows no HTTP and no storage."""

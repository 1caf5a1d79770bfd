"""Where things are kept: Git, the cache, the bytes. `ports.py` says what each must do."""

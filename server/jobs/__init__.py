"""Jobs: what the server does again and again on its own, without a card and without anybody asking."""

"""Cases, what is known of them, and the folder layouts they come in and leave by."""

"""The network and its checkpoint; torch starts here."""

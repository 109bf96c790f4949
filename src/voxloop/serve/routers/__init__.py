"""The API, one router per noun."""

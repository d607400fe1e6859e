"""The domain, pure: states, templates, plans. Knows neither wire nor database."""
